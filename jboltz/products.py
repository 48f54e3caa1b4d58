"""Products of matrices and vectors with a stated precision.

If a product of float32 states no precision, a TPU rounds the operands to bfloat16 and a
recent GPU to TensorFloat-32. The library multiplies by the functions here instead, so
that float32 means float32 on every device.

To ask for a lower precision, use JAX's own context,
`jax.default_matmul_precision(name)`. `jit` compiles a function again under another one.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, ArrayLike

_P = ParamSpec("_P")
_R = TypeVar("_R")


def product(x: ArrayLike, y: ArrayLike) -> Array:
    """x @ y in full float32, or in the precision that the context around it asks for.

    Under `jax.default_matmul_precision("bfloat16")` the operands are rounded to
    bfloat16 on every device; sums and derivatives are not rounded. The names of other
    precisions are listed by JAX.
    """
    named = _precision()
    if named is None:
        return full_product(x, y)
    if named != "bfloat16":
        return jnp.matmul(x, y)
    return _bfloat16_product(jnp.matmul, jnp.asarray(x), jnp.asarray(y))


def transposed_product(x: ArrayLike, y: ArrayLike) -> Array:
    """x @ y.T for a matrix y, in the precision of `product`.

    Only where the transposition is part of the product, XLA multiplies bfloat16 by the
    units that a processor has for it.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    if _precision() != "bfloat16":
        return product(x, y.T)
    return _bfloat16_product(_times_transposed, x, y)


_times_transposed = partial(jnp.einsum, "...j,ij->...i")


def _precision() -> str | None:
    return jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _bfloat16_product(multiply: Callable[..., Array], x: Array, y: Array) -> Array:
    """A product whose operands are rounded here, since a processor ignores `precision`.

    A processor with units for bfloat16 uses them, several times as fast as float32.
    """
    factors = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
    total = multiply(*factors, preferred_element_type=jnp.float32)
    return total.astype(jnp.promote_types(jnp.result_type(x, y), jnp.float32))


@partial(_bfloat16_product.defjvp, symbolic_zeros=True)
def _derivative(multiply, primals, tangents):
    """The derivative at the rounded operands; JAX's own rule would round it too."""
    x, y = primals
    of_x, of_y = tangents
    terms = [
        multiply(*factors, precision="BF16_BF16_F32")
        for factors in ((of_x, _round(y)), (_round(x), of_y))
        if not any(isinstance(factor, SymbolicZero) for factor in factors)
    ]
    return _bfloat16_product(multiply, x, y), sum(terms[1:], terms[0])


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

    @wraps(function)
    def in_full_precision(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with jax.default_matmul_precision("float32"):
            return function(*args, **kwargs)

    return in_full_precision


def _round(x: Array) -> Array:
    """x rounded to bfloat16 and stored as float32; derivatives pass unchanged."""
    rounded = jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
    return x + jax.lax.stop_gradient(rounded - x)
