"""Real units: what the conformance suite does not know of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.units.gaussian import Gaussian, GaussianParams


def test_functions_are_those_of_the_docstring(x64):
    """E, a, Γ and N(μ + I, σ²), in NumPy."""
    unit = Gaussian(2)
    mu, log_variance = np.array([0.5, -1.0]), np.array([0.8, -0.6])
    inputs, x = np.array([-0.7, 0.4]), np.array([1.3, 0.2])
    variance = np.exp(log_variance)
    params = GaussianParams(
        mean=jnp.asarray(mu), log_variance=jnp.asarray(log_variance)
    )
    got = (
        unit.energy(params, jnp.asarray(x)),
        unit.activity(params, jnp.asarray(x)),
        unit.log_normalizer(params, jnp.asarray(inputs)),
        unit.mean(params, jnp.asarray(inputs)),
        unit.mean_state(params, jnp.asarray(inputs)),
    )
    expected = (
        0.5 * np.sum((x - mu) ** 2 / variance),
        x / variance,
        np.sum(
            (mu * inputs + 0.5 * inputs**2) / variance
            + 0.5 * np.log(2 * np.pi * variance)
        ),
        (mu + inputs) / variance,
        mu + inputs,
    )
    for value, want in zip(got, expected, strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-9)


def test_a_draw_is_the_mean_plus_sigma_times_a_normal(getkey, x64):
    unit, key = Gaussian(100), getkey()
    params = GaussianParams(
        mean=jax.random.normal(getkey(), (100,)),
        log_variance=jax.random.normal(getkey(), (100,)),
    )
    inputs = jax.random.normal(getkey(), (100,))
    sigma = np.sqrt(np.exp(params.log_variance))
    expected = params.mean + inputs + sigma * jax.random.normal(key, (100,))
    np.testing.assert_allclose(unit.sample(params, inputs, key), expected, rtol=1e-9)


def test_half_way_between_two_units_the_precision_is_the_mean_of_theirs(x64):
    unit, beta = Gaussian(1), jnp.asarray(0.5)
    narrow = GaussianParams(mean=jnp.ones(1), log_variance=-jnp.log(3.0) * jnp.ones(1))
    wide = GaussianParams(mean=jnp.zeros(1), log_variance=jnp.zeros(1))
    half = unit.interpolate(narrow, wide, beta)
    np.testing.assert_allclose(jnp.exp(-half.log_variance), 2.0, rtol=1e-9)
    np.testing.assert_allclose(half.mean, 0.75, rtol=1e-9)


LOG_VARIANCE = -100.0  # 1/σ² is 2.7e43, beyond a float32


def test_the_smallest_variances_give_what_a_float32_holds(x64):
    """E, a, Γ and a rung, against NumPy's float64; only what is larger is infinite."""
    unit, precision = Gaussian(3), np.exp(-LOG_VARIANCE)
    mean = np.array([0.0, 0.5, 0.0])
    x, inputs = np.array([3e-22, 0.5, 0.0]), np.array([2e-22, 0.0, 0.0])
    params = GaussianParams(
        mean=jnp.asarray(mean, jnp.float32),
        log_variance=jnp.full(3, LOG_VARIANCE, jnp.float32),
    )
    base = GaussianParams(
        mean=jnp.ones(3, jnp.float32), log_variance=jnp.zeros(3, jnp.float32)
    )

    @jax.jit
    def functions(params, x, inputs, beta, key):
        rung = unit.interpolate(params, base, beta)
        return {
            "energy": unit.energy(params, x),
            "activity": unit.activity(params, x - params.mean),
            "log_normalizer": unit.log_normalizer(params, inputs),
            "gain": unit.log_normalizer_gain(params, inputs, inputs),
            "rung": (rung.mean, rung.log_variance),
            "sample": unit.sample(params, inputs, key),
        }

    x32, inputs32 = (jnp.asarray(y, jnp.float32) for y in (x, inputs))
    for beta in (0.0, 0.5, 1.0):
        beta32, key = jnp.asarray(beta, jnp.float32), jax.random.key(0)
        got = functions(params, x32, inputs32, beta32, key)
        weight, base_weight = beta * precision, 1 - beta
        expected = {
            "energy": 0.5 * np.sum((x - mean) ** 2 * precision),
            "activity": (x - mean) * precision,
            "log_normalizer": np.sum(
                (mean * inputs + 0.5 * inputs**2) * precision
                + 0.5 * (np.log(2 * np.pi) + LOG_VARIANCE)
            ),
            "gain": 1.5 * np.sum(inputs**2) * precision,
            "rung": (
                (weight * mean + base_weight) / (weight + base_weight),
                np.full(3, -np.log(weight + base_weight)),
            ),
            "sample": mean + inputs,
        }
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-20),
            got,
            expected,
        )
        # An energy that no float32 holds is infinite, and not a number all the same.
        assert functions(params, x32 + 1, inputs32, beta32, key)["energy"] == np.inf


def test_an_integral_over_the_smallest_variances_is_right_or_refused():
    unit, zero = Gaussian(1), jnp.zeros(1)
    params = GaussianParams(mean=zero, log_variance=zero + LOG_VARIANCE)
    x, log_weights = unit.alternatives(params, zero, zero)
    terms = log_weights - jax.vmap(unit.energies, (None, 0))(params, x)
    expected = unit.log_normalizer(params, zero)
    np.testing.assert_allclose(jax.nn.logsumexp(terms), expected, rtol=1e-6)
    # Beside a mean of 1 all nodes round to 1.
    params = GaussianParams(mean=zero + 1, log_variance=zero + LOG_VARIANCE)
    with pytest.raises(ValueError, match=r"`params.log_variance` is down to -100"):
        unit.alternatives(params, zero, zero)
