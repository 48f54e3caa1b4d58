"""Half of a gradient: a toy."""

import dataclasses
from typing import Any

import jax
from jaxtyping import Array, Key

from jboltz.base import Batch, Estimator, Metrics, Params, State


@dataclasses.dataclass(frozen=True)
class Halved:
    """Any estimator's gradient, times ½."""

    estimator: Estimator

    @property
    def model(self) -> Any:
        return self.estimator.model

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        return self.estimator.init(params, key)

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        gradient, state, metrics = self.estimator.estimate(params, state, batch, key)
        return jax.tree.map(lambda x: x / 2, gradient), state, metrics
