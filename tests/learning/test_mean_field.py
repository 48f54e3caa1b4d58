"""Mean field bounds the free energy from above, and its gradient is the bound's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, Bernoulli, Gaussian
from jboltz.base import Estimator
from jboltz.learning.mean_field import (
    MeanFieldPCD,
    Posterior,
    mean_field,
    variational_free_energy,
)
from jboltz.models.dbm import DBM
from tests.helpers import draw_like, errors_without_hook
from tests.models.test_dbm import block_states, energies_of

TWO = DBM((Bernoulli(4), Bernoulli(3), Bernoulli(2)))
THREE = DBM((Gaussian(2), Bernoulli(3), Gaussian(2), Bernoulli(2)))
ONE = DBM((Bernoulli(4), Bernoulli(3)))
by_depth = pytest.mark.parametrize(
    "dbm", [ONE, TWO, THREE], ids=["one", "two", "three hidden"]
)


def draw_case(dbm, getkey, scale=0.5):
    """Weights small enough for the real layers to have a density."""
    params = draw_like(jax.eval_shape(dbm.init, getkey()), getkey(), scale)
    unit = dbm.units[0]
    v = unit.sample(params.units[0], jnp.zeros(unit.size), getkey())
    return params, v


@partial(jax.jit, static_argnums=(0, 3))
def infer(dbm, params, v, max_sweeps=200):
    return mean_field(dbm, params, v, tolerance=1e-13, max_sweeps=max_sweeps)


@partial(jax.jit, static_argnums=0)
def bound(dbm, params, v, q):
    return variational_free_energy(dbm, params, v, q)


@by_depth
def test_the_bound_never_falls_from_sweep_to_sweep(dbm, getkey, x64):
    """Coordinate ascent: with large weights, where all layers at once oscillate."""
    params, v = draw_case(dbm, getkey, scale=0.5 if dbm is THREE else 3.0)
    values = [bound(dbm, params, v, infer(dbm, params, v, n)) for n in range(1, 12)]
    assert (np.diff(values) <= 1e-12 * np.abs(values[0])).all()


def test_the_bound_holds_and_is_exact_without_coupling(getkey, x64):
    """At most log p by the gap KL(q ‖ p(h | v)), which enumeration gives."""
    params, v = draw_case(TWO, getkey, scale=1.5)
    even, _ = block_states(TWO, 0)
    odd, _ = block_states(TWO, 1)
    here = (even[0] == v[None]).all(axis=1)
    log_p = -energies_of(TWO, params, tuple(x[here] for x in even), odd)
    free_energy = -jax.nn.logsumexp(log_p)
    q = infer(TWO, params, v)
    m1, m2 = q.activities

    def log_q(m, states):
        return jnp.sum(jnp.log(jnp.where(states == 1, m[None], 1 - m[None])), axis=1)

    joint_q = log_q(m2, even[1][here])[:, None] + log_q(m1, odd[0])[None]
    gap = jnp.sum(jnp.exp(joint_q) * (joint_q - log_p)) - free_energy
    assert gap > 1e-3  # else the case says nothing
    got = bound(TWO, params, v, q)
    np.testing.assert_allclose(got, free_energy + gap, rtol=1e-9)
    loose = params.replace(weights=(params.weights[0], 0 * params.weights[1]))
    exact = free_energy_below(loose, v)
    np.testing.assert_allclose(
        bound(TWO, loose, v, infer(TWO, loose, v)), exact, rtol=1e-9
    )


def free_energy_below(params, v):
    """F(v) where W₁ = 0: that of the RBM below, less Γ of the layer that floats."""
    rbm = jboltz.RBM(*TWO.units[:2])
    below = jboltz.RBMParams(*params.units[:2], params.weights[0])
    floating = TWO.units[2].log_normalizer(params.units[2], jnp.zeros(2))
    return rbm.free_energy(below, v) - floating


@by_depth
def test_at_the_fixed_point_each_layer_agrees_with_its_neighbours(dbm, getkey, x64):
    params, v = draw_case(dbm, getkey)
    q = infer(dbm, params, v)
    assert q.residual <= 1e-13
    a = [dbm.units[0].activity(params.units[0], v), *q.activities]
    for index in range(1, len(a)):
        inputs = a[index - 1] @ params.weights[index - 1]
        if index < len(params.weights):
            inputs = inputs + params.weights[index] @ a[index + 1]
        np.testing.assert_allclose(q.inputs[index - 1], inputs, rtol=1e-9)
        mean = dbm.units[index].mean(params.units[index], inputs)
        np.testing.assert_allclose(q.activities[index - 1], mean, rtol=1e-9)


@by_depth
def test_its_gradient_is_that_of_the_converged_bound(dbm, getkey, x64):
    """Envelope: q moves with the parameters, but the bound is stationary in q."""
    params, v = draw_case(dbm, getkey)
    q = infer(dbm, params, v)
    slope = jax.grad(partial(variational_free_energy, dbm))(params, v, q)
    direction = draw_like(params, getkey())

    def moved(step):
        nearby = jax.tree.map(lambda x, d: x + step * d, params, direction)
        return bound(dbm, nearby, v, infer(dbm, nearby, v))

    step = 1e-5
    along = (moved(step) - moved(-step)) / (2 * step)
    expected = sum(
        jnp.sum(x * d)
        for x, d in zip(*map(jax.tree.leaves, (slope, direction)), strict=True)
    )
    np.testing.assert_allclose(along, expected, rtol=1e-7)


def test_what_has_not_converged_is_reported(getkey):
    params, v = draw_case(TWO, getkey, scale=2.0)
    batch = Batch(values=jnp.stack([v, 1 - v]))
    sampler = jboltz.Gibbs(TWO)
    for sweeps, unconverged in ((1, 1.0), (100, 0.0)):
        estimator = MeanFieldPCD(TWO, sampler, 3, max_sweeps=sweeps, tolerance=1e-5)
        state = estimator.init(params, getkey())
        metrics = jax.jit(estimator.estimate)(params, state, batch, getkey())[2]
        assert metrics["unconverged"] == unconverged
        assert metrics["sweeps"] <= sweeps
        assert (metrics["residual"] > 1e-5) == (unconverged > 0)


def test_the_estimate_is_the_gradient_of_the_bound(getkey):
    """Means over chains that have forgotten their start, 5 standard errors."""
    params, _ = draw_case(TWO, getkey, scale=1.0)
    num_chains = 20_000
    estimator = MeanFieldPCD(TWO, jboltz.Gibbs(TWO), num_chains, 60)
    assert isinstance(estimator, Estimator)
    (even, _), (odd, _) = block_states(TWO, 0), block_states(TWO, 1)
    values = even[0][1::5][:6]
    state = estimator.init(params, getkey())
    gradient, chains, _ = jax.jit(estimator.estimate)(
        params, state, Batch(values=values), getkey()
    )

    @jax.jit
    def exact(params, q):
        f = jax.vmap(partial(variational_free_energy, TWO), in_axes=(None, 0, 0))
        log_z = jax.nn.logsumexp(-energies_of(TWO, params, even, odd))
        return jnp.mean(f(params, values, q)) + log_z

    q = jax.vmap(partial(infer, TWO, params))(values)
    expected = jax.grad(exact)(params, q)
    of_chain = jax.vmap(jax.grad(TWO.free_energy), in_axes=(None, 0))
    spread = jax.jit(of_chain)(params, chains.visible)
    jax.tree.map(
        lambda x, want, one: np.testing.assert_array_less(
            np.abs(x - want), 5 * np.std(one, axis=0) / np.sqrt(num_chains) + 1e-5
        ),
        gradient,
        expected,
        spread,
    )


def test_one_hidden_layer_is_pcd(getkey):
    """Its posterior factorises, so mean field is exact in one sweep."""
    params, v = draw_case(ONE, getkey)
    rbm, key = jboltz.RBM(*ONE.units), getkey()
    same = jboltz.RBMParams(*params.units, *params.weights)
    batch = Batch(values=jnp.stack([v, 1 - v]))
    q = mean_field(ONE, params, v)
    assert q.num_sweeps == 1
    dbm = MeanFieldPCD(ONE, jboltz.Gibbs(ONE), 4)
    chains = dbm.init(params, key)
    ours = dbm.estimate(params, chains, batch, key)
    # The same chains: a DBM's layers draw from other keys, so they start given.
    free = jax.vmap(rbm.free_energy, in_axes=(None, 0))

    def contrast(params):
        negative = free(params, ours[1].visible[0])
        return jnp.mean(free(params, batch.values)) - jnp.mean(negative)

    value, gradient = jax.value_and_grad(contrast)(same)
    np.testing.assert_allclose(ours[2]["contrast"], value, rtol=1e-4, atol=1e-5)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
        ours[0],
        ONE.from_parts(*rbm.parts(gradient)),
    )


def test_centred_joint_training_from_random_weights_learns(getkey):
    """Pairs of equal pixels: more likely than under the best independent pixels, which
    is where a DBM without weights ends."""
    pairs = np.repeat(np.random.default_rng(0).random((400, 4)) < 0.3, 2, axis=1)
    data = jnp.asarray(pairs, jnp.float32)
    dbm = DBM((Bernoulli(8), Bernoulli(6), Bernoulli(3)))
    alone = dbm.units[0].fit(data)
    params = dbm.init(getkey())
    params = params.replace(units=(alone, *params.units[1:]))
    estimator = jboltz.Centred(MeanFieldPCD(dbm, jboltz.Gibbs(dbm), 50, 2))
    optimizer = optax.sgd(0.3)
    state = jboltz.init_train_state(params, estimator, optimizer, getkey())
    state, _ = jboltz.fit(
        jboltz.make_train_step(estimator, optimizer),
        state,
        data,
        getkey(),
        batch_size=50,
        num_epochs=60,
    )
    even, _ = block_states(dbm, 0)

    @jax.jit
    def log_likelihood(params):
        log_p = -jax.vmap(dbm.free_energy, in_axes=(None, 0))(params, even)
        is_row = (even[0][:, None] == data[None]).all(axis=2)
        rows = jax.nn.logsumexp(jnp.where(is_row, log_p[:, None], -jnp.inf), axis=0)
        return jnp.mean(rows) - jax.nn.logsumexp(log_p)

    independent = log_likelihood(params.replace(weights=zeros_like(params.weights)))
    assert log_likelihood(state.params) > independent + 1.0


def zeros_like(tree):
    return jax.tree.map(jnp.zeros_like, tree)


def test_bad_input_is_told_what_is_needed():
    errors = errors_without_hook(
        "import jboltz\nfrom jboltz import *\n"
        "dbm = DBM((Bernoulli(4), Bernoulli(3), Bernoulli(2)))\n",
        [
            "MeanFieldPCD(dbm, Gibbs(dbm), 0)",
            "MeanFieldPCD(dbm, Gibbs(dbm), 10, 0)",
            "MeanFieldPCD(dbm, Gibbs(dbm), 10, max_sweeps=0)",
            "MeanFieldPCD(dbm, Gibbs(dbm), 10, tolerance=-1.0)",
        ],
    )
    for error, word in zip(
        errors.values(), ["chain", "num_steps", "max_sweeps", "tolerance"], strict=True
    ):
        assert error.startswith("InvalidValue")
        assert word in error


def test_a_posterior_is_a_record():
    assert jax.tree.leaves(Posterior((1.0,), (2.0,), 3.0, 4)) == [1.0, 2.0, 3.0, 4]
