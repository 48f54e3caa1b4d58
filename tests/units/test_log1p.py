"""The logarithm of the hot path, against NumPy's in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.units import _log1p


def test_log1p_is_right_to_three_units_in_the_last_place():
    """At both ends, near 0 where the result is y itself, and between."""
    small = np.geomspace(1e-37, 1, 500_001, dtype=np.float32)
    y = np.concatenate([-small[small <= 0.5], [-0.5, 0.0], small])
    expected = np.log1p(y.astype(np.float64))
    got = np.asarray(jax.jit(_log1p.log1p)(jnp.asarray(y)))
    np.testing.assert_allclose(got, expected, rtol=3 * 2.0**-23, atol=0)


def test_softplus_is_right_where_half_of_it_is_no_denormal():
    x = np.linspace(-86, 200, 1_000_001, dtype=np.float32)
    expected = np.logaddexp(x.astype(np.float64), 0)
    got = np.asarray(jax.jit(_log1p.softplus)(jnp.asarray(x)))
    np.testing.assert_allclose(got, expected, rtol=3 * 2.0**-23, atol=0)


def test_softplus_at_the_ends_of_the_line():
    got = _log1p.softplus(jnp.asarray([-jnp.inf, -1e3, 1e3, jnp.inf, jnp.nan]))
    np.testing.assert_array_equal(got, [0, 0, 1e3, jnp.inf, jnp.nan])


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_another_type_is_left_to_jax(dtype, x64):
    y = jnp.linspace(-0.5, 1, 1001).astype(dtype)
    np.testing.assert_array_equal(_log1p.log1p(y), jnp.log1p(y))
