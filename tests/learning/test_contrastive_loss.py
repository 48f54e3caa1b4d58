"""CD as a loss: its gradients are the estimator's, and the energy's in the data."""

import functools
from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import jboltz
from jboltz.base import Batch
from jboltz.learning.contrastive import contrastive_loss, contrastive_value
from tests.helpers import draw_like

B = jboltz.Bernoulli
MODEL = jboltz.RBM(B(4), B(3))


def draw_case(getkey, num_steps=2):
    model = MODEL
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale=0.5)
    v = jax.random.uniform(getkey(), (5, 4))
    sampler = jboltz.Gibbs(model)
    return jboltz.ContrastiveDivergence(model, sampler, num_steps), params, v


@functools.cache
def gradient_of(estimator, argnums=0):
    return jax.jit(jax.grad(partial(contrastive_loss, estimator), argnums=argnums))


def test_gradients_are_those_of_cd_and_of_the_free_energy(getkey):
    """In relaxed states too, between 0 and 1."""
    estimator, params, v = draw_case(getkey)
    model, key = MODEL, getkey()
    in_params = gradient_of(estimator)(params, v, key)
    in_v = gradient_of(estimator, argnums=1)(params, v, key)
    expected, _, _ = jax.jit(estimator.estimate)(params, (), Batch(values=v), key)
    chex.assert_trees_all_close(in_params, expected, rtol=1e-4, atol=1e-5)
    force = jax.vmap(jax.grad(model.free_energy, argnums=1), (None, 0))(params, v)
    np.testing.assert_allclose(in_v, force / len(v), rtol=1e-5, atol=1e-6)


def test_the_value_is_the_contrast_with_chains_that_are_held(getkey):
    estimator, params, v = draw_case(getkey)
    model, key = estimator.model, getkey()
    key_init, key_run = jax.random.split(key)
    chains = jboltz.init_chains(estimator.sampler, params, v, key_init)
    chains, _ = jboltz.run_chains(
        estimator.sampler, params, chains, key_run, num_steps=2
    )
    energies = jax.vmap(model.free_energy, (None, 0))
    expected = energies(params, v).mean() - energies(params, chains.visible).mean()
    got = jax.jit(partial(contrastive_loss, estimator))(params, v, key)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    # Chains of any origin, and of another number.
    of_negative = jax.grad(contrastive_value, argnums=3)(model, params, v, v[:2])
    np.testing.assert_array_equal(of_negative, jnp.zeros((2, 4)))


def test_a_traced_number_of_steps_is_not_differentiated_through(getkey):
    """A loop of traced length has no reverse derivative."""
    estimator, params, v = draw_case(getkey)
    key = getkey()

    def of_steps(params, num_steps):
        traced = jboltz.ContrastiveDivergence(
            estimator.model, estimator.sampler, num_steps
        )
        return contrastive_loss(traced, params, v, key)

    got = jax.jit(jax.grad(of_steps))(params, jnp.asarray(2))
    expected = gradient_of(estimator)(params, v, key)
    chex.assert_trees_all_close(got, expected, rtol=1e-4, atol=1e-5)


def test_vmap_over_keys_is_a_loop_over_them(getkey):
    estimator, params, v = draw_case(getkey)
    keys = jax.random.split(getkey(), 3)
    gradient = gradient_of(estimator)
    together = jax.jit(jax.vmap(gradient, (None, None, 0)))(params, v, keys)
    for index, key in enumerate(keys):
        alone = gradient(params, v, key)
        one = jax.tree.map(lambda x, index=index: x[index], together)
        chex.assert_trees_all_close(one, alone, rtol=1e-4, atol=1e-5)


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.sigmoid(nn.Dense(4)(x))


def test_an_encoder_learns_through_the_prior_by_plain_grad(getkey):
    """The chain rule through a Flax module: ∂F/∂v times the encoder's Jacobian."""
    estimator, params, _ = draw_case(getkey)
    x, key, encoder = jax.random.normal(getkey(), (5, 7)), getkey(), Encoder()
    weights = encoder.init(getkey(), x)

    def loss(weights):
        return contrastive_loss(estimator, params, encoder.apply(weights, x), key)

    got = jax.jit(jax.grad(loss))(weights)
    v, pull = jax.vjp(lambda weights: encoder.apply(weights, x), weights)
    force = jax.vmap(jax.grad(estimator.model.free_energy, 1), (None, 0))(params, v)
    (expected,) = pull(force / len(v))
    chex.assert_trees_all_close(got, expected, rtol=1e-4, atol=1e-6)
    assert all(np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(got))
