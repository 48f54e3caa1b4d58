"""Fast weights, which drive persistent chains out of the modes that they stay in."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz.base import Batch, FreeEnergyModel, Metrics, Params, State, record
from jboltz.errors import InvalidValue
from jboltz.learning.batch import complete
from jboltz.learning.contrastive import PersistentChains, contrast_with_chains


@record
class FastState:
    """The chains, and the fast weights θ_f added to the parameters when they move."""

    chains: State
    fast: Params


@dataclasses.dataclass(frozen=True)
class FastPersistentContrastiveDivergence(PersistentChains):
    """PCD whose chains move with the parameters θ + θ_f, where θ_f are fast weights.

    θ_f ← `decay` · θ_f − `fast_rate` · gradient. The energy rises where chains stay, so
    that they leave. The larger `fast_rate` is, the less the chains are samples of the
    model. A good `fast_rate` is the initial learning rate of θ, which should then
    decrease during training.

    Args:
      model: the model that is trained.
      sampler: the kernel of the chains, such as `Gibbs(model)`.
      num_chains: the number of chains.
      num_steps: the kernel steps per update.
      fast_rate: the learning rate of the fast weights.
      decay: the factor of the fast weights in every update.

    Reference:
      Tieleman & Hinton (2009), Using fast weights to improve persistent contrastive
      divergence.
    """

    model: FreeEnergyModel
    fast_rate: float = 0.1
    decay: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fast_rate < 0 or not 0 <= self.decay < 1:
            raise InvalidValue(
                f"`fast_rate` is {self.fast_rate} and `decay` {self.decay} but fast "
                "weights need a rate of at least 0 and a decay from 0 to below 1."
            )

    def init(self, params: Params, key: Key[Array, ""]) -> FastState:
        """Chains that start at `model.sample_start`, and zero fast weights."""
        chains = self.start(params, key)
        return FastState(chains=chains, fast=jax.tree.map(jnp.zeros_like, params))

    def chains_of(self, state: FastState) -> State:
        return state.chains

    def estimate(
        self, params: Params, state: FastState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, FastState, Metrics]:
        """The metric `contrast` is ⟨F⟩_data − ⟨F⟩_chains, without the fast weights."""
        batch = complete(batch, params)
        driven = jax.tree.map(jnp.add, params, state.fast)
        chains = self.advance(driven, state.chains, key)
        value, gradient = contrast_with_chains(self.model, params, batch, chains)
        fast = jax.tree.map(
            lambda f, g: self.decay * f - self.fast_rate * g, state.fast, gradient
        )
        return gradient, FastState(chains=chains, fast=fast), {"contrast": value}
