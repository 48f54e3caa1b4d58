"""Alternating block Gibbs."""

import dataclasses

from flax import struct
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import EnergyModel, Metrics, Params, State


@struct.dataclass
class GibbsState:
    """One chain: a configuration of both layers."""

    visible: State
    hidden: State


@dataclasses.dataclass(frozen=True)
class Gibbs:
    """One step: v ~ p(v | h), then h ~ p(h | v). Leaves p(v, h) invariant."""

    model: EnergyModel

    def init(self, params: Params, v: State, key: Key[Array, ""]) -> GibbsState:
        """A chain at `v`, with h ~ p(h | v)."""
        return GibbsState(visible=v, hidden=self.model.sample_hidden(params, v, key))

    def step(
        self, params: Params, state: GibbsState, key: Key[Array, ""]
    ) -> tuple[GibbsState, Metrics]:
        key_v, key_h = random.split(key)
        v = self.model.sample_visible(params, state.hidden, key_v)
        h = self.model.sample_hidden(params, v, key_h)
        return GibbsState(visible=v, hidden=h), {}
