"""Rectified units: what the conformance suite does not know of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jboltz.units._truncated_normal import log_integral, quantile
from jboltz.units.noisy_relu import NoisyReLU, NoisyReLUParams
from jboltz.units.relu import ReLU, ReLUParams

LOCATIONS = [-1e3, -30.0, -5.0, -2.001, -1.999, -1.0, 0.0, 1.0, 5.0, 30.0, 1e3]


def at(t):
    """log ∫ exp(ty − ½y²) dy over y ≥ 0 by SciPy's erfcx, and its derivatives by the
    rules of a truncated normal where those do not cancel, else by their expansions."""
    gamma = 0.5 * np.log(np.pi / 2) + np.log(special.erfcx(-t / np.sqrt(2)))
    if t > 30:
        gamma = 0.5 * t**2 + 0.5 * np.log(2 * np.pi)
    if t < -20:
        x2 = t**-2.0
        mean = -1 / t * (1 - 2 * x2 * (1 - 5 * x2 * (1 - 7.4 * x2)))
        return gamma, mean, x2 * (1 - 6 * x2 * (1 - 25 / 3 * x2 * (1 - 10.36 * x2)))
    hazard = np.exp(stats.norm.logpdf(t) - stats.norm.logcdf(t))
    return gamma, t + hazard, 1 - hazard * (t + hazard)


def test_functions_are_those_of_the_docstring(x64):
    unit, x = ReLU(2), np.array([0.3, 1.7])
    theta, z, inputs = np.array([0.4, -1.0]), np.array([0.5, -0.8]), np.array([0.2, 1])
    params = ReLUParams(bias=jnp.asarray(theta), log_precision=jnp.asarray(z))
    gamma, c = np.exp(z), theta + inputs
    got = unit.energy(params, jnp.asarray(x))
    np.testing.assert_allclose(got, np.sum(gamma * x**2 / 2 - theta * x), rtol=1e-9)
    got = unit.log_normalizer(params, jnp.asarray(inputs))
    expected = c**2 / (2 * gamma) + stats.norm.logcdf(c / np.sqrt(gamma))
    expected += np.log(2 * np.pi / gamma) / 2
    np.testing.assert_allclose(got, np.sum(expected), rtol=1e-9)


@pytest.mark.parametrize("is_wide", [True, False], ids=["float64", "float32"])
def test_log_normalizer_and_its_derivatives_hold_on_both_sides(is_wide, request):
    """Through the change of formula at t = −2, and in both tails."""
    if is_wide:
        request.getfixturevalue("x64")

    def gamma(t):
        return log_integral(t, jnp.zeros_like(t))

    t = jnp.asarray(LOCATIONS)
    functions = (gamma, jax.grad(gamma), jax.grad(jax.grad(gamma)))
    got = jax.jit(lambda t: [jax.vmap(f)(t) for f in functions])(t)
    expected = np.array([at(float(x)) for x in t]).T
    np.testing.assert_allclose(got, expected, rtol=1e-7 if is_wide else 2e-5)


def test_the_mean_square_far_below_zero_does_not_cancel():
    """∂Γ/∂ log γ = −½ γ E[x²] → −γ/c², which is 1e-6 beside terms of ½."""
    slope = jax.jit(jax.grad(lambda z: log_integral(jnp.float32(-1e3), z)))
    np.testing.assert_allclose(slope(jnp.float32(0.0)), -1e-6 * (1 - 5e-6), rtol=2e-6)


@pytest.mark.parametrize("is_wide", [True, False], ids=["float64", "float32"])
def test_a_quantile_is_that_of_scipy(is_wide, request):
    if is_wide:
        request.getfixturevalue("x64")
    u = np.array([1e-3, 0.1, 0.5, 0.9, 0.999])
    for t in (-1e3, -30.0, -2.001, -1.999, 0.0, 3.0, 30.0):
        got = jax.jit(quantile)(jnp.asarray(u), jnp.full(u.shape, t))
        # P(> y) of the truncated normal, from its logarithms.
        y = np.asarray(got, np.float64)
        log_share = -0.5 * (y - 2 * t) * y + np.log(
            special.erfcx((y - t) / np.sqrt(2)) / special.erfcx(-t / np.sqrt(2))
        )
        if t > 20:
            log_share = stats.norm.logsf(y - t)
        tolerance = {"rtol": 1e-9} if is_wide else {"rtol": 2e-5, "atol": 2e-6}
        np.testing.assert_allclose(-np.expm1(log_share), u, **tolerance)


@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-23])
def test_the_extreme_uniforms_give_finite_draws(u, monkeypatch):
    unit = ReLU(len(LOCATIONS))
    monkeypatch.setattr(
        "jboltz.random.uniform", lambda key, shape, dtype: jnp.full(shape, u, dtype)
    )
    sample = jax.jit(unit.sample)
    x = sample(unit.init(), jnp.asarray(LOCATIONS), jax.random.key(0))
    assert np.isfinite(x).all()
    assert (x >= 0).all()
    # No draw at zero from a unit far above it: that would be an atom.
    assert x[-1] > 990


def test_a_fit_to_heavier_tails_than_exponential_keeps_the_scale(getkey):
    values = jax.random.exponential(getkey(), (1_000, 1)) ** 2
    unit = ReLU(1)
    fitted = jax.jit(unit.fit)(values)
    assert fitted.bias[0] < 0
    mean = unit.mean(fitted, jnp.zeros(1))[0]
    assert 0.5 < mean / values.mean() < 2


def test_a_noisy_relu_is_that_of_its_docstring(getkey, x64):
    unit, key = NoisyReLU(100), getkey()
    bias, inputs = jax.random.normal(getkey(), (2, 100))
    params, c = NoisyReLUParams(bias=bias), np.asarray(bias + inputs)
    noise = jax.random.normal(key, (100,))
    expected = np.maximum(0, c + np.sqrt(special.expit(c)) * noise)
    np.testing.assert_allclose(unit.sample(params, inputs, key), expected, rtol=1e-9)
    # Li₂(z) is SciPy's spence(1 − z).
    expected = -np.sum(special.spence(1 + np.exp(c)))
    np.testing.assert_allclose(unit.log_normalizer(params, inputs), expected, rtol=1e-9)


def test_mean_states_of_a_noisy_relu_are_those_of_its_draws(x64):
    """By a sum over the noise; and the docstring's distance from Γ′ = softplus."""
    c, noise = np.linspace(-8, 12, 201), np.linspace(-9, 9, 5_001)
    draws = np.maximum(0, c[:, None] + np.sqrt(special.expit(c))[:, None] * noise)
    expected = draws @ stats.norm.pdf(noise) * (noise[1] - noise[0])
    unit = NoisyReLU(c.size)
    got = unit.mean_state(unit.init(), jnp.asarray(c))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    excess = unit.mean(unit.init(), jnp.asarray(c)) - got
    assert 0.41 < excess.max() < 0.42
    assert excess.min() > 0
