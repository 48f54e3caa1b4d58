"""Tempering: replicas of easier models help a chain to move between the target's modes.

A step is a Gibbs sweep of every replica, then swaps of neighbours, first in the pairs
(0, 1), (2, 3), … and then in (1, 2), (3, 4), …, so that a state can move several rungs.
The visible states x of replicas a and b change places with probability min(1, r),

    log r = F_a(x_a) + F_b(x_b) − F_a(x_b) − F_b(x_a),

where F_a is the free energy of the model of replica a (at a rung β it is not β F, since
hidden units are tempered too). Hidden states are drawn anew after the swaps.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz import random
from jboltz.abilities import AnnealedModel
from jboltz.base import (
    FreeEnergyModel,
    Leaf,
    Metrics,
    Params,
    State,
    hold,
    of_hidden,
    record,
)
from jboltz.checks import cast_states, check_count, require
from jboltz.errors import InvalidValue
from jboltz.models.annealed import AnnealedParams
from jboltz.products import full_precision
from jboltz.samplers.gibbs import GibbsState


@record
class TemperingState:
    """One chain of the target, and the replicas of the other models of the ladder."""

    visible: State  # of the target
    hidden: State = of_hidden(-1)  # of the target
    replicas: GibbsState  # the others, (num_replicas − 1, …), the easiest model first
    is_renewed: Leaf  # (num_replicas,): was at the first model since it left the target
    ladder: State = ()  # a `TemperingLadder`; () if `params` is the whole ladder


@record
class TemperingLadder:
    """The base of the rungs, and β of each replica."""

    base: Params  # of an annealed model
    beta: Leaf  # (num_replicas,), increasing from 0, the base, to 1, the target


@dataclasses.dataclass(frozen=True)
class ParallelTempering:
    """Tempering with replicas at rungs β of one model; p(v, h) at β = 1 is invariant.

    `params` are the parameters of the target. The ladder is part of the chain's state,
    so that every estimator can use the sampler. It begins with the initial base of
    `annealed` and evenly spaced rungs. `with_ladder` sets another, `adapt_ladder` finds
    one.

    The metrics are `acceptance`, (num_replicas − 1,), the probability of a swap of each
    pair, and `round_trips`, 1 if the state that reaches the target was at the base.

    Args:
      annealed: the model of the rungs, such as `Annealed(rbm)`; β = 1 is the target.
      num_replicas: the number of rungs, the base and the target included.

    Reference:
      Syed, Bouchard-Côté, Deligiannidis & Doucet (2022), Non-reversible parallel
      tempering: a scalable highly parallel MCMC scheme.

    Example:
      >>> from jboltz import RBM, Annealed, Bernoulli, PersistentContrastiveDivergence
      >>> rbm = RBM(Bernoulli(784), Bernoulli(500))
      >>> sampler = ParallelTempering(Annealed(rbm), num_replicas=10)
      >>> estimator = PersistentContrastiveDivergence(rbm, sampler, num_chains=20)
    """

    annealed: AnnealedModel
    num_replicas: int = 10

    def __post_init__(self) -> None:
        example = "Annealed(model)"
        require(self.annealed, AnnealedModel, "tempering", "annealed", example=example)
        check_count("num_replicas", self.num_replicas, at_least=1)
        if self.num_replicas < 2:
            raise InvalidValue(
                f"`num_replicas` is {self.num_replicas} but tempering needs at least "
                "2: the base and the target; for one alone use `Gibbs`."
            )

    @property
    def model(self) -> FreeEnergyModel:
        return self.annealed.model

    def init(self, params: Params, v: State, key: Key[Array, ""]) -> TemperingState:
        """A chain with all replicas at `v`."""
        params, v = hold(self, params, cast_states(v, params))
        base, beta = _base(self.annealed), jnp.linspace(0, 1, self.num_replicas)
        ladder = TemperingLadder(base=base, beta=beta)
        ladder = cast_states(ladder, params)
        apply = _with_moving_rungs(params, ladder)
        return _start(self.annealed, apply, self.num_replicas, v, key, ladder)

    def step(
        self, params: Params, state: TemperingState, key: Key[Array, ""]
    ) -> tuple[TemperingState, Metrics]:
        params, state = hold(self, params, state)
        apply = _with_moving_rungs(params, state.ladder)
        return _step(self.annealed, apply, state, key)


@dataclasses.dataclass(frozen=True)
class TrajectoryTempering:
    """Tempering with replicas at checkpoints of a training run; the last is the target.

    `params` are the checkpoints stacked by `stack_params`, the earliest first. p(v, h)
    of the last one is invariant. `ParallelTempering` explains the metrics.

    Reference:
      Béreux, Decelle, Furtlehner, Rosset & Seoane (2025), Fast training and sampling of
      restricted Boltzmann machines.
    """

    model: FreeEnergyModel

    def init(self, params: Params, v: State, key: Key[Array, ""]) -> TemperingState:
        """A chain with all replicas at `v`."""
        params, v = hold(self, params, cast_states(v, params))
        num_replicas = _count_replicas(params)
        return _start(self.model, _with_moving_states(params), num_replicas, v, key)

    def step(
        self, params: Params, state: TemperingState, key: Key[Array, ""]
    ) -> tuple[TemperingState, Metrics]:
        params, state = hold(self, params, state)
        return _step(self.model, _with_moving_states(params), state, key)


@partial(jax.jit, static_argnums=0)
def _base(annealed: AnnealedModel) -> Params:
    """The base that a model starts with, which does not depend on the key.

    In a program of its own the weights, which nobody asks for, are not drawn.
    """
    return annealed.init(jax.random.key(0)).base


# A swap moves no states but changes their order, a pair (states, replicas): `states` is
# the index of the state of each replica, and `replicas` its inverse; None is the
# identity. `apply` maps function(params of a replica, its state, …) over replicas.


def _with_moving_rungs(params, ladder):
    """An `apply` that moves rungs to states. All rungs share the weights, so a state is
    multiplied by the weights once for all its swaps and its next draw."""
    first: Any = 0
    axes = AnnealedParams(params=None, base=None, beta=first)

    def apply(function, order, v, *others):
        states, replicas = order
        beta, others = _take((ladder.beta, others), replicas)
        rungs = AnnealedParams(params=params, base=ladder.base, beta=beta)
        out = jax.vmap(function, (axes, *[0] * (1 + len(others))))(rungs, v, *others)
        return _take(out, states)

    return apply


def _with_moving_states(params):
    """An `apply` that moves states to replicas, whose parameters are large."""

    def apply(function, order, v, *others):
        states, _ = order
        return jax.vmap(function)(params, _take(v, states), *others)

    return apply


_UNMOVED = (None, None)


def _take(tree, index):
    return tree if index is None else jax.tree.map(lambda x: x[index], tree)


def _start(model, apply, num_replicas, v, key, ladder=()):
    visible = jax.tree.map(lambda x: jnp.stack([x] * num_replicas), v)
    keys = random.fold_in_range(key, num_replicas)
    hidden = apply(model.sample_hidden, _UNMOVED, visible, keys)
    return _record(visible, hidden, jnp.arange(num_replicas) == 0, ladder)


def _step(model, apply, state, key):
    key_v, key_h, *keys_swap = random.split(key, 4)
    h = join_replicas(state.replicas.hidden, state.hidden)
    num_replicas = state.is_renewed.shape[0]
    keys = random.fold_in_range(key_v, num_replicas)
    v = apply(model.sample_visible, _UNMOVED, h, keys)

    def energies(order):
        return apply(full_precision(model.free_energy), order, v)

    order, own, rates = (jnp.arange(num_replicas),) * 2, energies(_UNMOVED), []
    for first, key_swap in enumerate(keys_swap):
        order, own, rate = _swap(energies, order, own, first, key_swap)
        rates.append(rate)
    h = apply(model.sample_hidden, order, v, random.fold_in_range(key_h, num_replicas))
    v, is_renewed = jax.tree.map(lambda x: x[order[0]], (v, state.is_renewed))
    is_even = np.arange(num_replicas - 1) % 2 == 0
    metrics = {
        "acceptance": jnp.where(is_even, *(rate[:-1] for rate in rates)),
        "round_trips": is_renewed[-1].astype(rates[0].dtype),
    }
    is_renewed = is_renewed.at[0].set(True).at[-1].set(False)
    return _record(v, h, is_renewed, state.ladder), metrics


def _swap(energies, order, own, first, key):
    """Swaps in the pairs (first, first + 1), (first + 2, first + 3), …

    `own` is the free energy of the state of each replica in the model of the replica.
    """
    states, replicas = order
    index = np.arange(len(own))
    partner = index + np.where((index - first) % 2 == 0, 1, -1)
    # A replica without a partner swaps with itself.
    is_alone = (partner < 0) | (partner >= len(own))
    partner = jnp.asarray(np.where(is_alone, index, partner))
    other = energies((states[partner], partner[replicas]))
    gain = own - other
    log_ratio = gain + gain[partner]
    # A pair shares one uniform, the one of the lower replica.
    wide = random.widened(log_ratio)
    u = random.uniform(key, own.shape, wide.dtype)[jnp.minimum(index, partner)]
    is_accepted = jnp.log(u) < wide
    swap = jnp.where(is_accepted, partner, index)
    order = states[swap], swap[replicas]
    own = jnp.where(is_accepted, other, own)
    return order, own, jnp.exp(jnp.minimum(log_ratio, 0))


def _record(visible, hidden, is_renewed, ladder):
    every = GibbsState(visible=visible, hidden=hidden)
    target = jax.tree.map(lambda x: x[-1], every)
    return TemperingState(
        visible=target.visible,
        hidden=target.hidden,
        replicas=jax.tree.map(lambda x: x[:-1], every),
        is_renewed=is_renewed,
        ladder=ladder,
    )


def join_replicas(others: State, target: State, axis: int = 0) -> State:
    """All replicas along `axis`, the target last."""
    return jax.tree.map(
        lambda x, y: jnp.concatenate([x, jnp.expand_dims(y, axis)], axis),
        others,
        target,
    )


def _count_replicas(params):
    shapes = {name: shape for name, (shape, _) in shapes_of(params).items()}
    counts = {shape[:1] for shape in shapes.values()}
    if len(counts) != 1 or () in counts or min(counts) < (2,):
        raise InvalidValue(
            f"`params` has leaves of shapes {shapes} but trajectory tempering needs at "
            "least 2 checkpoints stacked along the first axis; make them by "
            "`stack_params`."
        )
    return counts.pop()[0]


def shapes_of(params):
    return {
        jax.tree_util.keystr(path): (tuple(leaf.shape), str(leaf.dtype))
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
