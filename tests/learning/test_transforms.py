"""Projections end updates inside their range, on the leaves they are given."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.learning.transforms import by_field, labels, project, within
from jboltz.models.spike_penalty import NoPenalty

MODEL = jboltz.RBM(jboltz.Gaussian(3), jboltz.Bernoulli(2))


def test_a_projection_ends_on_the_bound_and_not_beyond(getkey):
    params = {"x": jnp.asarray([0.0, 0.9, -5.0])}
    optimizer = optax.chain(optax.sgd(1.0), project(within(-1.0, 1.0)))
    state = optimizer.init(params)
    gradient = {"x": jnp.asarray([-0.5, -0.5, 0.5])}
    updates, _ = optimizer.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params["x"], [0.5, 1.0, -1.0], rtol=1e-6)


def test_a_variance_has_its_own_rate_and_range(getkey):
    params = MODEL.init(getkey())
    slow = optax.chain(optax.sgd(0.1), project(within(-0.05, 0.05)))
    optimizer = by_field(optax.sgd(1.0), log_variance=slow)
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = jax.jit(optimizer.update)(ones, optimizer.init(params), params)
    np.testing.assert_allclose(updates.visible.log_variance, -0.05, rtol=1e-6)
    np.testing.assert_allclose(updates.visible.mean, -1.0)
    np.testing.assert_allclose(updates.weights, -1.0)


def test_bad_input_is_told_what_is_needed(getkey):
    with pytest.raises(ValueError, match="low ≤ high"):
        within(1.0, -1.0)
    with pytest.raises(ValueError, match=r"variance.*log_variance"):
        labels(MODEL.init(getkey()), names=("variance",))
    transform = project(within(-1.0, 1.0))
    with pytest.raises(ValueError, match="params"):
        transform.update({}, transform.init({}))


def test_a_spike_and_slab_rbm_without_penalty_is_kept_positive(getkey):
    """By the projection of its weights, however far an update would go."""
    model = jboltz.SpikeAndSlab(4, 3, penalty=NoPenalty())
    params = model.init(getkey())
    optimizer = optax.chain(optax.sgd(1.0), project(model.penalty.project))
    gradient = jax.tree.map(lambda x: 10 * jnp.ones_like(x), params)
    gradient = gradient.replace(log_visible_precision=0 * gradient.visible_bias)
    gradient = gradient.replace(log_slab_precision=0 * gradient.spike_bias)
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    moved = optax.apply_updates(params, updates)
    assert 0 < model.smallest_eigenvalue(moved) < 0.01
