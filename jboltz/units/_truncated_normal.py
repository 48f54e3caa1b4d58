"""N(c/γ, 1/γ) given that x ≥ 0, in forms that are precise in float32 for every c."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array

# Below t = c/√γ = −2 the sum c²/2γ + log Φ(t) cancels; continued fractions replace it.
_TAIL = -2.0


def log_integral(c: Array, log_precision: Array) -> Array:
    """log ∫ exp(cx − ½γx²) dx over x ≥ 0."""
    scale = jnp.exp(0.5 * log_precision)
    t = c / scale
    is_tail = t < _TAIL
    near = jnp.where(is_tail, 0.0, t)
    twice_cdf = jax.lax.erfc(-near * math.sqrt(0.5))
    direct = 0.5 * near**2 + jnp.log(twice_cdf) + 0.5 * math.log(math.pi / 2)
    # In this form no term of the derivative by the log-precision cancels either.
    x, far = jnp.where(is_tail, -t, -_TAIL), jnp.where(is_tail, c, _TAIL)
    tail = -jnp.log(scale * _ratio(0, x) - far)
    return jnp.where(is_tail, tail, direct - 0.5 * log_precision)


def mean(c: Array, log_precision: Array) -> Array:
    def gamma(c):
        return log_integral(c, log_precision)

    return jax.jvp(gamma, (c,), (jnp.ones_like(c),))[1]


def variance(c: Array, log_precision: Array) -> Array:
    def of_c(c):
        return mean(c, log_precision)

    return jax.jvp(of_c, (c,), (jnp.ones_like(c),))[1]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _ratio(n: int, x: Array) -> Array:
    """E[xⁿ⁺¹]/E[xⁿ] for γ = 1, c = −x ≤ −2: (n+1)/(x + (n+2)/(x + (n+3)/(x + …))).

    24 terms are followed by the solution for a slowly varying remainder. The error is
    3e-11 at x = 2 and n = 0, and less elsewhere.
    """
    last = n + 25
    rest = 4 * last + 2 * (1 + x / jnp.sqrt(x**2 + 4 * last))
    r = 0.5 * (jnp.sqrt(x**2 + rest) - x)
    for k in range(last, n, -1):
        r = k / (x + r)
    return r


@_ratio.defjvp
def _ratio_jvp(n, primals, tangents):
    # The derivative of the n-th unnormalized moment is minus the next one.
    (x,), (dx,) = primals, tangents
    r = _ratio(n, x)
    return r, r * (r - _ratio(n + 1, x)) * dx


def quantile(u: Array, t: Array) -> Array:
    """The u-quantile, u ∈ (0, 1), of N(t, 1) restricted to y ≥ 0."""
    is_tail = t < _TAIL
    near = jnp.where(is_tail, 0.0, t)
    below, above = ndtr(-near) + u * ndtr(near), (1 - u) * ndtr(near)
    z = ndtri(jnp.minimum(below, above))
    # The sum of t and ±z may round to a number below zero.
    direct = jnp.maximum(near + jnp.where(below < above, z, -z), 0.0)

    # In the tail P(> y) = exp(−½y² − xy) (x + r(x))/(x + y + r(x + y)). Newton's method
    # solves for its logarithm, starting at the quantile of (x + y) exp(−½y² − xy).
    x, wanted = jnp.where(is_tail, -t, -_TAIL), -jnp.log1p(-u)
    r, y = _ratio(0, x), 2 * wanted / (x + jnp.sqrt(x**2 + 2 * wanted))
    for _ in range(3):  # errors of 1e-6, 1e-12, then rounding
        r_end = _ratio(0, x + y)
        excess = (0.5 * y + x) * y + jnp.log1p((y + r_end - r) / (x + r)) - wanted
        y = y - excess / (x + y + r_end)
    return jnp.where(is_tail, y, direct)
