"""The compiled programs of the estimators, one for all estimators of equal sizes.

A program is compiled for a spec and for shapes. Parameters, keys, counts and learning
rates are arguments, so another `fit` of the same sizes compiles nothing.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from jboltz import random
from jboltz.base import Batch, Estimator, Params, State
from jboltz.errors import Diverged
from jboltz.evaluation.annealing import annealed_importance_sampling, annealing_ladder
from jboltz.evaluation.log_partitions import missing_intervals_allowed
from jboltz.evaluation.partition import model_log_partition
from jboltz.learning.loop import as_pytree, copy
from jboltz.learning.step import (
    Prepare,
    TrainState,
    init_train_state,
    make_train_step,
)
from jboltz.learning.stream import run_stack
from jboltz.products import full_precision
from jboltz.samplers.start import sampler_for

MOST_STATES = 2**14
"""log Z is exact if a layer has at most this many states."""
_LADDER_SCALE = 0.1  # 1 450 rungs

SGD = optax.inject_hyperparams(optax.sgd)(learning_rate=1.0)
ADAM = optax.inject_hyperparams(optax.adam)(learning_rate=1.0)

RowFunction = Callable[..., Any]
"""(model, params, row) -> what is computed for one row of data."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a model that is trained by itself, such as a layer of a DBN."""

    estimator: Estimator
    learning_rate: float
    num_passes: int
    optimizer: Any = SGD


@partial(jax.jit, static_argnames="model")
def start_params(model: Any, key: Array, data: Any = None) -> Params:
    return model.init(key, data=data)


start_state = jax.jit(init_train_state, static_argnames=("estimator", "optimizer"))


@jax.jit
def continue_state(state: TrainState, learning_rate: Any) -> TrainState:
    """A copy of a training state, with this learning rate."""
    # `jit` may return its arguments themselves, and training donates the state.
    state = copy(state)
    # The type of a Python number is weak, and that of the state after a step is not:
    # training would be compiled once more for the second stack of batches.
    rate = jnp.asarray(learning_rate, float)
    opt_state = optax.tree.set(state.opt_state, learning_rate=rate)
    return dataclasses.replace(state, opt_state=opt_state)


def train(
    part: Part, state: TrainState, stack: Batch, count: int, prepare: Prepare, key: Any
) -> TrainState:
    """The state after the first `count` batches; update t draws from fold_in(key, t).

    Raises:
      FloatingPointError: a parameter is NaN or infinite.
    """
    step = as_pytree(make_train_step(part.estimator, part.optimizer))
    first = int(state.step)
    state, _, is_finite = run_stack(
        step, state, stack, as_pytree(prepare), key, first, count
    )
    if not is_finite:
        raise Diverged(
            f"Parameters are NaN or infinite after {first + count} updates, but "
            "training needs finite ones; lower `learning_rate`, or scale the features, "
            "by `StandardScaler` for real units and by `MinMaxScaler` for binary ones."
        )
    return state


def to_host(tree: Any) -> Any:
    """The tree with arrays of NumPy, which pickle."""
    return jax.tree.map(np.asarray, tree)


@partial(jax.jit, static_argnames=("function", "model"))
@full_precision
def each_row(function: RowFunction, model: Any, params: Params, *rows: Any) -> Any:
    """`function` of each row."""
    return jax.vmap(partial(function, model, params))(*rows)


def gibbs_step(model: Any, params: Params, v: State, seed: Array) -> State:
    """The visible state after one step of a chain that starts at `v`."""
    key_init, key_step = random.split(jax.random.key(seed))
    sampler = sampler_for(model, None, None, None)
    state = sampler.init(params, v, key_init)
    state, _ = sampler.step(params, state, key_step)
    return state.visible


exact_log_partition = jax.jit(model_log_partition, static_argnums=0)


def annealed_log_partition(
    annealed: Any, params: Params, base: Params, seed: int
) -> float:
    """An estimate of log Z by annealed importance sampling."""
    key, betas = jax.random.key(seed), annealing_ladder(_LADDER_SCALE)
    params, base = jax.tree.map(jnp.asarray, (params, base))
    with missing_intervals_allowed():
        found = annealed_importance_sampling(annealed, params, base, betas, key)
    return float(found.value)
