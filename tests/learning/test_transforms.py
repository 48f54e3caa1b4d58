"""Projections end updates inside their range, on the leaves they are given."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.learning.transforms import labels, project

MODEL = jboltz.RBM(jboltz.Gaussian(3), jboltz.Bernoulli(2))


def test_a_projection_ends_on_the_bound_and_not_beyond(getkey):
    params = {"x": jnp.asarray([0.0, 0.9, -5.0])}
    optimizer = optax.chain(optax.sgd(1.0), project(-1.0, 1.0))
    state = optimizer.init(params)
    gradient = {"x": jnp.asarray([-0.5, -0.5, 0.5])}
    updates, _ = optimizer.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params["x"], [0.5, 1.0, -1.0], rtol=1e-6)


def test_a_variance_has_its_own_rate_and_range(getkey):
    params = MODEL.init(getkey())
    slow = optax.chain(optax.sgd(0.1), project(-0.05, 0.05))
    optimizer = optax.partition(
        {"log_variance": slow, "rest": optax.sgd(1.0)},
        partial(labels, names=("log_variance",)),
    )
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = jax.jit(optimizer.update)(ones, optimizer.init(params), params)
    np.testing.assert_allclose(updates.visible.log_variance, -0.05, rtol=1e-6)
    np.testing.assert_allclose(updates.visible.mean, -1.0)
    np.testing.assert_allclose(updates.weights, -1.0)


def test_bad_input_is_told_what_is_needed(getkey):
    with pytest.raises(ValueError, match="low ≤ high"):
        project(1.0, -1.0)
    with pytest.raises(ValueError, match=r"variance.*log_variance"):
        labels(MODEL.init(getkey()), names=("variance",))
    transform = project(-1.0, 1.0)
    with pytest.raises(ValueError, match="params"):
        transform.update({}, transform.init({}))
