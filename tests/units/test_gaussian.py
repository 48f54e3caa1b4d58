"""Real units: what the conformance suite does not know of them."""

import jax
import jax.numpy as jnp
import numpy as np

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
