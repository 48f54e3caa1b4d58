"""Missing entries: the gradient is that of what was observed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, Bernoulli
from jboltz.base import Estimator
from tests.helpers import binary_states, draw_like, errors_without_hook, rng_of
from tests.models.test_dbm import block_states, energies_of

RBM = jboltz.RBM(Bernoulli(4), Bernoulli(3))
DBM = jboltz.DBM((Bernoulli(4), Bernoulli(3), Bernoulli(2)))
V = binary_states(4)
ROWS = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 1]], np.float32)
MASK = np.array([[1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1]], bool)
NUM_DRAWS = 5_000
NUM_STEPS = 25


@partial(jax.jit, static_argnums=0)
def estimate(estimator, params, state, batch, key):
    return estimator.estimate(params, state, batch, key)


def repeated_batch():
    """Every row many times; what stands in the gaps is never to be read."""
    values = jnp.asarray(np.where(MASK, ROWS, np.nan))
    return Batch(
        values=jnp.tile(values, (NUM_DRAWS, 1)),
        mask=jnp.tile(jnp.asarray(MASK), (NUM_DRAWS, 1)),
        weights=jnp.tile(jnp.array([1.0, 2.0, 0.5]), NUM_DRAWS),
    )


def is_completion(v):
    """Which states v are a row with its gaps filled, (rows, states)."""
    agrees = np.asarray(v)[None] == ROWS[:, None]
    return np.all(agrees | ~MASK[:, None], axis=2)


@jax.jit
def observed_gradient(params, shares):
    """Of −Σ share · log p(v_observed), by autodiff through sums over all states."""
    complete = jnp.asarray(is_completion(V))

    def loss(params):
        log_p = -jax.vmap(partial(RBM.free_energy, params))(V)
        seen = jnp.where(complete, log_p[None], -jnp.inf)
        rows = jax.nn.logsumexp(seen, axis=1)
        return jax.nn.logsumexp(log_p) - shares @ rows

    return jax.grad(loss)(params)


def test_the_gradient_is_that_of_what_was_observed(getkey):
    """5 standard errors of the draws: of the gaps, and of the chains of the model."""
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey(), 1.0)
    num_chains = 3 * NUM_DRAWS
    inner = jboltz.PersistentContrastiveDivergence(
        RBM, jboltz.Gibbs(RBM), num_chains, NUM_STEPS
    )
    estimator = jboltz.MissingDataEstimator(inner, NUM_STEPS)
    assert isinstance(estimator, Estimator)
    state = estimator.init(params, getkey())
    batch = repeated_batch()
    gradient, _, _ = estimate(estimator, params, state, batch, getkey())

    shares = np.array([1, 2, 0.5]) / 3.5
    expected = observed_gradient(params, jnp.asarray(shares))
    free_energy = jax.vmap(partial(RBM.free_energy, params))(V)
    p = np.asarray(jax.nn.softmax(-free_energy))
    complete = is_completion(V)
    given = np.where(complete, p[None], 0)
    given = given / given.sum(axis=1, keepdims=True)
    slopes = jax.vmap(jax.grad(partial(RBM.free_energy)), (None, 0))(params, V)

    def check(got, want, slope):
        def variance(q):
            return np.tensordot(q, slope**2, 1) - np.tensordot(q, slope, 1) ** 2

        slope = np.asarray(slope)
        gaps = sum(s**2 * variance(q) for s, q in zip(shares, given, strict=True))
        error = np.sqrt(gaps / NUM_DRAWS + variance(p) / num_chains)
        assert np.max(np.abs(got - want) / error) < 5

    jax.tree.map(check, gradient, expected, slopes)
    # It is another gradient than that of the rows with the gaps left at 0.
    zeros = np.argmax((np.asarray(V)[None] == (ROWS * MASK)[:, None]).all(2), axis=1)
    other = np.tensordot(shares, np.asarray(slopes.weights)[zeros], 1)
    other = other - np.tensordot(p, np.asarray(slopes.weights), 1)
    assert np.max(np.abs(other - expected.weights)) > 0.05


@pytest.mark.parametrize("model", [RBM, DBM], ids=["RBM", "DBM"])
def test_gaps_are_drawn_given_what_was_observed(model, getkey):
    """Every completion as often as enumeration says, in 5 standard errors."""
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 1.0)
    sampler = jboltz.Gibbs(model)
    inner = jboltz.ContrastiveDivergence(model, sampler)
    if model is DBM:
        inner = jboltz.MeanFieldPCD(model, sampler, 1)
    batch = repeated_batch()
    fill = jax.jit(jboltz.MissingDataEstimator(inner, NUM_STEPS).fill)
    filled = fill(params, batch, getkey())
    assert filled.mask is None
    np.testing.assert_array_equal(filled.weights, batch.weights)
    if model is RBM:
        log_p = -jax.vmap(partial(RBM.free_energy, params))(V)
    else:
        (even, _), (odd, _) = block_states(DBM, 0), block_states(DBM, 1)
        of_even = jax.nn.logsumexp(-energies_of(DBM, params, even, odd), axis=1)
        bottom = np.all(np.asarray(even[0])[None] == np.asarray(V)[:, None], axis=2)
        log_p = jax.nn.logsumexp(np.where(bottom, of_even, -np.inf), axis=1)
    p = np.where(is_completion(V), np.exp(log_p), 0)
    p = p / p.sum(axis=1, keepdims=True)
    values = np.asarray(filled.values).reshape(NUM_DRAWS, 3, 4)
    codes = values @ [8, 4, 2, 1]  # the order of `binary_states`
    for row in range(3):
        counts = np.bincount(codes[:, row].astype(int), minlength=16)
        assert (counts[p[row] == 0] == 0).all()
        possible = p[row] > 0
        error = np.sqrt(NUM_DRAWS * p[row] * (1 - p[row]))[possible]
        gap = np.abs(counts - NUM_DRAWS * p[row])[possible]
        assert (gap <= 5 * error).all()


def test_complete_batches_are_left_to_the_estimator(getkey):
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey())
    estimator = jboltz.MissingDataEstimator(
        jboltz.ContrastiveDivergence(RBM, jboltz.Gibbs(RBM))
    )
    batch = Batch(values=jnp.asarray(ROWS))
    assert estimator.fill(params, batch, getkey()) is batch


def test_real_values_are_filled_too(getkey):
    """The spike-and-slab RBM, from which no gap is hidden behind a NaN."""
    model = jboltz.SpikeAndSlab(3, 2)
    params = model.init(getkey())
    values = jnp.array([[0.5, jnp.nan, -1.0], [jnp.nan, jnp.nan, jnp.nan]])
    batch = Batch(values=values, mask=jnp.isfinite(values))
    estimator = jboltz.MissingDataEstimator(
        jboltz.ContrastiveDivergence(model, jboltz.Gibbs(model))
    )
    filled = jax.jit(estimator.fill)(params, batch, getkey()).values
    assert jnp.isfinite(filled).all()
    np.testing.assert_array_equal(filled[0, [0, 2]], values[0, [0, 2]])


def test_fit_learns_from_examples_with_gaps(getkey):
    """Pairs of equal pixels, one entry in four missing: more likely than under the best
    independent pixels, which is all that means in the gaps would leave of them."""
    rng = rng_of(getkey())
    pairs = np.repeat(rng.random((300, 2)) < 0.3, 2, axis=1).astype(np.float32)
    mask = rng.random(pairs.shape) < 0.75
    data = Batch(values=np.where(mask, pairs, np.nan).astype(np.float32), mask=mask)
    inner = jboltz.PersistentContrastiveDivergence(RBM, jboltz.Gibbs(RBM), 50, 2)
    estimator, optimizer = jboltz.MissingDataEstimator(inner), optax.sgd(0.5)
    state = jboltz.init_train_state(RBM.init(getkey()), estimator, optimizer, getkey())
    step = jboltz.make_train_step(estimator, optimizer)
    state, _ = jboltz.fit(step, state, data, getkey(), batch_size=50, num_epochs=150)
    log_p = -jax.vmap(partial(RBM.free_energy, state.params))(V)
    codes = (pairs @ [8, 4, 2, 1]).astype(int)  # the order of `binary_states`
    p = pairs.mean(axis=0)
    independent = np.sum(p * np.log(p) + (1 - p) * np.log(1 - p))
    assert np.mean(jax.nn.log_softmax(log_p)[codes]) > independent + 0.3


def test_what_is_wrong_is_told():
    setup = (
        "import jax, jax.numpy as jnp\nfrom jboltz import *\n"
        "rbm = RBM(Bernoulli(4), Bernoulli(3))\n"
        "cd = ContrastiveDivergence(rbm, Gibbs(rbm))\n"
        "key = jax.random.key(0)\n"
        "params = rbm.init(key)\n"
        "batch = Batch(values=jnp.zeros((2, 4)), mask=jnp.ones((2, 3), bool))\n"
        "state = Centred(cd).init(params, key)\n"
    )
    expected = {
        "MissingDataEstimator(cd, 0)": (
            "InvalidValue: `num_steps` is 0 but a chain needs at least 1"
        ),
        "MissingDataEstimator(cd).fill(params, batch, key)": (
            "InvalidValue: `batch.mask` has shape [(2, 3)] but the examples have [(2, 4"
        ),
        "Centred(cd).estimate(params, state, batch, key)": (
            "InvalidValue: `batch.mask` marks missing entries but this estimator needs "
            "complete examples; put `MissingDataEstimator` around it"
        ),
    }
    errors = errors_without_hook(setup, expected)
    for call, message in expected.items():
        assert errors[call].startswith(message), (call, errors[call])
