"""An RBM whose products keep 16 bits of the weights, by two products of bfloat16."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import jboltz


def by_parts(x: Float[Array, " n"], weights: Float[Array, "n m"]) -> Float[Array, " m"]:
    """x @ weights by two products of bfloat16, for x that bfloat16 holds exactly.

    The weights are the sum of a high part and a low part, which keep 16 bits of them.
    So is the derivative by the result, in the gradient of the weights.
    """
    total: Any = 0.0
    for part in (_high, _low):
        factor = weights + jax.lax.stop_gradient(part(weights) - weights)
        product = jnp.matmul(x, factor, precision="BF16_BF16_F32")
        total = total + _with_part_of_derivative(part, product)
    return total


def _high(x: Array) -> Array:
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)


def _low(x: Array) -> Array:
    return _high(x - _high(x))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _with_part_of_derivative(part: Callable[[Array], Array], x: Array) -> Array:
    return x


_with_part_of_derivative.defvjp(
    lambda part, x: (x, None), lambda part, _, derivative: (part(derivative),)
)


class HighLowRBM(jboltz.RBM):
    """An RBM of binary units whose products are those of `by_parts`."""

    def hidden_inputs(self, params, v):
        return by_parts(v, params.weights)

    def visible_inputs(self, params, h):
        return by_parts(h, params.weights.T)
