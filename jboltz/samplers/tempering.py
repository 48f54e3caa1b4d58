"""Tempering: replicas of a chain at easier models carry it between the target's modes.

A step is a Gibbs sweep of every replica, then swaps of neighbours, first of the pairs
(0, 1), (2, 3), … and then of (1, 2), (3, 4), …, so that what moves up the ladder moves
on. The visible states x of replicas a and b change places with probability min(1, r),

    log r = F_a(x_a) + F_b(x_b) − F_a(x_b) − F_b(x_a),

the hidden states integrated out and drawn afresh. F_a is the free energy of replica a's
own model: at a rung β that is not β F, as the hidden units are tempered too.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import FreeEnergyModel, Leaf, Metrics, Params, State
from jboltz.samplers.gibbs import GibbsState


@struct.dataclass
class TemperingState:
    """One chain of the target, and its replicas at the other models of the ladder."""

    visible: State  # of the target
    hidden: State  # of the target
    replicas: GibbsState  # the others, (num_replicas − 1, …), the target's next last
    is_renewed: Leaf  # (num_replicas,): was at the first model since it left the target


@dataclasses.dataclass(frozen=True)
class TrajectoryTempering:
    """Replicas at checkpoints of one training run; the target is the last of them.

    `params` is the ladder: the checkpoints stacked along a new leading axis, early ones
    first, as from `stack_params`. Leaves p(v, h) of the last invariant. Metrics are
    those of `ParallelTempering`.

    Reference:
      Béreux, Decelle, Furtlehner, Rosset & Seoane (2025), Fast training and sampling of
      restricted Boltzmann machines.
    """

    model: FreeEnergyModel

    def init(self, params: Params, v: State, key: Key[Array, ""]) -> TemperingState:
        """A chain all of whose replicas start at `v`."""
        return _start(self.model, params, 0, _count_replicas(params), v, key)

    def step(
        self, params: Params, state: TemperingState, key: Key[Array, ""]
    ) -> tuple[TemperingState, Metrics]:
        return _step(self.model, params, 0, state, key)


def stack_params(checkpoints: Sequence[Params]) -> Params:
    """Records of one model stacked along a new leading axis, as a ladder.

    Raises:
      ValueError: there are fewer than two, or they are not of one shape.
    """
    if len(checkpoints) < 2:
        raise ValueError(
            f"`checkpoints` holds {len(checkpoints)} of them but tempering needs at "
            "least 2 replicas; save more along the training run."
        )
    first, *others = [_shapes(params) for params in checkpoints]
    for index, other in enumerate(others, start=1):
        if other != first:
            raise ValueError(
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
    """The fewest checkpoints, first and last among them, whose neighbours still swap.

    From the last one down, the next is the earliest that accepts swaps with it at least
    as often as `acceptance`; where not even the neighbour does, the neighbour.

    Args:
      params: all checkpoints, stacked.
      chains: of a pilot run of `TrajectoryTempering` through all of them.

    Returns:
      Indices, ascending; `jax.tree.map(lambda x: x[indices], params)` is their ladder.
    """
    visible = _join(chains.replicas.visible, chains.visible, axis=1)
    rates = np.asarray(_acceptances(model, params, visible))
    indices = [len(rates) - 1]
    while indices[0] > 0:
        swaps = np.flatnonzero(rates[indices[0], : indices[0]] >= acceptance)
        indices.insert(0, int(swaps[0]) if swaps.size else indices[0] - 1)
    return np.asarray(indices)


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


def _start(model, ladder, axes, num_replicas, v, key):
    """`axes`: the `in_axes` of the ladder, that is, which of its leaves are shared."""
    visible = jax.tree.map(lambda x: jnp.stack([x] * num_replicas), v)
    keys = random.fold_in_range(key, num_replicas)
    hidden = jax.vmap(model.sample_hidden, (axes, 0, 0))(ladder, visible, keys)
    return _record(visible, hidden, jnp.arange(num_replicas) == 0)


def _step(model, ladder, axes, state, key):
    key_v, key_h, *keys_swap = random.split(key, 4)
    hidden = _join(state.replicas.hidden, state.hidden)
    num_replicas = state.is_renewed.shape[0]
    draw_v = jax.vmap(model.sample_visible, (axes, 0, 0))
    v = draw_v(ladder, hidden, random.fold_in_range(key_v, num_replicas))

    def energies(v):
        return jax.vmap(model.free_energy, (axes, 0))(ladder, v)

    # The free energy travels with the state that it is of.
    carry, rates = (v, state.is_renewed, energies(v)), []
    for first, key_swap in enumerate(keys_swap):
        carry, rate = _swap(energies, carry, first, key_swap)
        rates.append(rate)
    v, is_renewed, _ = carry
    draw_h = jax.vmap(model.sample_hidden, (axes, 0, 0))
    h = draw_h(ladder, v, random.fold_in_range(key_h, num_replicas))
    is_even = np.arange(num_replicas - 1) % 2 == 0
    metrics = {
        "acceptance": jnp.where(is_even, *(rate[:-1] for rate in rates)),
        "round_trips": is_renewed[-1].astype(rates[0].dtype),
    }
    is_renewed = is_renewed.at[0].set(True).at[-1].set(False)
    return _record(v, h, is_renewed), metrics


def _swap(energies, carry, first, key):
    """Swaps within the pairs (first, first + 1), (first + 2, first + 3), …"""
    v, is_renewed, own = carry
    index = np.arange(len(own))
    partner = index + np.where((index - first) % 2 == 0, 1, -1)
    # Who has nobody to swap with swaps with itself.
    partner = np.where((partner < 0) | (partner >= len(own)), index, partner)
    other = energies(jax.tree.map(lambda x: x[partner], v))
    gain = own - other
    log_ratio = gain + gain[partner]
    # One uniform a pair: that of the lower of the two.
    u = random.uniform(key, own.shape, own.dtype)[np.minimum(index, partner)]
    is_accepted = jnp.log(u) < log_ratio

    def exchange(x):
        mask = is_accepted.reshape(-1, *[1] * (x.ndim - 1))
        return jnp.where(mask, x[partner], x)

    v, is_renewed = jax.tree.map(exchange, (v, is_renewed))
    own = jnp.where(is_accepted, other, own)
    return (v, is_renewed, own), jnp.exp(jnp.minimum(log_ratio, 0))


def _record(visible, hidden, is_renewed):
    every = GibbsState(visible=visible, hidden=hidden)
    target = jax.tree.map(lambda x: x[-1], every)
    return TemperingState(
        visible=target.visible,
        hidden=target.hidden,
        replicas=jax.tree.map(lambda x: x[:-1], every),
        is_renewed=is_renewed,
    )


def _join(others: State, target: State, axis: int = 0) -> State:
    """All replicas, the target last."""
    return jax.tree.map(
        lambda x, y: jnp.concatenate([x, jnp.expand_dims(y, axis)], axis),
        others,
        target,
    )


def _count_replicas(params):
    shapes = {name: shape for name, (shape, _) in _shapes(params).items()}
    counts = {shape[:1] for shape in shapes.values()}
    if len(counts) != 1 or () in counts or min(counts) < (2,):
        raise ValueError(
            f"`params` has leaves of shapes {shapes} but trajectory tempering needs "
            "those of at least 2 checkpoints stacked along the first axis; see "
            "`stack_params`."
        )
    return counts.pop()[0]


def _shapes(params):
    return {
        jax.tree_util.keystr(path): (tuple(leaf.shape), str(leaf.dtype))
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
