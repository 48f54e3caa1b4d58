"""Training on data that stay on the device: an epoch is one compiled program."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import Batch, Metrics, State
from jboltz.checks import check_count
from jboltz.errors import InvalidType, InvalidValue
from jboltz.learning.constant import SAMPLE_SIZE, warn_if_constant
from jboltz.learning.epoch import as_rows, check_batch_size, take_steps
from jboltz.learning.loop import (
    as_pytree,
    check_known,
    check_loop,
    copy,
    is_finite,
    join,
    raise_not_finite,
)
from jboltz.learning.rows import num_rows, take_rows, unchanged
from jboltz.learning.step import History, Prepare, TrainState, TrainStep, model_of


def fit(
    train_step: TrainStep,
    state: TrainState,
    data: State | Batch,
    key: Key[Array, ""],
    *,
    batch_size: int,
    num_epochs: int,
    prepare: Prepare = unchanged,
    first_epoch: int = 0,
    chunks_per_epoch: int = 1,
    end_epoch: Callable[[TrainState], tuple[TrainState, Metrics]] | None = None,
    on_chunk: Callable[[int, TrainState, History], None] | None = None,
    on_epoch: Callable[[int, TrainState, History], None] | None = None,
) -> tuple[TrainState, list[History]]:
    """Trains on data that stay on the device, on each example once per epoch.

    An epoch, or each of its `chunks_per_epoch` parts, is one compiled program. Epoch e
    draws from `fold_in(key, e)`, so a run that continues at `first_epoch` has the draws
    of an uninterrupted run. The last batch of an epoch may be shorter.

    Args:
      train_step: the update, for example from `make_train_step`.
      state: the state to start from, such as `init_train_state` returns.
      data: one array of rows, or a tuple of arrays with equally many rows; or a `Batch`
        of rows with a mask, or with weights, of which only the ratios count. Without
        `prepare` the rows are states of the visible units, which is checked once. They
        may be lists, NumPy, torch or pandas; bools, floats or integers; and class
        numbers, (examples, sites), for one-hot sites.
      key: a key of this run; a run that continues takes the same one.
      batch_size: the number of examples per update.
      num_epochs: total number of epochs. Training starts at `first_epoch`, so
        `num_epochs - first_epoch` are run.
      prepare: `(rows, key) -> values`, applied to a batch inside the compiled step.
      first_epoch: the number of epochs that are done already.
      chunks_per_epoch: the number of programs per epoch; it does not change the result.
      end_epoch: changes the state after the last step of an epoch; its metrics are
        added to the history of the epoch, one entry each.
      on_chunk: called as `(epoch, state, history so far)` after each chunk; the state
        can be kept, but not donated to a program, since training goes on from it.
      on_epoch: called like `on_chunk`, after each epoch.

    Returns:
      The state, and one history per epoch.

    Warns:
      UserWarning: after an epoch, more than half of the hidden units are constant over
        the data; at most once per call.

    Raises:
      FloatingPointError: a parameter is not finite; the message names the epoch, the
        step and the leaf.
      TypeError: the data are not numbers.
      ValueError: the data are not states of the model, or fewer than `batch_size`; a
        count is out of range; a weight is negative, or all are 0; or `state` is of
        another estimator or optimizer than `train_step`.

    Example:
      >>> from jboltz import RBM, Bernoulli, ContrastiveDivergence, Gibbs
      >>> from jboltz import init_train_state, make_train_step
      >>> rbm, optimizer = RBM(Bernoulli(4), Bernoulli(3)), optax.sgd(2.0)
      >>> key = jax.random.key(0)
      >>> data = np.eye(4)[[0, 1] * 20]
      >>> cd = ContrastiveDivergence(rbm, Gibbs(rbm))
      >>> state = init_train_state(rbm.init(key, data=data), cd, optimizer, key)
      >>> train_step = make_train_step(cd, optimizer)
      >>> state, history = fit(
      ...     train_step, state, data, key, batch_size=10, num_epochs=3
      ... )
      >>> len(history), history[0]["reconstruction_error"].shape, int(state.step)
      (3, (4,), 12)
    """
    check_known("fit", state, key)
    check_loop(
        train_step,
        state,
        key,
        prepare=prepare,
        end_epoch=end_epoch,
        on_chunk=on_chunk,
        on_epoch=on_epoch,
    )
    model = model_of(train_step)
    rows = as_rows(data, model, prepare)
    num_examples = num_rows(rows)
    num_epochs = check_count("num_epochs", num_epochs, at_least=0)
    first_epoch = check_count("first_epoch", first_epoch, at_least=0)
    if first_epoch > num_epochs:
        raise InvalidValue(
            f"`first_epoch` is {first_epoch} but the run ends at `num_epochs`, "
            f"{num_epochs}, which counts the epochs done before; raise it."
        )
    chunks_per_epoch = check_count("chunks_per_epoch", chunks_per_epoch, at_least=1)
    batch_size = check_batch_size(batch_size, num_examples)
    num_steps = -(-num_examples // batch_size)
    bounds = [num_steps * i // chunks_per_epoch for i in range(chunks_per_epoch + 1)]
    train_step, prepare = as_pytree(train_step), as_pytree(prepare)
    histories, has_warned = [], False
    looked_at = batch_size * max(1, min(num_examples, SAMPLE_SIZE) // batch_size)
    for epoch in range(first_epoch, num_epochs):
        key_order, key_steps = _epoch_keys(key, epoch)
        order = random.permutation(key_order, num_examples)
        history = {}
        for first, last in itertools.pairwise(bounds):
            # The program gets a copy, which it may overwrite.
            before = state
            state, chunk, all_finite = _run_epoch(
                train_step,
                copy(state),
                rows,
                prepare,
                key_steps,
                order,
                first,
                last,
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
                on_chunk(epoch, state, dict(history))
        if not has_warned:
            has_warned = warn_if_constant(
                model,
                state.params,
                rows,
                order[:looked_at].reshape(-1, batch_size),
                prepare,
                random.fold_in(key_steps, num_steps),
                f"epoch {epoch + 1}",
            )
        if end_epoch is not None:
            state, metrics = _ended(end_epoch(state), history)
            history |= {name: np.asarray(x)[None] for name, x in metrics.items()}
        histories.append(history)
        if on_epoch is not None:
            on_epoch(epoch, state, dict(history))
    return state, histories


def _ended(found: Any, history: History) -> tuple[TrainState, Metrics]:
    """What `end_epoch` returned: a state, and metrics of new names."""
    kinds = [type(x) for x in found] if isinstance(found, tuple) else []
    if kinds != [TrainState, dict]:
        raise InvalidType(
            f"`end_epoch` returned an object of {type(found).__name__} but a "
            "`TrainState` and a dictionary of metrics are needed; return both, "
            "`(state, {})` where there are no metrics."
        )
    if taken := history.keys() & found[1].keys():
        raise InvalidValue(
            f"`end_epoch` returned metrics {sorted(taken)} but the steps report these "
            "already; give other names."
        )
    return found


@jax.jit
def _epoch_keys(key, epoch):
    """The keys of an epoch's order and of its steps, in one small program."""
    key_order, key_steps = random.split(random.fold_in(key, epoch))
    return key_order, key_steps


@partial(jax.jit, static_argnames="batch_size", donate_argnames="state")
def _run_epoch(
    train_step, state, data, prepare, key, order, first, last, *, batch_size
):
    """`take_steps`, and whether the parameters are finite after them."""
    state, history = take_steps(
        train_step, state, data, prepare, key, order, first, last, batch_size
    )
    return state, history, is_finite(state.params)
