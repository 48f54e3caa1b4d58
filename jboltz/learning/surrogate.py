"""Contrastive divergence as a loss, for someone else's `jax.grad`."""

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
    """mean F(v) − mean F(negative), whose gradient is that of −log p(v).

    Its gradient in `params` is the contrastive estimate of ∂/∂θ mean −log p(v), exact
    on average where `negative` are samples of the model, because they are held fixed:
    nothing is differentiated through the sampler. Its gradient in `v` is ∂F/∂v / batch,
    which is exact. The value is no likelihood: log Z is not in it.

    Args:
      v: a batch of visible states, such as an encoder's.
      negative: another batch, of any size: the `visible` of chains.
    """
    free_energy = jax.vmap(model.free_energy, in_axes=(None, 0))
    held = jax.lax.stop_gradient(negative)
    return jnp.mean(free_energy(params, v)) - jnp.mean(free_energy(params, held))


def contrastive_loss(
    estimator: ContrastiveDivergence, params: Params, v: State, key: Key[Array, ""]
) -> Float[Array, ""]:
    """`contrastive_value` of `v` and the chains that `estimator` starts there.

    Its gradient in `params` is what `estimator.estimate` returns for the same key.
    """
    key_init, key_run = random.split(key)
    sampler, num_steps = estimator.sampler, estimator.num_steps
    chains = init_chains(sampler, params, v, key_init)
    chains, _ = run_chains(sampler, params, chains, key_run, num_steps=num_steps)
    return contrastive_value(estimator.model, params, v, chains.visible)
