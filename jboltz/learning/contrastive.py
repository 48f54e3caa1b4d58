"""Contrastive divergence: gradients with short or persistent chains of the model.

∂/∂θ of the mean negative log-likelihood is ⟨∂F/∂θ⟩_data − ⟨∂F/∂θ⟩_model. The estimators
here differentiate this contrast of free energies with the chains held fixed, so they
give the gradient of every parameter of every unit.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Key

from jboltz import random
from jboltz.base import (
    Batch,
    EnergyModel,
    FreeEnergyModel,
    Metrics,
    Params,
    Sampler,
    State,
)
from jboltz.checks import check_count, require
from jboltz.errors import InvalidValue
from jboltz.learning.batch import complete, mean_squared_error, weighted_mean
from jboltz.models.rbm import RBM
from jboltz.samplers.chains import check_num_steps, init_chains, run_chains


@dataclasses.dataclass(frozen=True)
class _FromData:
    """An estimator without a state, whose chains start at the examples."""

    model: EnergyModel
    sampler: Sampler
    num_steps: int | Integer[Array, ""] = 1

    def __post_init__(self) -> None:
        check_chains(self.model, self.sampler, self.num_steps)

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        del params, key
        return ()

    def chains_from(
        self, params: Params, v: State, key: Key[Array, ""], *, skip: int = 0
    ) -> State:
        """Chains from the examples `v` after `num_steps` − `skip` kernel steps."""
        key_init, key_run = random.split(key)
        chains = init_chains(self.sampler, params, v, key_init)
        num_steps = self.num_steps - skip
        return run_chains(self.sampler, params, chains, key_run, num_steps=num_steps)[0]


@dataclasses.dataclass(frozen=True)
class PersistentChains:
    """An estimator whose state has `num_chains` chains that run on between updates."""

    model: EnergyModel
    sampler: Sampler
    num_chains: int
    num_steps: int | Integer[Array, ""] = 1

    def __post_init__(self) -> None:
        check_chains(self.model, self.sampler, self.num_steps, self.num_chains)

    def start(self, params: Params, key: Key[Array, ""]) -> State:
        """Chains that start at draws of `model.sample_start`."""
        key_visible, key_chains = random.split(key)
        visible = jax.vmap(self.sampler.model.sample_start, in_axes=(None, 0))(
            params, random.fold_in_range(key_visible, self.num_chains)
        )
        return init_chains(self.sampler, params, visible, key_chains)

    def advance(self, params: Params, chains: State, key: Key[Array, ""]) -> State:
        """The chains after `num_steps` kernel steps."""
        num_steps = self.num_steps
        return run_chains(self.sampler, params, chains, key, num_steps=num_steps)[0]


@dataclasses.dataclass(frozen=True)
class ContrastiveDivergence(_FromData):
    """CD-k: a chain starts at each example and runs k = `num_steps` kernel steps.

    Both phases use means of the hidden units and samples of the visible units.

    Args:
      model: the model that is trained.
      sampler: the kernel of the chains, such as `Gibbs(model)`.
      num_steps: k.

    Reference:
      Hinton (2002), Training products of experts by minimizing contrastive divergence.

    Example:
      >>> from jboltz import RBM, Bernoulli, Gibbs
      >>> rbm = RBM(Bernoulli(784), Bernoulli(500))
      >>> cd_1 = ContrastiveDivergence(rbm, Gibbs(rbm))
      >>> cd_10 = ContrastiveDivergence(rbm, Gibbs(rbm), num_steps=10)
    """

    model: FreeEnergyModel

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The metric `reconstruction_error` is mean((v − v_k)²), with v_k sampled."""
        batch = complete(batch, params)
        chains = self.chains_from(params, batch.values, key)

        def contrast(params):
            free_energy = jax.vmap(self.model.free_energy, in_axes=(None, 0))
            data = free_energy(params, batch.values)
            negative = free_energy(params, chains.visible)
            # A chain has the weight of the example that it started from.
            return weighted_mean(data - negative, batch.weights)

        error = mean_squared_error(batch.values, chains.visible, batch.weights)
        return jax.grad(contrast)(params), state, {"reconstruction_error": error}


@dataclasses.dataclass(frozen=True)
class HalfStepContrastiveDivergence(_FromData):
    """CD whose chains end half a step earlier, with visible means in the last half.

    The negative statistic of the weights is E[a_v(v) | h] a_h(h)ᵀ, where h is the
    hidden state of a chain after `num_steps` − 1 kernel steps. It is the gradient of
    F(h), with the visible units integrated out, and unbiased at equilibrium. To train
    the weights alone, freeze other leaves by `optax.partition` and `optax.set_to_zero`.
    """

    model: RBM

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The metric `reconstruction_error` is mean((v − E[v | h])²)."""
        batch = complete(batch, params)
        chains = self.chains_from(params, batch.values, key, skip=1)

        def contrast(params):
            data = jax.vmap(self.model.free_energy, in_axes=(None, 0))
            negative = jax.vmap(self.model.hidden_free_energy, in_axes=(None, 0))
            return weighted_mean(
                data(params, batch.values) - negative(params, chains.hidden),
                batch.weights,
            )

        means = jax.vmap(self.model.mean_visible_state, in_axes=(None, 0))
        visible = means(params, chains.hidden)
        error = mean_squared_error(batch.values, visible, batch.weights)
        return jax.grad(contrast)(params), state, {"reconstruction_error": error}


@dataclasses.dataclass(frozen=True)
class PersistentContrastiveDivergence(PersistentChains):
    """PCD-k: `num_chains` chains that continue from one update to the next.

    The chains are the state of the estimator. Their number is independent of the batch
    size.

    Args:
      model: the model that is trained.
      sampler: the kernel of the chains, such as `Gibbs(model)`.
      num_chains: the number of chains.
      num_steps: k, the kernel steps per update.

    Reference:
      Tieleman (2008), Training restricted Boltzmann machines using approximations to
      the likelihood gradient.

    Example:
      >>> from jboltz import RBM, Bernoulli, Gibbs
      >>> rbm = RBM(Bernoulli(4), Bernoulli(3))
      >>> pcd = PersistentContrastiveDivergence(rbm, Gibbs(rbm), num_chains=100)
      >>> pcd.init(rbm.init(jax.random.key(0)), jax.random.key(1)).visible.shape
      (100, 4)
    """

    model: FreeEnergyModel

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        """Chains that start at `model.sample_start`."""
        return self.start(params, key)

    def chains_of(self, state: State) -> State:
        return state

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The metric `contrast` is ⟨F⟩_data − ⟨F⟩_chains. It is near 0 while the chains
        are at equilibrium, and falls when they no longer follow the model."""
        batch = complete(batch, params)
        chains = self.advance(params, state, key)
        value, gradient = contrast_with_chains(self.model, params, batch, chains)
        return gradient, chains, {"contrast": value}


def contrast_with_chains(
    model: FreeEnergyModel, params: Params, batch: Batch, chains: State
) -> tuple[Float[Array, ""], Params]:
    """⟨F⟩_data − ⟨F⟩_chains and its gradient with the chains held fixed."""

    def contrast(params):
        free_energy = jax.vmap(model.free_energy, in_axes=(None, 0))
        data = free_energy(params, batch.values)
        negative = free_energy(params, chains.visible)
        return weighted_mean(data, batch.weights) - jnp.mean(negative)

    return jax.value_and_grad(contrast)(params)


def check_chains(
    model: EnergyModel, sampler: Sampler, num_steps: int | Array, num_chains: int = 1
) -> None:
    """Refuses counts of chains or steps below 1, and a sampler of another model."""
    require(model, EnergyModel, "the negative phase")
    example = "Gibbs(model)"
    require(sampler, Sampler, "the negative phase", "sampler", example=example)
    check_num_steps(num_steps, at_least=1)
    check_count("num_chains", num_chains, at_least=1)
    if sampler.model != model:
        raise InvalidValue(
            f"`sampler` is of {sampler.model} but the estimator is of {model}; make "
            "both of one model."
        )


def contrastive_value(
    model: FreeEnergyModel, params: Params, v: State, negative: State
) -> Float[Array, ""]:
    """mean F(v) − mean F(negative), the loss of contrastive divergence.

    `negative` is held fixed. The gradient in `params` is an estimate of the gradient of
    mean −log p(v), unbiased if `negative` are samples of the model. The gradient in
    `v`, ∂F/∂v / batch, is exact. The value is not a likelihood, as it lacks log Z.

    Args:
      v: a batch of visible states, which may come from an encoder.
      negative: a batch of any size, such as the `visible` states of chains.
    """
    free_energy = jax.vmap(model.free_energy, in_axes=(None, 0))
    held = jax.lax.stop_gradient(negative)
    return jnp.mean(free_energy(params, v)) - jnp.mean(free_energy(params, held))


def contrastive_loss(
    estimator: ContrastiveDivergence, params: Params, v: State, key: Key[Array, ""]
) -> Float[Array, ""]:
    """`contrastive_value` of `v` and of the chains that `estimator` starts at `v`.

    Its gradient in `params` equals `estimator.estimate` with the same key.

    Args:
      estimator: the rule CD-k.
      params: the parameters of its model.
      v: visible states, (examples, …), where the chains start.
      key: the key of the chains.
    """
    chains = estimator.chains_from(params, v, key)
    return contrastive_value(estimator.model, params, v, chains.visible)
