"""Products of matrices and vectors with a stated precision.

If a product of float32 states no precision, a TPU rounds the operands to bfloat16 and a
recent GPU to TensorFloat-32. The library multiplies by the functions here instead, so
that float32 means float32 on every device.

To ask for a lower precision, use JAX's own context,
`jax.default_matmul_precision(name)`. `jit` compiles a function again under another one.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

_P = ParamSpec("_P")
_R = TypeVar("_R")


def product(x: ArrayLike, y: ArrayLike) -> Array:
    """x @ y in full float32, or in the precision that the context around it asks for.

    Under `jax.default_matmul_precision("bfloat16")` the operands are rounded to
    bfloat16 on every device; sums and derivatives are not rounded. The names of other
    precisions are listed by JAX.
    """
    named = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    if named is None:
        return full_product(x, y)
    if named != "bfloat16":
        return jnp.matmul(x, y)
    # Operands are rounded here as well, since a processor ignores `precision`: so the
    # numbers are the same on every device.
    return jnp.matmul(_round(x), _round(y), precision="BF16_BF16_F32")


def full_product(x: ArrayLike, y: ArrayLike) -> Array:
    """x @ y in full float32, whatever precision the context asks for.

    It is for products that are cheap beside those with weights: a term of an energy,
    x·y, or a change of coordinates of a gradient.
    """
    return jnp.matmul(x, y, precision="highest")


def full_precision(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """`function` with every product inside it in full float32, whatever the context.

    It is for numbers that are reported, and for energies that decide whether a draw is
    accepted. It also holds for the products of models, units and networks of your own,
    unless they state a precision themselves.
    """

    @functools.wraps(function)
    def in_full_precision(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with jax.default_matmul_precision("float32"):
            return function(*args, **kwargs)

    return in_full_precision


def _round(x: ArrayLike) -> Array:
    """x rounded to bfloat16 and stored as float32; derivatives pass unchanged."""
    x = jnp.asarray(x)
    rounded = jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
    return x + jax.lax.stop_gradient(rounded - x)
