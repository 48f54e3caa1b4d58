"""Training on data that stay on the device: an epoch is one compiled program."""

import itertools
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import Batch, Metrics, State
from jboltz.learning.step import (
    History,
    Prepare,
    TrainState,
    TrainStep,
    as_batch,
    as_given,
    as_pytree,
    copy,
    is_finite,
    join,
    num_rows,
    prepared_step,
    raise_not_finite,
    run_steps,
    take_rows,
)


def fit(
    train_step: TrainStep,
    state: TrainState,
    data: State | Batch,
    key: Key[Array, ""],
    *,
    batch_size: int,
    num_epochs: int,
    prepare: Prepare = as_given,
    first_epoch: int = 0,
    chunks_per_epoch: int = 1,
    end_epoch: Callable[[TrainState], tuple[TrainState, Metrics]] | None = None,
    on_chunk: Callable[[int, TrainState, History], None] | None = None,
    on_epoch: Callable[[int, TrainState, History], None] | None = None,
) -> tuple[TrainState, list[History]]:
    """Trains on data that stay on the device, each example once an epoch.

    An epoch (or each of its equal chunks) is one compiled program, in which a step
    gathers its rows, prepares them and updates; the short last batch is a step of its
    own shape. Epoch e draws from `fold_in(key, e)`, so a run that goes on at
    `first_epoch` draws what an uninterrupted one would have drawn.

    Args:
      train_step: as from `make_train_step`.
      data: rows, of any dtype that `prepare` takes, or several arrays of as many rows;
        or a `Batch` of them with weights, of which only the ratios count, or with a
        mask.
      prepare: `(rows, key) -> values`, inside the compiled step.
      num_epochs: the epoch to stop before; `first_epoch` of them are done already.
      chunks_per_epoch: programs an epoch is cut into; changes no result.
      end_epoch: what happens to the state after the last step of an epoch; its metrics
        join the history of the epoch, one entry each.
      on_chunk: called as `(epoch, state, history so far)` after each chunk; the state
        is a copy, to be kept.
      on_epoch: as `on_chunk`, after each epoch.

    Returns:
      The state, and one history an epoch.

    Raises:
      FloatingPointError: an update made a parameter not finite; it names the epoch,
        the step and the leaf.
      ValueError: there are no data, or fewer than `batch_size`, or a count is off, or
        a weight is negative, or all are 0.
    """
    rows = jax.tree.map(jnp.asarray, as_batch(data))
    num_examples = num_rows(rows)
    _check_counts(num_examples, batch_size, num_epochs, first_epoch, chunks_per_epoch)
    if rows.weights is not None:
        weights = rows.weights / jnp.mean(rows.weights)
        rows = Batch(values=rows.values, weights=weights, mask=rows.mask)
    num_steps = -(-num_examples // batch_size)
    bounds = [num_steps * i // chunks_per_epoch for i in range(chunks_per_epoch + 1)]
    prepare = as_pytree(prepare)
    # The caller's own arrays are not donated; from here on every state is.
    state, histories = copy(state), []
    for epoch in range(first_epoch, num_epochs):
        key_order, key_steps = random.split(random.fold_in(key, epoch))
        order = random.permutation(key_order, num_examples)
        history = {}
        for first, last in itertools.pairwise(bounds):
            before = copy(state)
            state, chunk, all_finite = _run_epoch(
                *(train_step, state, rows, prepare, key_steps, order, first, last),
                batch_size=batch_size,
            )
            if not all_finite:
                steps = (
                    (
                        take_rows(rows, order[t * batch_size : (t + 1) * batch_size]),
                        random.fold_in(key_steps, t),
                    )
                    for t in range(first, last)
                )
                where = f"of {num_steps} of epoch {epoch + 1}"
                raise_not_finite(train_step, prepare, before, steps, first, where)
            new = {name: np.asarray(x)[first:last] for name, x in chunk.items()}
            history = join([history, new])
            if on_chunk is not None:
                on_chunk(epoch, copy(state), history)
        if end_epoch is not None:
            state, metrics = end_epoch(state)
            history |= {name: np.asarray(x)[None] for name, x in metrics.items()}
        histories.append(history)
        if on_epoch is not None:
            on_epoch(epoch, copy(state), history)
    return state, histories


@partial(jax.jit, static_argnames=("train_step", "batch_size"), donate_argnames="state")
def _run_epoch(
    train_step, state, data, prepare, key, order, first, last, *, batch_size
):
    """Steps `first` to `last` of an epoch; with the last one, the short batch."""
    num_full, short = divmod(order.shape[0], batch_size)

    def step(state, index, t):
        rows, key_step = take_rows(data, index), random.fold_in(key, t)
        return prepared_step(train_step, prepare, state, rows, key_step)

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
    return state, history, is_finite(state.params)


def _check_counts(num_examples, batch_size, num_epochs, first_epoch, chunks_per_epoch):
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("num_epochs", num_epochs, 0),
        ("first_epoch", first_epoch, 0),
        ("chunks_per_epoch", chunks_per_epoch, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(
                f"`{name}` is {value!r} but needs to be a whole number of at least "
                f"{least}."
            )
    if batch_size > num_examples:
        raise ValueError(
            f"`batch_size` is {batch_size} but the data hold {num_examples} examples; "
            "take a batch size of at most that many."
        )
