"""Ladders for tempering: values of β, or checkpoints of a training run."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key

from jboltz import random
from jboltz.base import Params
from jboltz.errors import InvalidValue
from jboltz.samplers.chains import run_chains
from jboltz.samplers.tempering import (
    ParallelTempering,
    TemperingLadder,
    TemperingState,
    shapes_of,
)


def with_ladder(
    chains: TemperingState,
    *,
    base: Params | None = None,
    beta: ArrayLike | Sequence[float] | None = None,
) -> TemperingState:
    """States of `ParallelTempering` with another ladder. It cannot be traced.

    Args:
      chains: one chain, or many along leading axes.
      base: a base, for example from `Annealed.fit_base`; None: unchanged.
      beta: β of each replica, increasing from 0 to 1; None: unchanged.

    Raises:
      ValueError: `beta` does not increase from 0 to 1 or does not fit the number of
        replicas, or `base` belongs to another model.
    """
    *axes, num_replicas = chains.is_renewed.shape
    old = jax.tree.map(lambda x: x[(0,) * len(axes)], chains.ladder)
    base = old.base if base is None else base
    rungs = old.beta if beta is None else jnp.asarray(beta, old.beta.dtype)
    _check_rungs(rungs, num_replicas)
    if shapes_of(base) != shapes_of(old.base):
        raise InvalidValue(
            f"`base` has leaves {shapes_of(base)} but the base of these chains has "
            f"{shapes_of(old.base)}; take it from the same annealed model."
        )
    ladder = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (*axes, *x.shape)),
        TemperingLadder(base=base, beta=rungs),
    )
    return TemperingState(
        visible=chains.visible,
        hidden=chains.hidden,
        replicas=chains.replicas,
        is_renewed=chains.is_renewed,
        ladder=ladder,
    )


def adapt_ladder(
    sampler: ParallelTempering,
    params: Params,
    chains: TemperingState,
    key: Key[Array, ""],
    *,
    num_steps: int = 100,
    num_rounds: int = 10,
) -> TemperingState:
    """Runs chains and adapts their ladder so that all pairs swap equally often.

    A round runs the chains for `num_steps` steps. Then it places the rungs so that the
    cumulative rejection rate, interpolated between the old rungs, has equal increments.
    Use it as warm-up only: a ladder that keeps following the chains would bias them.

    Reference:
      Syed, Bouchard-Côté, Deligiannidis & Doucet (2022), Non-reversible parallel
      tempering: a scalable highly parallel MCMC scheme.
    """
    for index in range(num_rounds):
        key_run = random.fold_in(key, index)
        chains, metrics = run_chains(
            sampler, params, chains, key_run, num_steps=num_steps
        )
        beta = _equalize(chains.ladder.beta[0], metrics["acceptance"].mean((0, 1)))
        chains = with_ladder(chains, beta=beta)
    return chains


def _equalize(
    beta: Float[Array, " replicas"], acceptance: Float[Array, " pairs"]
) -> Float[Array, " replicas"]:
    """Rungs at equal increments of the cumulative rejection rate."""
    # The bound keeps rungs distinct if a pair never rejects.
    rejection = jnp.maximum(1 - acceptance, 1e-3)
    barrier = jnp.append(0, jnp.cumsum(rejection))
    parts = jnp.linspace(0, 1, len(beta))
    return jnp.interp(parts, barrier / barrier[-1], beta)


def stack_params(checkpoints: Sequence[Params]) -> Params:
    """Stacks checkpoints of one model along a new leading axis, as a ladder.

    Raises:
      ValueError: there are fewer than two, or their shapes or dtypes differ.
    """
    if len(checkpoints) < 2:
        raise InvalidValue(
            f"`checkpoints` has the length {len(checkpoints)} but tempering needs at "
            "least 2 replicas; save more along the training run."
        )
    first, *others = [shapes_of(params) for params in checkpoints]
    for index, other in enumerate(others, start=1):
        if other != first:
            raise InvalidValue(
                f"`checkpoints[{index}]` has leaves {other} but `checkpoints[0]` has "
                f"{first}; a ladder is made of checkpoints of one model."
            )
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *checkpoints)


def _check_rungs(beta, num_replicas):
    beta = np.asarray(beta)
    if (
        beta.shape != (num_replicas,)
        or not (beta[0] == 0 and beta[-1] == 1)
        or not np.all(np.diff(beta) > 0)
    ):
        raise InvalidValue(
            f"`beta` is {beta.tolist()} but a ladder of {num_replicas} replicas needs "
            f"{num_replicas} rungs that increase from 0 to 1, such as "
            f"`jnp.linspace(0, 1, {num_replicas})`."
        )
