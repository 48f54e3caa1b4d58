"""Alternating block Gibbs, free or with a part of the visible state held."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import EnergyModel, Leaf, Metrics, Params, State, hold, record
from jboltz.checks import cast_states


@record
class GibbsState:
    """One chain: a configuration of both layers."""

    visible: State
    hidden: State


@dataclasses.dataclass(frozen=True)
class Gibbs:
    """One step: v ~ p(v | h), then h ~ p(h | v). Leaves p(v, h) invariant.

    A derivative takes the states as constants; where `is_pathwise`, it goes through the
    draws at fixed noise, μ + σ ε of Gaussian units for one. Binary draws have none.
    """

    model: EnergyModel
    _: dataclasses.KW_ONLY
    is_pathwise: bool = False

    def init(self, params: Params, v: State, key: Key[Array, ""]) -> GibbsState:
        """A chain at `v`, with h ~ p(h | v)."""
        params, v = hold(self, params, cast_states(v, params))
        return GibbsState(visible=v, hidden=self.model.sample_hidden(params, v, key))

    def step(
        self, params: Params, state: GibbsState, key: Key[Array, ""]
    ) -> tuple[GibbsState, Metrics]:
        params, state = hold(self, params, state)
        key_v, key_h = random.split(key)
        v = self.model.sample_visible(params, state.hidden, key_v)
        h = self.model.sample_hidden(params, v, key_h)
        return GibbsState(visible=v, hidden=h), {}


@record
class ClampedState:
    """A chain of which a part of the visible state is held where it started."""

    visible: State
    hidden: State
    clamp: Leaf  # as visible: True where held


@dataclasses.dataclass(frozen=True)
class ClampedGibbs:
    """Gibbs that leaves p(v, h | held part of v) invariant: completion, imputation.

    For a DBM the visible state is the tuple of even layers, so any of them, or any of
    their units, can be held. `is_pathwise` as of `Gibbs`.
    """

    model: EnergyModel
    _: dataclasses.KW_ONLY
    is_pathwise: bool = False

    def init(
        self, params: Params, v: State, key: Key[Array, ""], *, clamp: State = False
    ) -> ClampedState:
        """A chain at `v`, with h ~ p(h | v).

        Args:
          clamp: True where `v` is held: one value for all of it, or a tree like it.
        """
        params, v = hold(self, params, cast_states(v, params))
        if jax.tree.structure(clamp) != jax.tree.structure(v):
            clamp = jax.tree.map(lambda _: clamp, v)
        held = jax.tree.map(
            lambda c, x: jnp.broadcast_to(jnp.asarray(c, bool), x.shape), clamp, v
        )
        hidden = self.model.sample_hidden(params, v, key)
        return ClampedState(visible=v, hidden=hidden, clamp=held)

    def step(
        self, params: Params, state: ClampedState, key: Key[Array, ""]
    ) -> tuple[ClampedState, Metrics]:
        params, state = hold(self, params, state)
        key_v, key_h = random.split(key)
        drawn = self.model.sample_visible(params, state.hidden, key_v)
        v = jax.tree.map(jnp.where, state.clamp, state.visible, drawn)
        h = self.model.sample_hidden(params, v, key_h)
        return ClampedState(visible=v, hidden=h, clamp=state.clamp), {}
