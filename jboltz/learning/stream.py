"""Training on a stream of batches, for data that do not fit the device."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import Batch, State
from jboltz.checks import check_count
from jboltz.errors import InvalidType, InvalidValue
from jboltz.learning.constant import SAMPLE_SIZE, warn_if_constant
from jboltz.learning.loop import (
    as_pytree,
    check_known,
    check_loop,
    copy,
    is_finite,
    join,
    prepared_step,
    raise_not_finite,
    run_steps,
)
from jboltz.learning.rows import rows_for, take_rows, unchanged
from jboltz.learning.step import History, Prepare, TrainState, TrainStep, model_of


def fit_stream(
    train_step: TrainStep,
    state: TrainState,
    batches: Iterable[State | Batch],
    key: Key[Array, ""],
    *,
    prepare: Prepare = unchanged,
    select: int | str | None = None,
    chunk_size: int = 32,
    place: Callable[[np.ndarray], Array] = jnp.asarray,
    on_chunk: Callable[[int, TrainState, History], None] | None = None,
) -> tuple[TrainState, History]:
    """Trains on batches from an iterator on the host.

    One compiled program takes `chunk_size` batches; while it runs, the next batches are
    read and copied. Each shape of a batch compiles a program. Update t, counted from 0
    by `state.step`, draws from `fold_in(key, t)`. So a stopped run continues bit for
    bit with the remaining batches.

    Args:
      train_step: the update, for example from `make_train_step`.
      state: the state to start from, such as `init_train_state` returns.
      batches: each is rows, as in `fit`, or a `Batch` of rows with weights or a mask.
        Weights of mean 1 over the stream keep the learning rate.
      key: a key of this run; a run that continues takes the same one.
      prepare: `(rows, key) -> values`, applied to a batch inside the compiled step.
      select: which entry of a batch holds the rows, if a batch is a tuple, a list or a
        dictionary, such as 0 for the `[images, labels]` of a PyTorch loader.
      chunk_size: the number of batches per program; it does not change the result.
      place: puts the batches of a program, (chunk, rows, …), on the device. For several
        devices take `sharding.feed`.
      on_chunk: called as `(number of steps, state, history of the chunk)`; the state is
        a copy that can be kept.

    Returns:
      The state, and the history of all steps.

    Warns:
      UserWarning: as in `fit`, for the last batches.

    Raises:
      FloatingPointError: as in `fit`; the message names the step of the stream.
      ValueError: there is no batch, `chunk_size` is below 1, a weight is negative, all
        weights of a batch are 0, or `state` is of another estimator or optimizer.

    Example:
      The rows of a memory map in the order that `fit` takes in this epoch, where
      `random` is `jboltz.random`:

          key_order, _ = random.split(random.fold_in(key, epoch))
          order = random.permutation(key_order, len(rows))
          starts = range(0, len(rows), batch_size)
          batches = (rows[order[i : i + batch_size]] for i in starts)
    """
    chunk_size = check_count("chunk_size", chunk_size, at_least=1)
    check_known("fit_stream", state, key)
    check_loop(train_step, state, key, prepare=prepare, place=place, on_chunk=on_chunk)
    if not isinstance(batches, Iterable):
        raise InvalidType(
            f"`batches` is {batches!r} but an iterable of batches is needed; pass a "
            "list or a generator of them, or train on one array by `fit`."
        )
    if select is not None:
        batches = (_selected(batch, select) for batch in batches)
    model = model_of(train_step)
    rows_of = partial(rows_for, model, prepare=prepare)
    train_step, prepare = as_pytree(train_step), as_pytree(prepare)
    step = int(state.step)
    running, histories = None, []

    def finish(before, stack, first, count, after, chunk, all_finite):
        if not all_finite:
            steps = (
                (take_rows(stack, t), random.fold_in(key, first + t))
                for t in range(count)
            )
            raise_not_finite(train_step, prepare, before, steps, first, "of the stream")
        histories.append({name: np.asarray(x)[:count] for name, x in chunk.items()})
        if on_chunk is not None:
            on_chunk(first + count, after, histories[-1])

    for stack, count in _stacks(map(rows_of, batches), chunk_size, place):
        # The program gets a copy, which it may overwrite.
        before = state
        state, chunk, all_finite = run_stack(
            train_step, copy(state), stack, prepare, key, step, count
        )
        # Dispatch is asynchronous: while this chunk runs, the last one is reported and
        # the next one is read.
        if running is not None:
            finish(*running)
        running = (before, stack, step, count, state, chunk, all_finite)
        step += count
    if running is None:
        raise InvalidValue(
            "`batches` holds no batch but training needs at least one; pass a new "
            "iterator if this one has been used before."
        )
    finish(*running)
    _, stack, _, count, *_ = running
    rows = np.shape(jax.tree.leaves(stack)[0])[1]
    warn_if_constant(
        model,
        state.params,
        stack,
        np.arange(min(count, max(1, SAMPLE_SIZE // rows))),
        prepare,
        random.fold_in(key, step),
        f"step {step} of the stream",
    )
    return state, join(histories)


@partial(jax.jit, donate_argnames="state")
def run_stack(train_step, state, stack, prepare, key, first, count):
    """Steps `first` to `first + count`, one per batch of the stack."""

    def step(state, t):
        rows, key_step = take_rows(stack, t), random.fold_in(key, first + t)
        return prepared_step(train_step, prepare, state, rows, key_step)

    length = jax.tree.leaves(stack)[0].shape[0]
    state, history = run_steps(step, state, 0, count, length)
    return state, history, is_finite(state.params)


def _selected(batch: Any, select: int | str) -> Any:
    try:
        return batch[select]
    except (KeyError, IndexError, TypeError) as error:
        entries = sorted(batch) if isinstance(batch, dict) else f"0 to {len(batch) - 1}"
        raise InvalidValue(
            f"`select` is {select!r} but a batch is a {type(batch).__name__} with the "
            f"entries {entries}; pass one of these."
        ) from error


def _stacks(batches, chunk_size: int, place) -> Iterator[tuple[Batch, int]]:
    """Groups of up to `chunk_size` batches of one shape, padded to `chunk_size`."""
    described = (
        (batch, [(x.shape, x.dtype) for x in jax.tree.leaves(batch)])
        for batch in (jax.tree.map(np.asarray, batch) for batch in batches)
    )
    for _, group in itertools.groupby(described, key=lambda pair: pair[1]):
        # `itertools.batched` needs Python 3.12.
        while chunk := [batch for batch, _ in itertools.islice(group, chunk_size)]:
            padding = [chunk[-1]] * (chunk_size - len(chunk))
            stack = jax.tree.map(lambda *x: place(np.stack(x)), *chunk, *padding)
            yield stack, len(chunk)
