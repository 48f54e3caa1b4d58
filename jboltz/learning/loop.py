"""Parts of the training loops `fit` and `fit_stream`."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import Batch, Params
from jboltz.checks import check_callable, check_key, is_traced
from jboltz.errors import Diverged, InvalidType
from jboltz.learning.step import History, TrainState, TrainStep, check_state


def check_loop(
    train_step: TrainStep, state: TrainState, key: Key[Array, ""], **functions: Any
) -> None:
    """Refuses arguments of a loop that do not fit each other.

    Args:
      functions: the other functions that the loop calls, or None.

    Raises:
      TypeError: a function cannot be called, or `state` or `key` has another type.
      ValueError: `state` is not of the estimator or the optimizer of `train_step`; only
        a step of `make_train_step` declares these.
    """
    check_callable("train_step", train_step, "as from `make_train_step`")
    for name, function in functions.items():
        if name == "prepare" or function is not None:
            check_callable(name, function, "as the docstring of the loop says")
    if not isinstance(state, TrainState):
        raise InvalidType(
            f"`state` is a {type(state).__name__} but a `TrainState` is needed; make "
            "it by `init_train_state`."
        )
    check_key(key)
    check_state(train_step, state)


def check_known(loop: str, *trees: Any) -> None:
    """Refuses traced arguments; a loop on the host needs values."""
    if is_traced(trees):
        raise InvalidType(
            f"`{loop}` was called under `jit`, `vmap` or `grad`, but it reports to the "
            "host while it trains; call `train_epoch` or `train_epochs`, the same "
            "steps as pure functions."
        )


@jax.jit
def copy(state: TrainState) -> TrainState:
    """A copy of the state, for a program that overwrites its argument."""
    return jax.tree.map(jnp.copy, state)


def run_steps(step, state, first, last, length):
    """Runs steps `first` to `last`, which may be traced; metrics of step t are at t."""
    metrics = jax.eval_shape(step, state, jnp.asarray(first))[1]
    history = jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), metrics)

    def body(t, carry):
        state, history = carry
        state, metrics = step(state, t)
        return state, {name: x.at[t].set(metrics[name]) for name, x in history.items()}

    return jax.lax.fori_loop(first, last, body, (state, history))


def is_finite(params: Params) -> Array:
    """Whether every number of every leaf is finite."""
    return jnp.all(jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(params)]))


def prepared_step(train_step, prepare, state, rows, key):
    """One update on rows of data, which `prepare` turns into values first."""
    key_prepare, key_step = random.split(key)
    batch = Batch(
        values=prepare(rows.values, key_prepare), weights=rows.weights, mask=rows.mask
    )
    return train_step(state, batch, key_step)


def raise_not_finite(train_step, prepare, state, steps, first, where):
    """Repeats steps one by one to name the first that makes parameters not finite.

    A check of every step would cost a tenth of its time, so the loops check whole
    programs and find the step afterwards.

    Args:
      state: the state before the first of the steps.
      steps: (rows, key) of each step.
      first: the number of the first step, from 0.
      where: the epoch or the stream, for the message.
    """
    advice = "lower the learning rate, or look for outliers in the data"
    run = jax.jit(prepared_step)
    step = first
    for step, (rows, key) in enumerate(steps, start=first):
        state, _ = run(train_step, prepare, state, rows, key)
        broken = [
            jax.tree_util.keystr(path)
            for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)
            if not jnp.isfinite(leaf).all()
        ]
        if broken:
            raise Diverged(
                f"Step {step + 1} {where} makes params{', params'.join(broken)} not "
                f"finite, but training needs finite parameters; {advice}."
            )
    raise Diverged(
        f"Parameters are not finite after step {step + 1} {where}, though not when "
        f"its steps are repeated one by one; {advice}."
    )


def join(histories: Sequence[History]) -> History:
    """The concatenated histories; an empty one is skipped."""
    full = [history for history in histories if history]
    names = full[-1] if full else ()
    return {name: np.concatenate([h[name] for h in full]) for name in names}


def as_pytree(function: Callable[..., Any]) -> jax.tree_util.Partial:
    """`function` as an argument of `jit`, in which its arrays are traced.

    Arrays are found in the fields of a dataclass, and of dataclasses in these fields.
    """
    if isinstance(function, jax.tree_util.Partial):
        return function
    arrays: list[Array] = []

    def take_out(x):
        if not isinstance(x, jax.Array | np.ndarray):
            return x
        arrays.append(jnp.asarray(x))
        return _Place(len(arrays) - 1)

    static = _with_fields(function, take_out)
    if not arrays:
        return jax.tree_util.Partial(function)
    return jax.tree_util.Partial(_WithArrays(static), arrays)


@dataclasses.dataclass(frozen=True)
class _Place:
    """Stands for an array in a dataclass, with the number of the array."""

    index: int


@dataclasses.dataclass(frozen=True)
class _WithArrays:
    """A hashable function that takes its arrays as the first argument."""

    function: Any

    def __call__(self, arrays, *arguments):
        def put_back(x):
            return arrays[x.index] if isinstance(x, _Place) else x

        return _with_fields(self.function, put_back)(*arguments)


def _with_fields(x: Any, change: Callable[[Any], Any]) -> Any:
    """`change(x)`, or a dataclass with changed fields, or `x` if nothing changes."""
    changed = change(x)
    if changed is not x or not dataclasses.is_dataclass(x) or isinstance(x, type):
        return changed
    old = {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
    new = {name: _with_fields(value, change) for name, value in old.items()}
    if all(new[name] is value for name, value in old.items()):
        return x
    # The constructor would check the placeholders of arrays, so it is not called.
    made = object.__new__(type(x))
    for name, value in new.items():
        object.__setattr__(made, name, value)
    return made
