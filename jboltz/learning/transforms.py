"""optax transformations for parameters that have a range."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jboltz.base import Params


def project(low: float, high: float) -> optax.GradientTransformation:
    """Ends every update inside [low, high], the last link of a chain.

    For a part of the parameters, wrap it in `optax.masked` or `optax.partition` with
    `labels`.

    Raises:
      ValueError: `low` is above `high`.
    """
    if not low <= high:
        raise ValueError(f"`low` is {low} and `high` {high} but low ≤ high is needed.")

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("`params` is None but a projection needs them.")
        ended = jax.tree.map(
            lambda p, u: jnp.clip(p + u, low, high) - p, params, updates
        )
        return ended, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def labels(params: Params, *, names: tuple[str, ...], rest: str = "rest") -> Any:
    """For each leaf the name of its field if it is one of `names`, else `rest`.

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
        raise ValueError(
            f"`names` has {sorted(missing)} but the leaves are called "
            f"{sorted(str(name) for name in found)}."
        )
    return tree
