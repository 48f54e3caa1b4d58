"""The positive region of the spike-and-slab RBM, and the ways to stay in it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz import SpikeAndSlab
from jboltz.models.spike_penalty import NoPenalty
from tests.helpers import draw_like, rng_of
from tests.models.spike_and_slab import (
    close,
    draw_params,
    each_penalty,
    penalty_matrix,
    smallest,
)


@each_penalty
def test_every_parameter_is_in_the_positive_region(penalty, getkey, x64):
    """Large ones too; without a penalty, once projected."""
    model = SpikeAndSlab(5, 6, penalty=penalty)
    for scale in (0.3, 1.0, 3.0):
        shapes = jax.eval_shape(model.init, getkey())
        params = draw_like(shapes, getkey(), scale=scale)
        if penalty == NoPenalty():
            params = penalty.project(params)
        expected = smallest(model, params)
        assert expected > 0
        np.testing.assert_allclose(model.smallest_eigenvalue(params), expected)
        model.check_normalizable(params)
        v = rng_of(getkey()).normal(size=5)
        spikes = model.mean_hidden_state(params, jnp.asarray(v)).spikes
        penalties = v**2 @ penalty_matrix(model, params)
        params = jax.device_get(params)
        alpha, mu = np.exp(params.log_slab_precision), params.slab_mean
        g = (v @ params.weights + alpha * mu) ** 2 / (2 * alpha) - 0.5 * penalties
        g = g + params.spike_bias - alpha * mu**2
        close(spikes, 0.5 * (1 + np.tanh(g / 2)))


def test_a_model_beyond_the_edge_is_refused_with_the_eigenvalue(getkey, x64):
    model = SpikeAndSlab(4, 3, penalty=NoPenalty())
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale=1.0)
    params = dataclasses.replace(params, weights=3 * params.weights)
    value = smallest(model, params)
    assert value < 0
    np.testing.assert_allclose(model.smallest_eigenvalue(params), value)
    with pytest.raises(ValueError, match=f"smallest eigenvalue {value:.3g}"):
        model.check_normalizable(params)


def test_the_edge_is_where_the_spectral_norm_is_one(getkey, x64):
    model = SpikeAndSlab(4, 3, penalty=NoPenalty())
    params = draw_params(model, getkey())

    def scaled_to(norm):
        left = np.exp(-0.5 * params.log_visible_precision)[:, None]
        right = np.exp(-0.5 * params.log_slab_precision)[None]
        now = np.linalg.norm(left * params.weights * right, ord=2)
        return dataclasses.replace(params, weights=params.weights * (norm / now))

    model.check_normalizable(scaled_to(1 - 1e-9))
    with pytest.raises(ValueError, match="smallest eigenvalue -"):
        model.check_normalizable(scaled_to(1 + 1e-9))


def test_the_projection_goes_to_the_nearest_weights_inside(getkey, x64):
    model = SpikeAndSlab(4, 3, penalty=NoPenalty())
    params = draw_params(model, getkey())
    project = jax.jit(model.penalty.project)
    left = np.exp(-0.5 * params.log_visible_precision)[:, None]
    right = np.exp(-0.5 * params.log_slab_precision)[None]

    def with_scaled(weights):
        return dataclasses.replace(params, weights=weights / left / right)

    outside = 3 * np.asarray(jax.random.normal(getkey(), (4, 3)))
    inside = with_scaled(outside / 3 / np.linalg.norm(outside, ord=2))
    close(project(inside).weights, inside.weights)
    assert not project(with_scaled(0 * outside)).weights.any()
    nearest = np.asarray(left * project(with_scaled(outside)).weights * right)
    close(np.linalg.norm(nearest, ord=2), 0.999)
    # The nearest point of a convex set: every other lies beyond the plane through it.
    others = np.asarray(jax.random.normal(getkey(), (100, 4, 3)))
    norms = np.linalg.norm(others, ord=2, axis=(1, 2))[:, None, None]
    others = 0.999 * others / norms
    beyond = np.sum((outside - nearest) * (others - nearest), axis=(1, 2))
    assert np.all(beyond < 0)


@pytest.mark.parametrize("value", [-1e4, np.nan], ids=["vanishing", "nan"])
@each_penalty
def test_a_precision_that_is_not_above_zero_is_refused(penalty, value, getkey):
    model = SpikeAndSlab(2, 2, penalty=penalty)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    broken = dataclasses.replace(
        params, log_visible_precision=jnp.array([0.0, value], jnp.float32)
    )
    with pytest.raises(ValueError, match="smallest eigenvalue"):
        model.check_normalizable(broken)
