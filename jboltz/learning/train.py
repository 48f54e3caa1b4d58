"""Training: one update, an epoch of them as one compiled program, a stream of them.

What example i of a step draws depends on the keys of epoch and step and on i alone:
not on the batch size, on how an epoch is cut into programs, or on devices.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Key

from jboltz.base import Batch, Estimator, Leaf, Metrics, Params, State

History: TypeAlias = dict[str, np.ndarray]
"""What a run of steps reports: one float32 value a step for each metric."""

TrainStep: TypeAlias = Callable[
    ["TrainState", Batch, Key[Array, ""]], tuple["TrainState", Metrics]
]
Prepare: TypeAlias = Callable[[Array, Key[Array, ""]], State]
"""What a batch of rows goes through on the device, before the estimator sees it. To
carry arrays, a `jax.tree_util.Partial` over them."""


@struct.dataclass
class TrainState:
    """Everything that changes in training."""

    step: Leaf  # () int32, updates taken
    params: Params
    opt_state: State
    estimator_state: State  # persistent chains, say; () for CD


def init_train_state(
    params: Params,
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    key: Key[Array, ""],
) -> TrainState:
    """The state before the first update."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        estimator_state=estimator.init(params, key),
    )


@dataclasses.dataclass(frozen=True)
class _EstimatorStep:
    """A closure that hashes by value, so that building it twice does not recompile."""

    estimator: Estimator
    optimizer: optax.GradientTransformation

    def __call__(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        gradient, estimator_state, metrics = self.estimator.estimate(
            state.params, state.estimator_state, batch, key
        )
        updates, opt_state = self.optimizer.update(
            gradient, state.opt_state, state.params
        )
        new_state = TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            estimator_state=estimator_state,
        )
        return new_state, metrics


def make_train_step(
    estimator: Estimator, optimizer: optax.GradientTransformation
) -> TrainStep:
    """Builds `train_step(state, batch, key) -> (state, metrics)`: pure, not jitted."""
    return _EstimatorStep(estimator, optimizer)


def as_given(values: Array, key: Key[Array, ""]) -> State:
    """The `prepare` that changes nothing: examples must come as the unit wants them."""
    del key
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise TypeError(
            f"The data are {values.dtype} but a unit's states are floating point; "
            "scale them first, or pass a `prepare` that does (`LayerInput` turns "
            "uint8 images into binary states)."
        )
    return values


def fit(
    train_step: TrainStep,
    state: TrainState,
    data: Array | np.ndarray | Batch,
    key: Key[Array, ""],
    *,
    batch_size: int,
    num_epochs: int,
    prepare: Prepare = as_given,
    first_epoch: int = 0,
    chunks_per_epoch: int = 1,
    on_chunk: Callable[[int, History], None] | None = None,
    on_epoch: Callable[[int, TrainState, History], None] | None = None,
) -> tuple[TrainState, list[History]]:
    """Trains on data that stay on the device, each example once an epoch.

    An epoch (or each of its equal chunks) is one compiled program, in which a step
    gathers its rows, prepares them and updates; the short last batch is a step of its
    own shape. Epoch e draws from `fold_in(key, e)`, so a run that goes on at
    `first_epoch` draws what an uninterrupted one would have drawn.

    Args:
      train_step: as from `make_train_step`.
      data: rows, or a `Batch` of them with weights, of any dtype that `prepare` takes.
      prepare: `(rows, key) -> values`, inside the compiled step.
      num_epochs: the epoch to stop before; `first_epoch` of them are done already.
      chunks_per_epoch: programs an epoch is cut into; changes no result.
      on_chunk: called as `(epoch, history so far)` after each chunk.
      on_epoch: called as `(epoch, state, history)`; the state is a copy, to be kept.

    Returns:
      The state, and one history an epoch.

    Raises:
      FloatingPointError: an update made a parameter not finite; it names the epoch,
        the step and the leaf.
      ValueError: there are no data, or fewer than `batch_size`, or a count is off.
    """
    rows = jax.tree.map(jnp.asarray, _as_batch(data))
    num_examples = rows.values.shape[0] if rows.values.ndim else 0
    _check_counts(num_examples, batch_size, num_epochs, first_epoch, chunks_per_epoch)
    num_steps = -(-num_examples // batch_size)
    bounds = [num_steps * i // chunks_per_epoch for i in range(chunks_per_epoch + 1)]
    prepare = _as_pytree(prepare)
    # The caller's own arrays are not donated; from here on every state is.
    state, is_finite = jax.tree.map(jnp.copy, state), jnp.asarray(True)
    histories = []
    for epoch in range(first_epoch, num_epochs):
        key_order, key_steps = jax.random.split(jax.random.fold_in(key, epoch))
        order = _shuffle(key_order, num_examples)
        first_update, history = int(state.step), {}
        for first, last in itertools.pairwise(bounds):
            state, is_finite, chunk = _run_epoch(
                *(train_step, state, is_finite, rows, prepare, key_steps, order),
                *(first, last),
                batch_size=batch_size,
            )
            if not is_finite:
                step = int(state.step) - first_update
                rows = _rows(rows, order[step * batch_size : (step + 1) * batch_size])
                key_step = jax.random.fold_in(key_steps, step)
                where = f"Step {step + 1} of {num_steps} of epoch {epoch + 1}"
                _raise_not_finite(where, train_step, state, prepare, rows, key_step)
            history = _append(history, chunk, first, last)
            if on_chunk is not None:
                on_chunk(epoch, history)
        histories.append(history)
        if on_epoch is not None:
            on_epoch(epoch, jax.tree.map(jnp.copy, state), history)
    return state, histories


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
    prepare = _as_pytree(prepare)
    state, is_finite = jax.tree.map(jnp.copy, state), jnp.asarray(True)
    first_update, step, history = int(state.step), first_step, {}
    running = None

    def finish(stack, first, count, is_finite, snapshot, chunk):
        nonlocal history
        if not is_finite:
            # Later steps changed nothing, so the newest state is the last sound one.
            broken = first_step + int(state.step) - first_update
            rows = jax.tree.map(lambda x: x[broken - first], stack)
            key_step = jax.random.fold_in(key, broken)
            where = f"Step {broken + 1} of the stream"
            _raise_not_finite(where, train_step, state, prepare, rows, key_step)
        chunk = _append({}, chunk, 0, count)
        history = _append(history, chunk, 0, count)
        if on_chunk is not None:
            on_chunk(first + count, snapshot, chunk)

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
    return state, history


@partial(jax.jit, static_argnames=("train_step", "batch_size"), donate_argnames="state")
def _run_epoch(
    train_step, state, is_finite, data, prepare, key, order, first, last, *, batch_size
):
    """Steps `first` to `last` of an epoch; with the last one, the short batch."""
    num_full, short = divmod(order.shape[0], batch_size)

    def step(carry, index, t):
        key_step = jax.random.fold_in(key, t)
        return _guarded_step(train_step, prepare, carry, _rows(data, index), key_step)

    def full_step(carry, t):
        index = jax.lax.dynamic_slice(order, (t * batch_size,), (batch_size,))
        return step(carry, index, t)

    carry, history = _loop(
        full_step, (state, is_finite), first, jnp.minimum(last, num_full), num_full
    )
    if short:

        def short_step(carry):
            return step(carry, order[-short:], num_full)

        def no_step(carry):
            metrics = jax.eval_shape(short_step, carry)[1]
            return carry, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)

        carry, metrics = jax.lax.cond(last > num_full, short_step, no_step, carry)
        history = {name: jnp.append(x, metrics[name]) for name, x in history.items()}
    return *carry, history


@partial(jax.jit, static_argnames="train_step", donate_argnames="state")
def _run_stack(train_step, state, is_finite, stack, prepare, key, first, count):
    """`count` steps, one a batch of the stack; the first is step `first`."""

    def step(carry, t):
        key_step = jax.random.fold_in(key, first + t)
        return _guarded_step(train_step, prepare, carry, _rows(stack, t), key_step)

    length = jax.tree.leaves(stack)[0].shape[0]
    carry, history = _loop(step, (state, is_finite), 0, count, length)
    return *carry, history


def _loop(step, carry, first, last, length):
    """Steps `first` to `last`, which need not be static; metrics at their places."""
    metrics = jax.eval_shape(step, carry, jnp.asarray(first))[1]
    history = jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), metrics)

    def body(t, carry_and_history):
        carry, history = carry_and_history
        carry, metrics = step(carry, t)
        return carry, {name: x.at[t].set(metrics[name]) for name, x in history.items()}

    return jax.lax.fori_loop(first, last, body, (carry, history))


def _guarded_step(train_step, prepare, carry, rows, key):
    """One update, unless it or one before it makes a parameter not finite."""
    state, is_finite = carry
    new_state, metrics = _bare_step(train_step, prepare, state, rows, key)
    leaves = jax.tree.leaves(new_state.params)
    is_finite &= jnp.all(jnp.stack([jnp.isfinite(x).all() for x in leaves]))
    state = jax.tree.map(partial(jnp.where, is_finite), new_state, state)
    return (state, is_finite), metrics


def _bare_step(train_step, prepare, state, rows, key):
    key_prepare, key_step = jax.random.split(key)
    batch = Batch(
        values=prepare(rows.values, key_prepare), weights=rows.weights, mask=rows.mask
    )
    return train_step(state, batch, key_step)


def _raise_not_finite(where, train_step, state, prepare, rows, key):
    """Replays the step that was undone, to name what it broke."""
    new_state, _ = _bare_step(train_step, prepare, state, rows, key)
    broken = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(new_state.params)
        if not jnp.isfinite(leaf).all()
    ]
    raise FloatingPointError(
        f"{where} makes params{', params'.join(broken)} not finite, but training "
        "needs finite parameters; lower the learning rate, or look for outliers in "
        "the data."
    )


@partial(jax.jit, static_argnames="count")
def _shuffle(key, count):
    return jax.random.permutation(key, count)


def _rows(data, index):
    return jax.tree.map(lambda x: x[index], data)


def _append(history, chunk, first, last):
    new = {name: np.asarray(x)[first:last] for name, x in chunk.items()}
    return {name: np.append(history.get(name, x[:0]), x) for name, x in new.items()}


def _stacks(batches, chunk_size: int) -> Iterator[tuple[Batch, int]]:
    """Groups of up to `chunk_size` batches of one shape, padded to that length."""
    described = (
        (batch, [(x.shape, x.dtype) for x in jax.tree.leaves(batch)])
        for batch in (jax.tree.map(np.asarray, _as_batch(b)) for b in batches)
    )
    for _, group in itertools.groupby(described, key=lambda pair: pair[1]):
        # Not itertools.batched, which is new in Python 3.12.
        while chunk := [batch for batch, _ in itertools.islice(group, chunk_size)]:
            padding = [chunk[-1]] * (chunk_size - len(chunk))
            stack = jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *chunk, *padding)
            yield stack, len(chunk)


def _as_batch(data) -> Batch:
    return data if isinstance(data, Batch) else Batch(values=data)


def _as_pytree(prepare: Prepare) -> jax.tree_util.Partial:
    if isinstance(prepare, jax.tree_util.Partial):
        return prepare
    return jax.tree_util.Partial(prepare)


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
