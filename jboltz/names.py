"""Trees of arrays by dotted names, such as `visible.bias`, and back."""

from typing import Any

import jax
from flax.traverse_util import unflatten_dict

from jboltz.base import Params
from jboltz.errors import InvalidValue
from jboltz.ranges import shortened

MOST_LEVELS = 100
"""Nested dictionaries are at most this deep. JAX takes a thousand or more, depending on
the stack of the machine."""


def named(params: Params) -> dict[str, Any]:
    """The leaves by their dotted paths."""
    try:
        leaves = jax.tree.leaves_with_path(params)
    except (ValueError, TypeError, RecursionError, SystemError) as error:
        raise InvalidValue(
            f"`params` is no tree whose leaves have names ({error}): dictionaries need "
            f"texts as keys, and are at most {MOST_LEVELS} deep; make all keys texts, "
            "and different ones."
        ) from error
    found = {}
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if len(name.split(".")) != len(path):
            raise InvalidValue(
                f"`params` has the leaf {name!r} at "
                f"{jax.tree_util.keystr(path) or 'the top'}; put it into a dictionary, "
                "by a name without dots."
            )
        found[name] = leaf
    _check(found, "`params`")
    return found


def nested(arrays: dict[str, Any], owner: str) -> dict[str, Any]:
    """Nested dictionaries of the arrays; the array `a.b` is at `["a"]["b"]`.

    Args:
      owner: how error messages call what has the arrays.
    """
    _check(arrays, owner)
    return unflatten_dict(arrays, sep=".")


def _check(arrays: dict[str, Any], owner: str) -> None:
    for name in arrays:
        parts = name.split(".")
        if len(parts) > MOST_LEVELS:
            raise InvalidValue(
                f"{owner} has an array {len(parts)} dictionaries deep, named "
                f"{shortened(name)}, but {MOST_LEVELS} are the most; give it a shorter "
                "path."
            )
        above = {".".join(parts[:i]) for i in range(1, len(parts))}
        for taken in above & arrays.keys():
            raise InvalidValue(
                f"{owner} has the array {taken} and, inside of it, {name}, but a name "
                "is of an array or of a dictionary; rename one of them."
            )
