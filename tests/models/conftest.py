"""Fixtures of the tests of models."""

import jax
import pytest

from tests.models.spike_and_slab import draw_params, facts


@pytest.fixture(scope="module")
def case():
    """Parameters of a model and its facts, computed once for all tests."""
    from tests.helpers import enable_x64

    known = {}

    def of(model):
        if model not in known:
            with enable_x64():
                params = draw_params(model, jax.random.key(7))
                model.check_normalizable(params)
                known[model] = params, jax.device_get(facts(model, params))
        return known[model]

    return of
