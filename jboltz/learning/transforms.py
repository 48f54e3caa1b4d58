"""optax transformations for parameters that have a range."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jboltz.base import Params
from jboltz.errors import InvalidValue


def project(onto: Callable[[Params], Params]) -> optax.GradientTransformation:
    """Ends every update where `onto` puts the parameters: the last link of a chain.

    For a part of the parameters, wrap it in `optax.masked`, or in `optax.partition`
    with `labels`.

    Args:
      onto: parameters to the nearest ones allowed; `within`, for one.
    """

    def update(updates, state, params=None):
        if params is None:
            raise InvalidValue("`params` is None but a projection needs them.")
        ended = onto(optax.apply_updates(params, updates))
        return jax.tree.map(jnp.subtract, ended, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def within(low: float, high: float) -> Callable[[Params], Params]:
    """The projection onto [low, high], of every leaf.

    Raises:
      ValueError: `low` is above `high`.
    """
    if not low <= high:
        raise InvalidValue(
            f"`low` is {low} and `high` {high} but low ≤ high is needed."
        )
    return partial(jax.tree.map, lambda x: jnp.clip(x, low, high))


def by_field(
    rest: optax.GradientTransformation, **fields: optax.GradientTransformation
) -> optax.GradientTransformation:
    """A transformation of its own for the fields of these names, `rest` for the others.

    `by_field(fast, log_variance=slow)` gives log-variances a rate of their own.
    """
    label = partial(labels, names=tuple(fields))
    return optax.partition({**fields, "rest": rest}, label)


def labels(params: Params, *, names: tuple[str, ...], rest: str = "rest") -> Any:
    """The tree of labels: the name of a leaf's field if it is in `names`, else `rest`.

    What `optax.partition` takes to give, say, log-variances a learning rate of their
    own: `optax.partition({"log_variance": slow, "rest": fast}, partial(labels,
    names=("log_variance",)))`.

    Raises:
      ValueError: a name is the field of no leaf.
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
            f"{sorted(str(name) for name in found)}."
        )
    return tree
