"""Categorical units and spins: what the conformance suite does not know of them."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from jboltz.units.softmax import Softmax, SoftmaxParams
from jboltz.units.spin import Spin, SpinParams


def test_functions_are_those_of_the_docstring(getkey, x64):
    unit = Softmax(2, 3)
    bias, inputs = (
        jax.random.normal(getkey(), (2, 3)),
        jax.random.normal(getkey(), (6,)),
    )
    params, field = SoftmaxParams(bias=bias), np.asarray(bias).ravel() + inputs
    x = jnp.asarray([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(unit.energy(params, x), -bias[0, 1] - bias[1, 2])
    np.testing.assert_array_equal(unit.activity(params, x), [0, 1, 0, 0, 0, 1])
    expected = special.logsumexp(field.reshape(2, 3), axis=1).sum()
    np.testing.assert_allclose(unit.log_normalizer(params, inputs), expected, rtol=1e-9)


def test_a_category_is_drawn_where_a_uniform_meets_the_cumulated_probability(getkey):
    unit, key = Softmax(500, 4), getkey()
    params = SoftmaxParams(bias=jax.random.normal(getkey(), (500, 4)))
    inputs = jax.random.normal(getkey(), (2_000,))
    u = np.asarray(jax.random.uniform(key, (500, 1)))
    cumulated = np.cumsum(unit.mean_state(params, inputs), axis=1)
    drawn = np.asarray(unit.sample(params, inputs, key))
    assert (drawn.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(drawn.argmax(axis=1), (u > cumulated).sum(axis=1))


def test_a_category_of_probability_zero_is_never_drawn(monkeypatch):
    """Not the first at the smallest uniform, nor the last at the largest."""
    unit = Softmax(1, 5)
    inputs = jnp.asarray([-1e3, 0.3, -0.2, 0.1, -1e3])
    for u, index in ((0.0, 1), (1 - 2.0**-24, 3)):
        monkeypatch.setattr(
            "jboltz.random.uniform",
            lambda key, shape, dtype, u=u: jnp.full(shape, u, dtype),
        )
        x = unit.sample(unit.init(), inputs, jax.random.key(0))
        assert x[0, index] == 1


def test_fitted_biases_sum_to_zero(getkey):
    values = jax.nn.one_hot(jax.random.randint(getkey(), (50, 2), 0, 2), 3)
    bias = Softmax(2, 3).fit(values).bias
    np.testing.assert_allclose(bias.sum(axis=1), 0.0, atol=1e-6)
    p = jax.nn.softmax(bias, axis=1)
    np.testing.assert_allclose(p, (values.sum(axis=0) + 1) / 53, rtol=1e-5)


def test_spins_are_binary_units_in_other_coordinates(getkey, x64):
    """With x = 2s − 1: p(x = 1) = σ(2(b + I)), and the same uniforms."""
    unit, key = Spin(200), getkey()
    bias, inputs = jax.random.normal(getkey(), (2, 200))
    params, c = SpinParams(bias=bias), np.asarray(bias + inputs)
    expected = np.sum(np.log(2 * np.cosh(c)))
    np.testing.assert_allclose(unit.log_normalizer(params, inputs), expected, rtol=1e-9)
    u = np.asarray(jax.random.uniform(key, (200,)))
    expected = jnp.asarray(np.where(u < special.expit(2 * c), 1.0, -1.0))
    np.testing.assert_array_equal(unit.sample(params, inputs, key), expected)
    np.testing.assert_allclose(unit.energy(params, expected), -bias @ expected)
