"""Persistent chains that are followed while they train a model."""

import dataclasses
from functools import partial
from typing import Protocol

import jax
from jaxtyping import Array, Key

from jboltz.base import Batch, FreeEnergyModel, Metrics, ModelEstimator, Params, State
from jboltz.samplers.observed import observe

PREFIX = "chain_"
"""Of the names of metrics that have one entry a chain."""


class _EstimatorWithChains(ModelEstimator, Protocol):
    """An estimator whose state is its chains, as of PCD in all its forms."""

    @property
    def num_chains(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class Traced:
    """An estimator, and at each update what `observe` sees of each of its chains.

    The metrics `chain_free_energy`, `chain_visible_mean_1` … have one entry a chain,
    so that the history of a training run holds traces of its chains, which
    `evaluation.diagnostics.training_traces` cuts out. Gradient and draws are those of
    the estimator within. Other wrappers go around this one: `Centred(Traced(pcd))`.
    """

    estimator: _EstimatorWithChains

    def __post_init__(self) -> None:
        if not hasattr(self.estimator, "num_chains"):
            raise TypeError(
                f"`estimator` is {type(self.estimator).__name__} but its chains are "
                "to be followed from update to update; take one with persistent "
                "chains, such as PersistentContrastiveDivergence."
            )

    @property
    def model(self) -> FreeEnergyModel:
        return self.estimator.model

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        return self.estimator.init(params, key)

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        gradient, chains, metrics = self.estimator.estimate(params, state, batch, key)
        see = jax.vmap(partial(observe, self.model), in_axes=(None, 0))
        seen = see(params, chains.visible)
        return gradient, chains, metrics | {PREFIX + k: x for k, x in seen.items()}
