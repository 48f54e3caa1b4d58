"""Products of matrices and vectors, each of which says how precise it is.

A processor multiplies float32 as it stands. Where a product does not say its precision,
a TPU rounds the operands to bfloat16 and a recent GPU to TensorFloat-32. So the library
multiplies by the functions here, and float32 means float32 on every device.

The one way to ask for less is JAX's own context, `jax.default_matmul_precision(name)`,
which is a part of the key under which `jit` keeps what it compiled.
"""

import functools
from collections.abc import Callable
from typing import Literal, ParamSpec, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

Precision: TypeAlias = Literal["float32", "tensorfloat32", "bfloat16"]
"""What the products of training are computed in; sums and parameters stay float32."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def product(x: ArrayLike, y: ArrayLike) -> Array:
    """x @ y in full float32, or as precise as the context around it says.

    In `jax.default_matmul_precision("bfloat16")` the operands are rounded to bfloat16,
    on every device alike; sums and derivatives are not. JAX knows the other names.
    """
    named = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    if named is None:
        return full_product(x, y)
    if named != "bfloat16":
        return jnp.matmul(x, y)
    # A processor ignores the precision and an accelerator rounds by itself, so
    # that with both the numbers are the same everywhere.
    x, y = jnp.asarray(x), jnp.asarray(y)
    return jnp.matmul(_round(x), _round(y), precision="BF16_BF16_F32")


def full_product(x: ArrayLike, y: ArrayLike) -> Array:
    """x @ y in full float32, whatever the context says.

    For what is cheap beside the products with weights: a term of an energy, x·y, or a
    change of coordinates of a gradient.
    """
    return jnp.matmul(x, y, precision="highest")


def full_precision(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """`function` with every product inside it in full float32.

    Whatever the context around it says: for numbers that are reported, and for the
    energies by which a draw is accepted. It holds for the products of models, units and
    networks from elsewhere too, unless these say a precision themselves.
    """

    @functools.wraps(function)
    def in_full_precision(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with jax.default_matmul_precision("float32"):
            return function(*args, **kwargs)

    return in_full_precision


def _round(x: Array) -> Array:
    """Rounds to the nearest bfloat16, kept as a float32; derivatives pass unchanged."""
    rounded = jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
    return x + jax.lax.stop_gradient(rounded - x)
