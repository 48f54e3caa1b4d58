"""ELBO ≤ L_K ≤ log p(v), with the gaps that they should have."""

from functools import partial

import jax
import numpy as np

import jboltz
from jboltz.evaluation.partition import log_partition
from jboltz.learning.mean_field import mean_field
from jboltz.models.rbm import RBMParams
from tests.helpers import binary_states, draw_like

DBN = jboltz.DBN.chain(*map(jboltz.Bernoulli, (4, 3, 2)))
DBM = jboltz.DBM(tuple(map(jboltz.Bernoulli, (4, 3, 2))))


def draw_model(model, getkey, scale=1.0):
    return draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale)


def log_bernoulli(bias, inputs, x):
    field, x = np.asarray(bias) + np.asarray(inputs), np.asarray(x)
    return np.sum(x * field - np.logaddexp(0, field), axis=-1)


def log_z_top(params):
    top = DBN.layers[1]
    return jax.jit(lambda p: log_partition(partial(top.hidden_free_energy, p), 2))(
        params[1]
    )


def joint_and_posterior(params, v):
    """log p(v, h¹) and log q(h¹ | v) of all h¹, by the equations, (states of h¹,)."""
    lower, h = params[0], np.asarray(binary_states(3))
    free = jax.jit(jax.vmap(DBN.layers[1].free_energy, in_axes=(None, 0)))(params[1], h)
    down = h @ lower.weights.T
    log_p = log_bernoulli(lower.visible.bias, down, v) - free - log_z_top(params)
    log_q = log_bernoulli(lower.hidden.bias, v @ lower.weights, h)
    return np.asarray(log_p), np.asarray(log_q)


def test_bounds_of_a_dbn_are_in_order_and_have_the_right_means(getkey, x64):
    params = draw_model(DBN, getkey)
    v = np.array([1.0, 0.0, 1.0, 1.0])
    log_p, log_q = joint_and_posterior(params, v)
    exact, q = jax.nn.logsumexp(log_p), np.exp(log_q)
    expected = q @ (log_p - log_q)
    gap = q @ (log_q - (log_p - exact))
    np.testing.assert_allclose(exact - expected, gap, rtol=1e-9)
    # L_2 is a sum over pairs of hidden states.
    pairs = np.logaddexp.outer(log_p - log_q, log_p - log_q) - np.log(2)
    data, log_z = np.tile(v, (3000, 1)), log_z_top(params)
    elbo, two = jboltz.dbn_bounds(DBN, params, data, log_z, getkey(), num_samples=2)
    assert abs(elbo.mean - expected) < 5 * elbo.standard_error
    assert abs(two.mean - q @ pairs @ q) < 5 * two.standard_error
    assert expected < q @ pairs @ q < exact
    assert (elbo.quantity, two.quantity) == (
        "lower bound (ELBO)",
        "lower bound (K = 2)",
    )
    _, many = jboltz.dbn_bounds(
        DBN, params, data[:20], log_z, getkey(), num_samples=3000
    )
    # Its bias is Var(w)/(2 K p²), far below the error of 20 means.
    assert abs(many.mean - exact) < 5 * many.standard_error
    assert many.standard_error < 0.05


def test_the_bound_is_tight_where_the_top_mirrors_the_bottom(getkey, x64):
    """W₂ = W₁ᵀ and biases alike: the DBN is the lower RBM, and q its posterior."""
    lower = draw_model(DBN.layers[0], getkey)
    model = jboltz.DBN.chain(*map(jboltz.Bernoulli, (4, 3, 4)))
    upper = RBMParams(
        visible=lower.hidden, hidden=lower.visible, weights=lower.weights.T
    )
    rbm = model.layers[0]
    log_z = log_partition(partial(rbm.hidden_free_energy, lower), 3)
    data = binary_states(4)
    expected = jboltz.log_likelihood(rbm, lower, data, log_z)
    interval = (float(log_z), float(log_z) - 1, float(log_z) + 2)
    for bound in jboltz.dbn_bounds(
        model, (lower, upper), data, interval, getkey(), num_samples=3
    ):
        np.testing.assert_allclose(bound.mean, expected.mean, rtol=1e-9)
        np.testing.assert_allclose(bound.upper, expected.mean + 1, rtol=1e-9)
        np.testing.assert_allclose(
            bound.standard_error, expected.standard_error, rtol=1e-9
        )


def test_of_one_layer_the_bound_is_the_likelihood(getkey, x64):
    model = jboltz.DBN.chain(jboltz.Bernoulli(4), jboltz.Bernoulli(3))
    params, data = draw_model(model, getkey), binary_states(4)
    expected = jboltz.log_likelihood(model.layers[0], params[0], data, 1.0)
    got, _ = jboltz.dbn_bounds(model, params, data, 1.0, getkey(), num_samples=1)
    np.testing.assert_allclose(got.mean, expected.mean, rtol=1e-9)


def test_an_example_draws_the_same_in_any_batch(getkey):
    params, key = draw_model(DBN, getkey), getkey()
    data = binary_states(4)
    bounds = [
        jboltz.dbn_bounds(DBN, params, data, 0.0, key, batch_size=size)[1].mean
        for size in (4, 16)
    ]
    np.testing.assert_allclose(*bounds, rtol=2e-5)


def test_the_gap_of_a_dbm_is_the_divergence_of_mean_field(getkey, x64):
    params = draw_model(DBM, getkey)
    v, h, top = binary_states(4), binary_states(3), binary_states(2)

    def energy(v, h, top):
        return DBM.energy(params, (v, top), (h,))

    every = jax.vmap(energy, in_axes=(None, None, 0))
    every = jax.vmap(every, in_axes=(None, 0, None))
    energies = jax.jit(jax.vmap(every, in_axes=(0, None, None)))(v, h, top)
    log_z = jax.nn.logsumexp(-energies)
    log_p = jax.nn.logsumexp(-energies, axis=(1, 2)) - log_z
    got = jboltz.dbm_bound(DBM, params, v[6:7], log_z, tolerance=0.0, max_sweeps=200)
    infer = partial(mean_field, DBM, tolerance=0.0, max_sweeps=200)
    q = jax.jit(infer)(params, v[6])
    log_q = log_bernoulli(params.units[1].bias, q.inputs[0], h)[:, None]
    log_q = log_q + log_bernoulli(params.units[2].bias, q.inputs[1], top)[None]
    posterior = -energies[6] - log_z - log_p[6]
    gap = np.sum(np.exp(log_q) * (log_q - np.asarray(posterior)))
    assert gap > 1e-3
    np.testing.assert_allclose(log_p[6] - got.mean, gap, rtol=1e-9)
    whole = jboltz.dbm_bound(DBM, params, v, (float(log_z), -1.0, np.inf))
    assert whole.mean < log_p.mean()
    assert whole.lower == -np.inf
    # A bound wherever mean field stops, if a worse one.
    early = jboltz.dbm_bound(DBM, params, v, log_z, max_sweeps=1)
    assert early.mean < whole.mean
