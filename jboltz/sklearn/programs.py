"""The compiled programs of the estimators, one for all estimators of equal sizes.

A program is compiled for a spec and for shapes. Parameters, keys, counts and learning
rates are arguments, so another `fit` of the same sizes compiles nothing.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from jboltz import random
from jboltz.base import Estimator, Params, State, log_normalizer_gain
from jboltz.evaluation.annealing import (
    annealed_importance_sampling,
    annealing_ladder,
)
from jboltz.evaluation.bounds import dbn_log_weight
from jboltz.evaluation.log_partitions import missing_intervals_allowed
from jboltz.evaluation.partition import log_partition, model_log_partition
from jboltz.evaluation.pseudo_likelihood import site_log_probability
from jboltz.learning.step import TrainState
from jboltz.models.dbn import DBN, DBNParams
from jboltz.models.rbm import RBM, RBMParams
from jboltz.models.spike_and_slab import SpikeAndSlab, SpikeAndSlabParams, SpikeSlab
from jboltz.nets.classifier import Classifier, to_linen_params
from jboltz.products import full_precision

_NUM_PASSES = 16
_LADDER_SCALE = 0.1  # 1 450 rungs

SGD = optax.inject_hyperparams(optax.sgd)(learning_rate=1.0)
ADAM = optax.inject_hyperparams(optax.adam)(learning_rate=1.0)

RowFunction = Callable[[Any, Params, Any, Array], Any]
"""(model, params, row, key) -> what is computed for one row of data."""


@functools.lru_cache(maxsize=64)
def params_like(model: Any) -> Params:
    """The shapes of the record of parameters."""
    return jax.eval_shape(model.init, jax.random.key(0))


@partial(jax.jit, static_argnames="model")
def start_params(model: Any, key: Array, data: Any) -> Params:
    return model.init(key, data=data)


@partial(jax.jit, static_argnames="estimator")
def start_chains(estimator: Estimator, params: Params, key: Array) -> State:
    return estimator.init(params, key)


@partial(jax.jit, static_argnames="optimizer")
def start_state(
    optimizer: Any, params: Params, chains: State, step: Any, learning_rate: Any
) -> TrainState:
    """A training state of an optimizer with this learning rate."""
    # `jit` may return its arguments themselves, and training donates the state.
    params, chains = jax.tree.map(jnp.copy, (params, chains))
    # The type of a Python number is weak, and that of the state after a step is not:
    # training would be compiled once more for the second stack of batches.
    rate = jnp.asarray(learning_rate, float)
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params=params,
        opt_state=optax.tree.set(optimizer.init(params), learning_rate=rate),
        estimator_state=chains,
    )


@jax.jit
def continue_state(state: TrainState, learning_rate: Any) -> TrainState:
    """A copy of a training state, with this learning rate."""
    rate = jnp.asarray(learning_rate, float)
    return optax.tree.set(jax.tree.map(jnp.copy, state), learning_rate=rate)


@partial(jax.jit, static_argnames=("function", "model"))
@full_precision
def each_row(
    function: RowFunction, model: Any, params: Params, rows: Any, key: Array, first: Any
) -> Any:
    """`function` of each row; row i of the data draws from `fold_in(key, i)`."""
    count = jax.tree.leaves(rows)[0].shape[0]
    keys = jax.vmap(random.fold_in, in_axes=(None, 0))(key, first + jnp.arange(count))
    return jax.vmap(partial(function, model, params))(rows, keys)


def mean_hidden(model: Any, params: Params, v: State, key: Array) -> State:
    del key
    return model.mean_hidden_state(params, v)


def mean_visible(model: Any, params: Params, h: State, key: Array) -> State:
    del key
    return model.mean_visible_state(params, h)


def gibbs_step(model: Any, params: Params, v: State, key: Array) -> State:
    """v′ ~ p(v | h) with h ~ p(h | v)."""
    key_h, key_v = random.split(key)
    h = model.sample_hidden(params, v, key_h)
    return model.sample_visible(params, h, key_v)


def free_energy(model: Any, params: Params, v: State, key: Array) -> Array:
    del key
    return model.free_energy(params, v)


def pseudo_log_likelihood(
    model: RBM, params: tuple[RBMParams, Any], v: State, key: Array
) -> Array:
    """Σ_i log p(v_i | rest); `params` are the parameters and `site_alternatives`."""
    del key
    return jnp.sum(site_log_probabilities(model, params, v))


def site_log_probabilities(
    model: RBM, params: tuple[RBMParams, Any], v: State
) -> Array:
    own, table = params
    sites = jnp.arange(model.visible.shape[0])
    return jax.lax.map(site_log_probability(model, own, table, v), sites)


def flip_log_likelihood(model: RBM, params: RBMParams, v: Array, key: Array) -> Array:
    """Σ_i −log(1 + exp(F(v) − F(v with v_i ↦ 1 − v_i))), as scikit-learn has it.

    For binary v it is the pseudo-log-likelihood. Other v are not refused.
    """
    del key
    inputs = model.hidden_inputs(params, v)

    def of_site(site):
        change = 1 - 2 * v[site]
        weights = change * params.weights[site]
        gain = log_normalizer_gain(model.hidden, params.hidden, inputs, weights)
        return -jax.nn.softplus(gain + change * params.visible.bias[site])

    return jnp.sum(jax.lax.map(of_site, jnp.arange(v.size)))


@partial(jax.jit, static_argnames="model")
def rbm_log_partition(model: RBM, params: RBMParams) -> Array:
    return model_log_partition(model, params)


# The spike-and-slab RBM.


def spike_code(
    model: SpikeAndSlab, params: SpikeAndSlabParams, v: Array, key: Array
) -> Array:
    """p(spike = 1 | v)."""
    return mean_hidden(model, params, v, key).spikes


def spike_picture(
    model: SpikeAndSlab, params: SpikeAndSlabParams, spikes: Array, key: Array
) -> Array:
    """E[v | spikes, slabs], with slabs at their mean μ."""
    h = SpikeSlab(spikes=spikes, slabs=params.slab_mean)
    return mean_visible(model, params, h, key)


@partial(jax.jit, static_argnames="model")
def spike_log_partition(model: SpikeAndSlab, params: SpikeAndSlabParams) -> Array:
    """log Z by enumeration of the spikes."""
    free_energy = partial(model.hidden_free_energy, params)
    return log_partition(free_energy, model.num_hidden)


# The deep belief network.


def encode(model: DBN, params: DBNParams, v: Array, key: Array) -> Array:
    del key
    return model.encode(params, v)


def decode(model: DBN, params: DBNParams, h: Array, key: Array) -> Array:
    del key
    return model.decode(params, h)


def dbn_gibbs_step(model: DBN, params: DBNParams, v: Array, key: Array) -> Array:
    """A sampled pass upwards, a Gibbs step of the top RBM, and a pass downwards."""
    key_up, key_top, key_down = random.split(key, 3)
    directed, top = params[:-1], model.layers[-1]
    below = (v, *model.sample_layers_up(directed, v, key_up))[-1]
    below = gibbs_step(top, params[-1], below, key_top)
    return (*model.sample_layers_down(directed, below, key_down), below)[0]


def dbn_bound(
    model: DBN, params: tuple[DBNParams, Array], v: Array, key: Array
) -> Array:
    """log mean w + log Z, of passes upwards with the random numbers of `params[1]`."""
    del key
    own, shared = params
    keys = random.fold_in_range(shared, _NUM_PASSES)
    log_weights = jax.lax.map(partial(dbn_log_weight, model, own, v), keys)
    return jax.nn.logsumexp(log_weights) - np.log(_NUM_PASSES)


@partial(jax.jit, static_argnames=("model", "num_classes"))
def start_net(model: DBN, params: DBNParams, num_classes: int, key: Array) -> Params:
    return to_linen_params(model, params, num_classes, key)


def class_probabilities(net: Classifier, params: Params, v: Array, key: Array) -> Array:
    del key
    return jax.nn.softmax(net.apply({"params": params}, v))  # pyright: ignore


def annealed_log_partition(
    annealed: Any, params: Params, base: Params, seed: int
) -> float:
    """An estimate of log Z by annealed importance sampling."""
    key, betas = jax.random.key(seed), annealing_ladder(_LADDER_SCALE)
    with missing_intervals_allowed():
        found = annealed_importance_sampling(annealed, params, base, betas, key)
    return float(found.value)


def to_host(tree: Any) -> Any:
    """The tree with arrays of NumPy, which pickle."""
    return jax.tree.map(np.asarray, tree)
