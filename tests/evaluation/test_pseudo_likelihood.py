"""Every conditional of one site, held against sums over states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.base import EnumerableUnit
from jboltz.evaluation.pseudo_likelihood import stochastic_pseudo_log_likelihood
from tests.helpers import binary_states, draw_like, enable_x64, rng_of, states_of
from tests.units.cases import UNITS

HIDDEN = jboltz.Bernoulli(3)
DISCRETE = [
    (jboltz.Bernoulli(4), HIDDEN),
    (jboltz.Spin(3), jboltz.Gaussian(2)),
    (jboltz.Softmax(2, 3), HIDDEN),
]


def draw_model(model, getkey, scale=1.0):
    return draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale)


@pytest.mark.parametrize("pair", DISCRETE, ids=str)
def test_discrete_conditionals_are_those_of_the_joint(pair, getkey, x64):
    """p(v_i | rest) = p(v) over the sum of p of all states that agree elsewhere."""
    model = jboltz.RBM(*pair)
    params = draw_model(model, getkey)
    states, _ = states_of(model.visible)
    free = jax.jit(jax.vmap(model.free_energy, in_axes=(None, 0)))(params, states)
    p, v = np.exp(-np.asarray(free)), np.asarray(states)
    expected = np.zeros(len(v))
    for site in range(v.shape[1]):
        rest = np.delete(v, site, axis=1).reshape(len(v), -1)
        agrees = (rest[:, None] == rest[None]).all(axis=-1)
        expected += np.log(p / (agrees @ p))
    got = jboltz.pseudo_log_likelihood(model, params, v, batch_size=100)
    np.testing.assert_allclose(got.mean, expected.mean(), rtol=1e-9)
    np.testing.assert_allclose(
        got.standard_error, expected.std(ddof=1) / np.sqrt(len(v)), rtol=1e-7
    )
    assert got.quantity == "pseudo-log-likelihood"
    assert got.lower == got.upper == got.mean


@pytest.mark.parametrize(
    "pair",
    [
        (jboltz.Bernoulli(300), jboltz.Bernoulli(500)),
        (jboltz.Softmax(150, 3), jboltz.Spin(500)),
    ],
    ids=str,
)
def test_in_float32_it_is_that_of_float64(pair, getkey):
    """Of free energies near −900 a float32 keeps four decimals, a difference seven."""
    model, rng = jboltz.RBM(*pair), rng_of(getkey())
    params = draw_model(model, getkey, 2.0)
    params = params.replace(weights=0.1 * params.weights)
    v = {
        jboltz.Bernoulli: rng.integers(2, size=(2, 300)),
        jboltz.Softmax: np.eye(3)[rng.integers(3, size=(2, 150))],
    }[type(model.visible)]
    got = jboltz.pseudo_log_likelihood(model, params, v).mean
    with enable_x64():
        wide = jax.tree.map(lambda x: x.astype(jnp.float64), params)
        expected = jboltz.pseudo_log_likelihood(model, wide, v).mean
    assert abs(got - expected) < 2e-7 * abs(expected)


def log_normal(x, mean, variance):
    return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))


@pytest.mark.parametrize(
    ("hidden", "scale"), [(HIDDEN, 0.5), (jboltz.Softmax(2, 3), 3.0), (HIDDEN, 30.0)]
)
def test_real_conditionals_are_ratios_of_mixtures_of_normals(
    hidden, scale, getkey, x64
):
    """p(v) and p(v elsewhere) are mixtures over h; modes up to 30 deviations apart."""
    model = jboltz.RBM(jboltz.Gaussian(3), hidden)
    params = draw_model(model, getkey)
    params = params.replace(weights=scale * params.weights)
    h, _ = states_of(hidden)
    log_h = -np.asarray(
        jax.jit(jax.vmap(model.hidden_free_energy, in_axes=(None, 0)))(params, h)
    )
    means = jax.jit(jax.vmap(model.mean_visible_state, in_axes=(None, 0)))(params, h)
    variance = np.exp(params.visible.log_variance)
    v = np.asarray(means)[::3] + rng_of(getkey()).normal(size=means[::3].shape)
    terms = log_normal(v[:, None], np.asarray(means), variance)
    joint = jax.nn.logsumexp(log_h + terms.sum(-1), axis=1)
    expected = sum(
        joint - jax.nn.logsumexp(log_h + np.delete(terms, i, -1).sum(-1), axis=1)
        for i in range(3)
    )
    got = jboltz.pseudo_log_likelihood(model, params, v)
    np.testing.assert_allclose(got.mean, np.mean(expected), rtol=1e-9)


def test_one_site_an_example_is_right_on_average(getkey):
    model = jboltz.RBM(jboltz.Bernoulli(4), HIDDEN)
    params = draw_model(model, getkey)
    v = binary_states(4)[5]
    exact = jboltz.pseudo_log_likelihood(model, params, v[None])
    many = jnp.tile(v[None], (4000, 1))
    got = stochastic_pseudo_log_likelihood(model, params, many, getkey())
    assert abs(got.mean - exact.mean) < 5 * got.standard_error
    assert got.quantity == "stochastic pseudo-log-likelihood"


@pytest.mark.parametrize(
    "unit", [u for u in UNITS if isinstance(u, EnumerableUnit)], ids=repr
)
def test_sums_over_alternatives_are_the_log_normalizer(unit, getkey, x64):
    """Π over sites of Σ over levels of exp(I·a − E) is exp Γ(I); E(x) splits too."""
    params, inputs = draw_like(
        jax.eval_shape(lambda: (unit.init(), jnp.zeros(unit.size))), getkey(), 1.0
    )
    lowest, highest = inputs - 3.0, inputs + 3.0
    states, log_weights = unit.alternatives(params, lowest, highest)
    rest = states[0]

    def exponent(x):
        return inputs @ unit.activity(params, x) - unit.energy(params, x)

    total, base = exponent(rest), exponent(rest)
    for site in range(unit.shape[0]):
        levels = jax.vmap(lambda s, i=site: exponent(rest.at[i].set(s[i])))(states)
        total += jax.nn.logsumexp(levels + log_weights[:, site]) - base
    expected = unit.log_normalizer(params, inputs)
    np.testing.assert_allclose(total, expected, rtol=1e-9)
