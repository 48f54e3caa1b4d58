"""log(1 + y) for 1 + y between 1/2 and 2, the range that a softplus needs.

XLA's log1p is right for every y, by two formulas and a choice between them. With it a
softplus takes 2.2 ns of a core, and .33 ns with this one (.58 with half-width vectors).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact


def log1p(y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log(1 + y) for −1/2 ≤ y ≤ 1, to three units in the last place of a float32.

    It is 2 artanh s = 2 (s + s³/3 + s⁵/5 + …) with s = y / (2 + y). As |s| ≤ 1/3, the
    omitted terms are below 2·10⁻⁸ of the value. Other dtypes than float32 use JAX's.

    Reference:
      Abramowitz & Stegun (1964), Handbook of mathematical functions, 4.1.29.
    """
    if y.dtype != jnp.float32:
        return jnp.log1p(y)
    s = y / (2 + y)
    z = s * s
    tail = np.float32(1 / 13)
    for k in (11, 9, 7, 5, 3):
        tail = tail * z + np.float32(1 / k)
    return 2 * s * (1 + z * tail)


def softplus(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """log(1 + eˣ); of a complex x, up to a multiple of 2πi."""
    if jnp.iscomplexobj(x):
        return jnp.logaddexp(x, jnp.zeros_like(x))
    rest = log1p(jnp.exp(-jnp.abs(x)))
    # The function ends in a choice on purpose: if it ended in arithmetic, sums of it
    # would go to a library of XLA that writes every intermediate array to memory.
    return jnp.where(x > 0, x + rest, rest)


def softplus_gain(
    x: Inexact[Array, "*shape"],
    y: Inexact[Array, "*shape"],
    gain: Inexact[Array, "*shape"],
) -> Inexact[Array, "*shape"]:
    """log(1 + eʸ) − log(1 + eˣ) without cancellation; `gain` is y − x unrounded."""
    if jnp.iscomplexobj(y):
        return softplus(y) - softplus(x)
    has_one_sign = (x > 0) == (y > 0)
    positive = jnp.maximum(y, 0) - jnp.maximum(x, 0)
    positive = jnp.where(has_one_sign, jnp.where(x > 0, gain, 0), positive)
    # The rest of log(1 + eˣ) is log(1 + e⁻ᵃ), a = |x|, and between a and a + r
    # it falls by −log(1 − σ(−a)(1 − e⁻ʳ)): nothing here overflows or cancels.
    a, b = jnp.abs(x), jnp.abs(y)
    r = jnp.where(has_one_sign, jnp.abs(gain), jnp.abs(b - a))
    tail = jax.nn.sigmoid(-jnp.minimum(a, b))
    fall = log1p(tail * jnp.expm1(-r))
    # The function ends in a choice, as `softplus` does.
    return jnp.where(b > a, positive + fall, positive - fall)
