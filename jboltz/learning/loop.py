"""Many updates in one program: the parts of both training loops."""

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
    """Refuses what no loop can run, such as a state that another estimator has made.

    Only a step of `make_train_step` says what its estimator and its optimizer are.

    Args:
      functions: what else the loop calls, or None.

    Raises:
      TypeError: a function that cannot be called, no state, or no key.
      ValueError: it names what differs, as it is and as it needs to be.
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
    """Refuses what is traced: a loop on the host looks at values between programs."""
    if is_traced(trees):
        raise InvalidType(
            f"`{loop}` was called under `jit`, `vmap` or `grad`, but it reports to the "
            "host while it trains; call `train_epoch` or `train_epochs`, the same "
            "steps as pure functions."
        )


def copy(state: TrainState) -> TrainState:
    """The same state in buffers of its own, which no donation deletes."""
    return jax.tree.map(jnp.copy, state)


def run_steps(step, state, first, last, length):
    """Steps `first` to `last`, which need not be static; metrics at their places."""
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
    """One update on raw rows: prepared, then trained on."""
    key_prepare, key_step = random.split(key)
    batch = Batch(
        values=prepare(rows.values, key_prepare), weights=rows.weights, mask=rows.mask
    )
    return train_step(state, batch, key_step)


def raise_not_finite(train_step, prepare, state, steps, first, where):
    """Repeats steps that ended in parameters not finite, and names the first to do so.

    The check of a whole program of steps costs nothing beside them, a check of every
    step a tenth of its time: so which one it was is found afterwards.

    Args:
      state: before the first of the steps.
      steps: rows and key of each.
      first: the number of the first, from 0.
      where: of which epoch or stream they are.
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
    """One history after the other; those that are empty have no metrics yet."""
    full = [history for history in histories if history]
    names = full[-1] if full else ()
    return {name: np.concatenate([h[name] for h in full]) for name in names}


def as_pytree(function: Callable[..., Any]) -> jax.tree_util.Partial:
    """`function` as an argument that `jit` takes: arrays inside it are traced.

    Those of a dataclass, and of the dataclasses in its fields, are found.
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
    """The number of the array that was in this place."""

    index: int


@dataclasses.dataclass(frozen=True)
class _WithArrays:
    """A function that hashes, since its arrays come as the first argument."""

    function: Any

    def __call__(self, arrays, *arguments):
        def put_back(x):
            return arrays[x.index] if isinstance(x, _Place) else x

        return _with_fields(self.function, put_back)(*arguments)


def _with_fields(x: Any, change: Callable[[Any], Any]) -> Any:
    """`x` changed or, of a dataclass, its fields; itself where nothing has changed."""
    changed = change(x)
    if changed is not x or not dataclasses.is_dataclass(x) or isinstance(x, type):
        return changed
    old = {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
    new = {name: _with_fields(value, change) for name, value in old.items()}
    if all(new[name] is value for name, value in old.items()):
        return x
    # Not by the constructor, which would check what stands where an array was.
    made = object.__new__(type(x))
    for name, value in new.items():
        object.__setattr__(made, name, value)
    return made
