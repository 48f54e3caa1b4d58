"""Traces of persistent chains during training."""

import dataclasses
from functools import partial

import jax
from jaxtyping import Array, Key

from jboltz.base import Batch, Metrics, Params, PersistentEstimator, State
from jboltz.checks import require
from jboltz.learning.wrapping import StatelessWrapping
from jboltz.samplers.traced_sampler import observe

PREFIX = "chain_"
"""The prefix of metrics with one entry per chain."""


@dataclasses.dataclass(frozen=True)
class TracedEstimator(StatelessWrapping):
    """An estimator that adds the numbers of `observe` for each chain to its metrics.

    The metrics `chain_free_energy`, `chain_visible_mean_1` … have one entry per chain.
    `evaluation.diagnostics.training_traces` takes the traces of the chains from the
    history of a run. Gradient and draws do not change. Put other wrappers around this
    one: `Centred(TracedEstimator(pcd))`.

    Args:
      estimator: a rule with persistent chains.
    """

    estimator: PersistentEstimator

    def __post_init__(self) -> None:
        require(self.estimator, PersistentEstimator, "a trace of chains", "estimator")

    def chains_of(self, state: State) -> State:
        return self.estimator.chains_of(state)

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        gradient, state, metrics = self.estimator.estimate(params, state, batch, key)
        see = jax.vmap(partial(observe, self.model), in_axes=(None, 0))
        seen = see(params, self.chains_of(state).visible)
        return gradient, state, metrics | {PREFIX + k: x for k, x in seen.items()}
