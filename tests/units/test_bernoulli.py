"""Binary units: what the conformance suite does not know of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.units.bernoulli import Bernoulli, BernoulliParams


def test_functions_are_those_of_the_docstring(x64):
    """E = −b·x, Γ = Σ log(1 + exp(b + I)), p = 1/(1 + exp(−b − I)), in NumPy."""
    unit = Bernoulli(3)
    bias, inputs = np.array([0.3, -1.2, 2.0]), np.array([-0.7, 0.4, 1.1])
    x = np.array([1.0, 0.0, 1.0])
    params = BernoulliParams(bias=jnp.asarray(bias))
    np.testing.assert_allclose(unit.energy(params, jnp.asarray(x)), -2.3, rtol=1e-9)
    np.testing.assert_allclose(
        unit.log_normalizer(params, jnp.asarray(inputs)),
        np.sum(np.log1p(np.exp(bias + inputs))),
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        unit.mean(params, jnp.asarray(inputs)),
        1 / (1 + np.exp(-bias - inputs)),
        rtol=1e-9,
    )


def test_a_unit_is_on_where_a_uniform_lies_below_its_mean(getkey):
    """s = 1 iff u < p, with the uniforms of `jax.random.uniform`."""
    unit, key = Bernoulli(1_000), getkey()
    params = BernoulliParams(bias=jax.random.normal(getkey(), (1_000,)))
    inputs = jax.random.normal(getkey(), (1_000,))
    u = jax.random.uniform(key, (1_000,))
    expected = (u < unit.mean(params, inputs)).astype(jnp.float32)
    np.testing.assert_array_equal(unit.sample(params, inputs, key), expected)


@pytest.mark.parametrize("derivative", [0, 1, 2, 3], ids="order {}".format)
def test_derivatives_of_log_normalizer_are_those_of_the_sigmoid(derivative, x64):
    """σ, σ(1 − σ), σ(1 − σ)(1 − 2σ): the rule written out by hand serves all orders."""
    unit, params = Bernoulli(1), BernoulliParams(bias=jnp.zeros(1))

    def gamma(x):
        return unit.log_normalizer(params, x[None])

    function = gamma
    for _ in range(derivative):
        function = jax.grad(function)
    x = np.array([-700.0, -30.0, -2.0, -1e-9, 0.0, 0.5, 30.0, 700.0])
    s, t = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
    expected = [np.logaddexp(0, x), s, s * t, s * t * (t - s)][derivative]
    got = jax.jit(jax.vmap(function))(jnp.asarray(x))
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-15)


def test_probability_zero_never_fires_and_probability_one_always(monkeypatch):
    """Even at the smallest and the largest uniform: u < p, not u ≤ p."""
    unit, params = Bernoulli(2), BernoulliParams(bias=jnp.zeros(2))
    inputs = jnp.asarray([-1e3, 1e3])
    for u in (0.0, 1 - 2.0**-24):
        monkeypatch.setattr(
            "jboltz.random.uniform", lambda key, shape, dtype, u=u: jnp.full(shape, u)
        )
        draw = unit.sample(params, inputs, jax.random.key(0))
        np.testing.assert_array_equal(draw, [0, 1])


def test_the_change_between_rungs_is_exact_at_every_size(x64):
    """In float32, against float64: tiny steps to their rounding, and saturated fields
    in one step without overflow."""
    rng = np.random.default_rng(0)
    unit = Bernoulli(400)
    for scale, betas in ((10.0, (0.9, 0.90001)), (10.0, (0.0, 1.0)), (1e3, (0.0, 1.0))):
        base, own, inputs = (scale * rng.normal(size=400) for _ in range(3))
        base[:100] = own[:100] + inputs[:100] + rng.normal(size=100)

        def change(dtype, base=base, own=own, inputs=inputs, betas=betas):
            return unit.log_normalizer_change(
                BernoulliParams(bias=jnp.asarray(own, dtype)),
                BernoulliParams(bias=jnp.asarray(base, dtype)),
                jnp.asarray(inputs, dtype),
                tuple(jnp.asarray(np.float32(beta), dtype) for beta in betas),
            )

        x, y = ((1 - b) * base + b * (own + inputs) for b in np.float32(betas) * 1.0)
        terms = np.logaddexp(y, 0) - np.logaddexp(x, 0)
        np.testing.assert_allclose(change("float64"), terms.sum(), rtol=1e-7)
        error = abs(change("float32") - terms.sum())
        assert error < 1e-5 * np.abs(terms).sum()
