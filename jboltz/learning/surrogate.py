"""Contrastive divergence as a loss for `jax.grad`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import FreeEnergyModel, Params, State
from jboltz.learning.contrastive import ContrastiveDivergence
from jboltz.samplers.chains import init_chains, run_chains


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
    """
    key_init, key_run = random.split(key)
    sampler, num_steps = estimator.sampler, estimator.num_steps
    chains = init_chains(sampler, params, v, key_init)
    chains, _ = run_chains(sampler, params, chains, key_run, num_steps=num_steps)
    return contrastive_value(estimator.model, params, v, chains.visible)
