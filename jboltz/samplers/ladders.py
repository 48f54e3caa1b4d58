"""Ladders for tempering: values of β, or checkpoints of a training run."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key

from jboltz import random
from jboltz.base import FreeEnergyModel, Params, State
from jboltz.errors import InvalidValue
from jboltz.products import full_precision
from jboltz.samplers.chains import run_chains
from jboltz.samplers.tempering import (
    ParallelTempering,
    TemperingLadder,
    TemperingState,
    join_replicas,
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


def choose_checkpoints(
    model: FreeEnergyModel,
    params: Params,
    chains: TemperingState,
    *,
    acceptance: float = 0.25,
) -> np.ndarray:
    """A small set of checkpoints, with the first and the last, whose neighbours swap.

    Starting at the last checkpoint, the next one is the earliest that swaps with it
    at a rate of at least `acceptance`, or the previous one if there is none.

    Args:
      params: all checkpoints, stacked.
      chains: chains of a pilot run of `TrajectoryTempering` with all checkpoints.

    Returns:
      Ascending indices; `jax.tree.map(lambda x: x[indices], params)` is the ladder.
    """
    visible = join_replicas(chains.replicas.visible, chains.visible, axis=1)
    rates = np.asarray(_acceptances(model, params, visible))
    indices = [len(rates) - 1]
    while indices[0] > 0:
        swaps = np.flatnonzero(rates[indices[0], : indices[0]] >= acceptance)
        indices.insert(0, int(swaps[0]) if swaps.size else indices[0] - 1)
    return np.asarray(indices)


@full_precision
def _acceptances(
    model: FreeEnergyModel, params: Params, visible: State
) -> Float[Array, "replicas replicas"]:
    """Mean acceptance of a swap between any two replicas, over chains (axis 0)."""
    of_states = jax.vmap(model.free_energy, in_axes=(None, 0))
    of_models = jax.vmap(of_states, in_axes=(0, None))

    def of_chain(visible):
        energies = of_models(params, visible)  # F_a(x_b)
        own = jnp.diag(energies)
        log_ratio = own[:, None] + own[None, :] - energies - energies.T
        return jnp.exp(jnp.minimum(log_ratio, 0))

    return jnp.mean(jax.vmap(of_chain)(visible), axis=0)


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
