"""An epoch and a whole run as pure functions of arrays.

`fit` runs the same steps, with callbacks. The functions here can be used under `jit`,
`vmap`, `scan` and `shard_map`, for example to train an ensemble.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Integer, Key

from jboltz import random
from jboltz.base import Batch, Metrics, State
from jboltz.checks import check_count
from jboltz.errors import InvalidValue
from jboltz.learning.loop import check_loop, prepared_step, run_steps
from jboltz.learning.rows import num_rows, rows_for, take_rows, unchanged
from jboltz.learning.step import Prepare, TrainState, TrainStep, model_of


def train_epoch(
    train_step: TrainStep,
    state: TrainState,
    data: State | Batch,
    key: Key[Array, ""],
    *,
    batch_size: int,
    prepare: Prepare = unchanged,
) -> tuple[TrainState, Metrics]:
    """Trains on each example once, as an epoch of `fit` does, in a pure function.

    Epoch e of `fit` is the one with the key `fold_in(key, e)`. State, data, key, and
    arrays in `train_step` and `prepare` may be traced. Parameters are not checked to
    stay finite. `shard_map` over models needs `check_vma=False`.

    Args:
      train_step: as in `fit`.
      state: as in `fit`.
      data: as in `fit`.
      key: the key of this epoch.
      batch_size: the number of examples per update.
      prepare: as in `fit`.

    Returns:
      The state, and the metrics, one entry per step.

    Example:
      Four models from four keys, trained side by side:

          states, metrics = jax.vmap(
              partial(train_epoch, train_step, batch_size=64), in_axes=(0, None, 0)
          )(states, data, keys)
    """
    check_loop(train_step, state, key, prepare=prepare)
    rows = as_rows(data, model_of(train_step), prepare)
    batch_size = check_batch_size(batch_size, num_rows(rows))
    key_order, key_steps = random.split(key)
    order = random.permutation(key_order, num_rows(rows))
    last = -(-num_rows(rows) // batch_size)
    return take_steps(
        train_step, state, rows, prepare, key_steps, order, 0, last, batch_size
    )


def train_epochs(
    train_step: TrainStep,
    state: TrainState,
    data: State | Batch,
    key: Key[Array, ""],
    *,
    batch_size: int,
    num_epochs: int,
    prepare: Prepare = unchanged,
    first_epoch: int | Integer[Array, ""] = 0,
) -> tuple[TrainState, Metrics]:
    """A run of `fit` as a pure function: `num_epochs` epochs of `train_epoch`.

    Args:
      train_step: as in `fit`.
      state: as in `fit`.
      data: as in `fit`.
      key: the key of the run.
      batch_size: the number of examples per update.
      num_epochs: the number of epochs that this call runs.
      prepare: as in `fit`.
      first_epoch: the number of the first epoch, to continue a run.

    Returns:
      The state, and the metrics, (epochs, steps).
    """
    num_epochs = check_count("num_epochs", num_epochs, at_least=0)
    epoch = partial(train_epoch, train_step, batch_size=batch_size, prepare=prepare)

    def body(state, index):
        return epoch(state, data, random.fold_in(key, index))

    return jax.lax.scan(body, state, first_epoch + jnp.arange(num_epochs))


def take_steps(
    train_step: TrainStep,
    state: TrainState,
    rows: Batch,
    prepare: Prepare,
    key: Key[Array, ""],
    order: Any,
    first: Any,
    last: Any,
    batch_size: int,
) -> tuple[TrainState, Metrics]:
    """Steps `first` to `last` of an epoch, whose last batch may be shorter."""
    num_full, short = divmod(order.shape[0], batch_size)
    order = jnp.asarray(order)

    def step(state, index, t):
        batch, key_step = take_rows(rows, index), random.fold_in(key, t)
        return prepared_step(train_step, prepare, state, batch, key_step)

    def full_step(state, t):
        index = jax.lax.dynamic_slice(order, (t * batch_size,), (batch_size,))
        return step(state, index, t)

    last_full = jnp.minimum(last, num_full)
    state, history = run_steps(full_step, state, first, last_full, num_full)
    if short:

        def short_step(state):
            return step(state, order[-short:], num_full)

        def no_step(state):
            metrics = jax.eval_shape(short_step, state)[1]
            return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)

        state, metrics = jax.lax.cond(last > num_full, short_step, no_step, state)
        history = {
            name: jnp.concatenate([x, metrics[name][None]])
            for name, x in history.items()
        }
    return state, history


def as_rows(data: State | Batch, model: Any, prepare: Prepare) -> Batch:
    """The `data`, checked for `model`, on the device, with weights of mean 1."""
    rows = jax.tree.map(jnp.asarray, rows_for(model, data, prepare))
    if rows.weights is None:
        return rows
    weights = rows.weights / jnp.mean(rows.weights)
    return Batch(values=rows.values, weights=weights, mask=rows.mask)


def check_batch_size(batch_size: int, num_examples: int) -> int:
    """`batch_size` as an `int`; refuses one below 1 or above `num_examples`."""
    batch_size = check_count("batch_size", batch_size, at_least=1)
    if batch_size > num_examples:
        raise InvalidValue(
            f"`batch_size` is {batch_size} but the data hold {num_examples} examples; "
            "take a batch size of at most that many."
        )
    return batch_size
