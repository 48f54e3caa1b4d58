"""The uniforms are JAX's own, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz import random


@pytest.mark.parametrize("shape", [(), (1,), (7,), (784,), (3, 5), (2, 3, 4)], ids=str)
def test_uniform_is_bit_for_bit_that_of_jax(shape, getkey):
    key = getkey()
    expected = jax.random.uniform(key, shape)
    np.testing.assert_array_equal(random.uniform(key, shape), expected)


def test_uniform_under_vmap_and_jit_is_that_of_jax(getkey):
    keys = jax.random.split(getkey(), 5)
    ours = jax.jit(jax.vmap(lambda key: random.uniform(key, (11,))))(keys)
    theirs = jax.vmap(lambda key: jax.random.uniform(key, (11,)))(keys)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_other_generators_are_left_to_jax(impl):
    key = jax.random.key(3, impl=impl)
    expected = jax.random.uniform(key, (9,))
    np.testing.assert_array_equal(random.uniform(key, (9,)), expected)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float64])
def test_other_dtypes_are_left_to_jax(dtype, getkey, x64):
    key = getkey()
    draws = random.uniform(key, (9,), dtype)
    assert draws.dtype == dtype
    np.testing.assert_array_equal(draws, jax.random.uniform(key, (9,), dtype))
