"""Two sweeps a step: a toy."""

import dataclasses

from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import Metrics, Params, State
from jboltz.models.rbm import RBM
from jboltz.samplers.gibbs import Gibbs, GibbsState


@dataclasses.dataclass(frozen=True)
class TwoSweeps:
    """`Gibbs`, twice."""

    model: RBM

    def init(self, params: Params, v: State, key: Key[Array, ""]) -> GibbsState:
        return Gibbs(self.model).init(params, v, key)

    def step(
        self, params: Params, state: GibbsState, key: Key[Array, ""]
    ) -> tuple[GibbsState, Metrics]:
        for half in random.split(key):
            state, metrics = Gibbs(self.model).step(params, state, half)
        return state, metrics
