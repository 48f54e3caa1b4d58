"""Sites that are absent: the gradient is that of machines without them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, PresentOnly
from tests.helpers import draw_like, errors_without_hook, states_of

B = jboltz.Bernoulli
MASK = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]], bool)
MODELS = {
    "binary": (jboltz.RBM(B(3), B(2)), np.array([[1.0, 0, 1], [0, 0, 1], [1, 1, 0]])),
    "spins": (
        jboltz.RBM(jboltz.Spin(3), B(2)),
        np.array([[1.0, -1, 1], [1, -1, -1], [1, 1, -1]]),
    ),
    "categories": (
        jboltz.RBM(jboltz.Softmax(3, 3), B(2)),
        np.eye(3)[[[0, 1, 2], [2, 2, 0], [1, 0, 0]]],
    ),
}
NUM_BATCHES, NUM_DRAWS, NUM_STEPS = 20, 300, 25


def case(name, getkey):
    model, rows = MODELS[name]
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    column = MASK.reshape(3, 3, *[1] * (rows.ndim - 2))
    return model, params, np.where(column, rows, np.nan), column


@partial(jax.jit, static_argnums=0)
def estimates(estimator, params, batch, keys):
    def one(key):
        return estimator.estimate(params, (), batch, key)[0]

    return jax.lax.map(one, keys)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_machines_of_present_sites(name, getkey):
    """By sums over all states of the present sites, 5 standard errors."""
    model, params, rows, column = case(name, getkey)
    weights = np.array([1.0, 2.0, 0.5])
    states, _ = states_of(model.visible)

    def loss(params):
        total = 0.0
        for row, here, weight in zip(rows, column, weights, strict=True):
            v = jnp.where(here, row, 0)
            # A state of the present sites comes once for each state of the others.
            each = jax.vmap(partial(model.free_energy, params))(states * here[None])
            free_energy = model.free_energy(params, v)
            total += weight * (free_energy + jax.nn.logsumexp(-each))
        return total / weights.sum()

    expected = jax.grad(loss)(params)
    batch = Batch(
        values=jnp.tile(rows, (NUM_DRAWS, *[1] * (rows.ndim - 1))),
        mask=jnp.tile(MASK, (NUM_DRAWS, 1)),
        weights=jnp.tile(weights, NUM_DRAWS),
    )
    keys = jax.random.split(getkey(), NUM_BATCHES)
    got = estimates(PresentOnly(model, NUM_STEPS), params, batch, keys)
    for draws, mean in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
        error = np.std(draws, axis=0, ddof=1) / np.sqrt(NUM_BATCHES)
        z = np.abs(np.mean(draws, axis=0) - mean) / np.maximum(error, 1e-7)
        # With 20 batches the error is known to a sixth.
        assert z.max() < 6, z.max()


def test_a_site_that_nobody_has_gets_no_gradient(getkey):
    """Of real units too, whose E(0) depends on their parameters."""
    model = jboltz.RBM(jboltz.Gaussian(3), B(2))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    mask = np.array([[True, True, False], [True, False, False]])
    values = jnp.where(mask, 0.7, jnp.nan)
    batch = Batch(values=values, mask=jnp.asarray(mask))
    gradient, state, metrics = PresentOnly(model).estimate(params, (), batch, getkey())
    assert state == ()
    assert np.isfinite(metrics["reconstruction_error"])
    for leaf in (*jax.tree.leaves(gradient.visible), gradient.weights):
        np.testing.assert_array_equal(leaf[2], 0)  # Adam would enlarge what is left.
        assert np.abs(leaf[0]).max() > 1e-3


def test_without_a_mask_it_is_a_machine_of_all_sites(getkey):
    model, rows = MODELS["binary"]
    params, key = model.init(getkey()), getkey()
    values, estimator = jnp.asarray(rows), PresentOnly(model)
    whole = Batch(values=values, mask=jnp.ones((3, 3), bool))
    got = estimator.estimate(params, (), Batch(values=values), key)
    expected = estimator.estimate(params, (), whole, key)
    for x, y in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_fit_takes_ratings_with_gaps(getkey):
    model, params, rows, _ = case("categories", getkey)
    estimator, optimizer = PresentOnly(model), optax.sgd(0.1)
    state = jboltz.init_train_state(params, estimator, optimizer, getkey())
    data = Batch(values=rows.astype(np.float32), mask=MASK)
    state, history = jboltz.fit(
        jboltz.make_train_step(estimator, optimizer),
        state,
        data,
        getkey(),
        batch_size=2,
        num_epochs=2,
    )
    assert np.isfinite(history[-1]["reconstruction_error"]).all()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


SETUP = """
import jax, jax.numpy as jnp
from jboltz import *
key = jax.random.key(0)
rbm = RBM(Bernoulli(3), Bernoulli(2))
params, rows = rbm.init(key), jnp.zeros((2, 3))
def estimate(batch):
    return PresentOnly(rbm).estimate(params, (), batch, key)
"""
ERRORS = {
    "PresentOnly(DBN((rbm,)))": "`model` is DBN",
    "PresentOnly(rbm, 0)": "`num_steps` is 0 but",
    "estimate(rows)": "`batch` is an object of",
    "estimate(Batch(values=rows, mask=rows[:, :2] > 0))": "`batch.mask` has shape",
}


@pytest.fixture(scope="module")
def errors():
    return errors_without_hook(SETUP, ERRORS)


@pytest.mark.parametrize("call", ERRORS)
def test_what_does_not_fit_is_refused(call, errors):
    assert ERRORS[call] in errors[call]
