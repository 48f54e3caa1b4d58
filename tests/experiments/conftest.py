"""Fixtures of the tests of programs."""

import functools

import optax
import pytest


@pytest.fixture(autouse=True, scope="module")
def one_object_an_optimizer():
    """Runs of the same optimizer share what they compile."""
    with pytest.MonkeyPatch.context() as patch:
        for make in ("sgd", "adam", "linear_schedule"):
            patch.setattr(optax, make, functools.cache(getattr(optax, make)))
        yield
