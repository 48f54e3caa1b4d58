"""The partition function."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jboltz.base import State

MOST_UNITS = 25
"""Beyond 2²⁵ states enumeration takes minutes to hours."""


def log_partition(
    hidden_free_energy: Callable[[State], Float[Array, ""]],
    num_hidden: int,
    *,
    chunk_size: int = 2**12,
) -> Float[Array, ""]:
    """log Z = log Σ_h exp(−F(h)), in nats, over all 2ⁿ states of n binary units.

    Exact: for an RBM with few hidden units, `partial(rbm.hidden_free_energy, params)`;
    with few visible ones, `partial(rbm.free_energy, params)`. States go through in
    chunks, with a running logsumexp.

    Args:
      hidden_free_energy: of one state of {0, 1}ⁿ, the other layer summed out.
      chunk_size: states at a time, a power of two.

    Raises:
      ValueError: more than 25 units, or none.
    """
    if not 1 <= num_hidden <= MOST_UNITS:
        raise ValueError(
            f"`num_hidden` is {num_hidden} but enumeration takes 1 to {MOST_UNITS} "
            "binary units; more need an estimate, as of annealed importance sampling."
        )
    chunk_size = min(chunk_size, 2**num_hidden)
    bits = jnp.arange(num_hidden)
    dtype = jax.eval_shape(hidden_free_energy, jnp.zeros(num_hidden)).dtype

    def of_chunk(total, first):
        numbers = first + jnp.arange(chunk_size)
        states = (numbers[:, None] >> bits[None]) & 1
        free_energies = jax.vmap(hidden_free_energy)(states.astype(dtype))
        return jnp.logaddexp(total, jax.nn.logsumexp(-free_energies)), None

    firsts = chunk_size * jnp.arange(2**num_hidden // chunk_size)
    start = jnp.full((), -jnp.inf, dtype)
    return jax.lax.scan(of_chunk, start, firsts)[0]
