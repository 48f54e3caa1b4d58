"""Rows of pictures along the chains of a model."""

from functools import partial
from typing import Any

import jax
from jaxtyping import Array, Key

from jboltz.base import Params, State
from jboltz.samplers.chains import run


def sweep_counts(longest: int) -> dict[str, int]:
    """1, 10, 100, … and `longest` sweeps, each with its name: rows of pictures."""
    counts = [*(10**i for i in range(9) if 10**i < longest), longest]
    return {f"{count} sweep{'s' * (count > 1)}": count for count in counts}


@partial(jax.jit, static_argnames="sampler")
def pictures_after(
    sampler: Any,
    params: Params,
    starts: State,
    keys: Key[Array, " chains"],
    num_steps: int | Array,
    **options: State,
) -> Array:
    """The means of the visible units after `num_steps` steps, one chain a start.

    Args:
      sampler: a `Sampler` of a `VisibleMeanModel`.
      options: of `sampler.init`.
    """

    def one(start, key):
        key_init, key_run = jax.random.split(key)
        chain = sampler.init(params, start, key_init, **options)
        chain, _ = run(sampler, params, chain, key_run, num_steps=num_steps)
        return sampler.model.mean_visible_state(params, chain.hidden)

    return jax.vmap(one)(starts, keys)
