"""Traces of chains: the free energy and the means of parts of v at every step."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz.base import FreeEnergyModel, Metrics, Params, Sampler, State, is_pathwise
from jboltz.checks import require

NUM_PARTS = 4


@dataclasses.dataclass(frozen=True)
class TracedSampler:
    """A sampler that adds the numbers of `observe` to the metrics of every step.

    `run_chains` returns them as (chains, steps), the traces that
    `evaluation.diagnostics` takes.

    Args:
      sampler: the kernel that makes the steps.
    """

    sampler: Sampler

    def __post_init__(self) -> None:
        require(self.sampler, Sampler, "a trace", "sampler", example="Gibbs(model)")

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

    The flattened v is cut into quarters; for an image they are bands of rows.
    """
    numbers = jnp.concatenate([x.ravel() for x in jax.tree.leaves(v)])
    parts = jnp.array_split(numbers, min(NUM_PARTS, len(numbers)))
    means = {
        f"visible_mean_{index}": jnp.mean(part)
        for index, part in enumerate(parts, start=1)
    }
    return {"free_energy": model.free_energy(params, v)} | means
