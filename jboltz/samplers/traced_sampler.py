"""Traces of chains: free energies, and the means of parts of v."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz.base import (
    FreeEnergyModel,
    Metrics,
    Params,
    Sampler,
    State,
    is_pathwise,
)

NUM_PARTS = 4


@dataclasses.dataclass(frozen=True)
class TracedSampler:
    """A sampler whose metrics say at each step where the chain is, see `observe`.

    Of chains that `run_chains` advances these are the traces that
    `evaluation.diagnostics` judges, (chains, steps).
    """

    sampler: Sampler

    @property
    def model(self) -> FreeEnergyModel:
        return self.sampler.model

    @property
    def is_pathwise(self) -> bool:
        return is_pathwise(self.sampler)

    def init(self, params: Params, v: State, key: Key[Array, ""]) -> State:
        return self.sampler.init(params, v, key)

    def step(
        self, params: Params, state: State, key: Key[Array, ""]
    ) -> tuple[State, Metrics]:
        state, metrics = self.sampler.step(params, state, key)
        return state, metrics | observe(self.model, params, state.visible)


def observe(model: FreeEnergyModel, params: Params, v: State) -> Metrics:
    """`free_energy`, F(v), and `visible_mean_1` … `_4`, the means of quarters of v.

    A quarter is of the numbers of v in their order: of an image, a band of rows.
    """
    numbers = jnp.concatenate([x.ravel() for x in jax.tree.leaves(v)])
    parts = jnp.array_split(numbers, min(NUM_PARTS, len(numbers)))
    means = {
        f"visible_mean_{index}": jnp.mean(part)
        for index, part in enumerate(parts, start=1)
    }
    return {"free_energy": model.free_energy(params, v)} | means
