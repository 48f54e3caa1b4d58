"""Training on a stream of batches, for data that do not fit the device."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz.base import Batch
from jboltz.learning.step import (
    History,
    Prepare,
    TrainState,
    TrainStep,
    as_batch,
    as_given,
    as_pytree,
    guarded_step,
    join,
    raise_not_finite,
    run_steps,
    take_rows,
)


def fit_stream(
    train_step: TrainStep,
    state: TrainState,
    batches: Iterable[Array | np.ndarray | Batch],
    key: Key[Array, ""],
    *,
    prepare: Prepare = as_given,
    chunk_size: int = 32,
    first_step: int = 0,
    on_chunk: Callable[[int, TrainState, History], None] | None = None,
) -> tuple[TrainState, History]:
    """Trains on a host iterator of batches, for data that do not fit the device.

    `chunk_size` batches make one compiled program; while it runs, the next ones are
    read and copied. Batches may change their shape, at the price of a compilation for
    each shape. Step t draws from `fold_in(key, t)`.

    Args:
      chunk_size: batches a program; changes no result.
      first_step: steps done already, with batches that `batches` no longer holds.
      on_chunk: called as `(steps done, state, history of the chunk)`; the state is a
        copy, to be kept.

    Returns:
      The state, and the history of all steps.

    Raises:
      FloatingPointError: as for `fit`; it names the step of the stream.
      ValueError: the stream holds no batch, or `chunk_size` is below 1.
    """
    if chunk_size < 1:
        raise ValueError(f"`chunk_size` is {chunk_size} but needs to be at least 1.")
    prepare = as_pytree(prepare)
    state, is_finite = jax.tree.map(jnp.copy, state), jnp.asarray(True)
    first_update, step = int(state.step), first_step
    running, histories = None, []

    def finish(stack, first, count, is_finite, snapshot, chunk):
        if not is_finite:
            # Later steps changed nothing, so the newest state is the last sound one.
            broken = first_step + int(state.step) - first_update
            rows = take_rows(stack, broken - first)
            key_step = jax.random.fold_in(key, broken)
            where = f"Step {broken + 1} of the stream"
            raise_not_finite(where, train_step, state, prepare, rows, key_step)
        histories.append({name: np.asarray(x)[:count] for name, x in chunk.items()})
        if on_chunk is not None:
            on_chunk(first + count, snapshot, histories[-1])

    for stack, count in _stacks(batches, chunk_size):
        state, is_finite, chunk = _run_stack(
            train_step, state, is_finite, stack, prepare, key, step, count
        )
        # Dispatch is asynchronous: while this chunk runs, the one before is reported
        # and the loop reads the next.
        if running is not None:
            finish(*running)
        snapshot = None if on_chunk is None else jax.tree.map(jnp.copy, state)
        running = (stack, step, count, is_finite, snapshot, chunk)
        step += count
    if running is None:
        raise ValueError(
            "`batches` holds no batch but training needs at least one; an iterator "
            "that was used up before gives none."
        )
    finish(*running)
    return state, join(histories)


@partial(jax.jit, static_argnames="train_step", donate_argnames="state")
def _run_stack(train_step, state, is_finite, stack, prepare, key, first, count):
    """`count` steps, one a batch of the stack; the first is step `first`."""

    def step(carry, t):
        key_step = jax.random.fold_in(key, first + t)
        return guarded_step(train_step, prepare, carry, take_rows(stack, t), key_step)

    length = jax.tree.leaves(stack)[0].shape[0]
    carry, history = run_steps(step, (state, is_finite), 0, count, length)
    return *carry, history


def _stacks(batches, chunk_size: int) -> Iterator[tuple[Batch, int]]:
    """Groups of up to `chunk_size` batches of one shape, padded to that length."""
    described = (
        (batch, [(x.shape, x.dtype) for x in jax.tree.leaves(batch)])
        for batch in (jax.tree.map(np.asarray, as_batch(b)) for b in batches)
    )
    for _, group in itertools.groupby(described, key=lambda pair: pair[1]):
        # Not itertools.batched, which is new in Python 3.12.
        while chunk := [batch for batch, _ in itertools.islice(group, chunk_size)]:
            padding = [chunk[-1]] * (chunk_size - len(chunk))
            stack = jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *chunk, *padding)
            yield stack, len(chunk)
