"""optax transformations for parameters with a range, and for parts of parameters."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jboltz.base import Params
from jboltz.errors import InvalidValue


def project(onto: Callable[[Params], Params]) -> optax.GradientTransformation:
    """Changes every update so that it ends at `onto(parameters)`.

    Make it the last transformation of an `optax.chain`. For a part of the parameters
    use `optax.masked`, or `optax.partition` with `labels`.

    Args:
      onto: maps parameters to the nearest allowed ones, such as `within(low, high)`.
    """

    def update(updates, state, params=None):
        if params is None:
            raise InvalidValue("`params` is None but a projection needs it; pass it.")
        ended = onto(optax.apply_updates(params, updates))
        return jax.tree.map(jnp.subtract, ended, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def within(low: float, high: float) -> Callable[[Params], Params]:
    """The function that clips every leaf to [low, high].

    Raises:
      ValueError: `low` is above `high`.
    """
    if not low <= high:
        raise InvalidValue(
            f"`low` is {low} and `high` {high} but low ≤ high is needed; swap them."
        )
    return partial(jax.tree.map, lambda x: jnp.clip(x, low, high))


def by_field(
    rest: optax.GradientTransformation, **fields: optax.GradientTransformation
) -> optax.GradientTransformation:
    """A separate transformation for each of the named fields, `rest` for all others.

    `by_field(fast, log_variance=slow)` trains log-variances by `slow`.
    """
    label = partial(labels, names=tuple(fields))
    return optax.partition({**fields, "rest": rest}, label)


def labels(params: Params, *, names: tuple[str, ...], rest: str = "rest") -> Any:
    """The label of each leaf: the name of its field if it is in `names`, else `rest`.

    `optax.partition` takes such labels, see `by_field`.

    Raises:
      ValueError: no leaf has a field of one of the names.
    """
    found = set()

    def label(path, _):
        name = getattr(path[-1], "name", None)
        found.add(name)
        return name if name in names else rest

    tree = jax.tree_util.tree_map_with_path(label, params)
    if missing := set(names) - found:
        raise InvalidValue(
            f"`names` has {sorted(missing)} but the leaves are called "
            f"{sorted(str(name) for name in found)}; take names from these."
        )
    return tree
