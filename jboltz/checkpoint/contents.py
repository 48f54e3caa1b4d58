"""What a checkpoint may hold, and whether it holds what is asked for."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from jboltz.base import State
from jboltz.checks import check_not_narrowed, is_traced, records_of
from jboltz.errors import InvalidType, InvalidValue

_ARRAYS = jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct


def leaves_of(name: str, state: State) -> dict[str, list[Any]]:
    """Name → [dtype, shape] of every leaf.

    Raises:
      TypeError: one is no array of numbers or keys, or there is no tree of them.
    """
    leaves = jax.tree_util.tree_leaves_with_path(state)
    if not leaves or not leaves[0][0]:
        raise InvalidType(
            f"`{name}` is {state!r} but a tree of arrays is needed; put one array into "
            "a dictionary, `{'x': array}`."
        )
    found = {}
    for path, leaf in leaves:
        where = jax.tree_util.keystr(path)
        is_array = isinstance(leaf, _ARRAYS) and not is_traced(leaf)
        if not is_array or not _is_known(leaf.dtype):
            raise InvalidType(
                f"`{name}` has {leaf!r} at {where} but every leaf needs to be an array "
                "of numbers or of keys, known and not traced; make it one by "
                "`jnp.asarray`, or put it into `notes`."
            )
        check_not_narrowed(f"`{name}` has {leaf.dtype} at {where}", leaf.dtype)
        if not leaf.size:
            raise InvalidValue(
                f"`{name}` has an array of shape {leaf.shape} at {where}, which is "
                "empty; leave it out."
            )
        found[where] = [str(leaf.dtype), list(leaf.shape)]
    return found


def check_json(name: str, table: Any) -> None:
    """Refuses what is no dictionary that can be written as JSON."""
    try:
        json.dumps({**table})
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidType(
            f"`{name}` cannot be written as JSON ({error}); pass a dictionary of "
            "strings, numbers, Booleans, None, and lists and dictionaries of them."
        ) from error


def describe_model(model: Any) -> str | None:
    """Its classes and fields, in a line."""
    text = " ".join(repr(model).split())
    if " at 0x" in text:
        raise InvalidType(
            f"`model` is {text}, which says where it is in memory and not what it is; "
            "make it a dataclass of such, as the models of jboltz are."
        )
    return None if model is None else text


def check_owner(
    owner: dict[str, Any], template: State, model: Any, folder: epath.Path
) -> None:
    for stored, expected in (
        (owner["records"], records_of(template)),
        (owner["model"], owner["model"] if model is None else describe_model(model)),
    ):
        if stored != expected:
            raise InvalidValue(
                f"The checkpoint {folder} belongs to {stored or 'no model in words'} "
                f"but {expected} is asked for; restore what it was saved as, or save "
                "it anew with its `model`."
            )


def check_template(
    stored: dict[str, list[Any]], template: State, folder: epath.Path
) -> None:
    expected = leaves_of("template", template)
    for name in sorted(stored.keys() | expected.keys()):
        if (got := stored.get(name)) != (need := expected.get(name)):
            raise InvalidValue(
                f"The checkpoint {folder} holds {_describe(got)} for {name} but "
                f"{_describe(need)} is asked for; restore with the configuration that "
                "it was written with, or point to an empty folder."
            )


def _is_known(dtype: Any) -> bool:
    # A `longdouble`, an object and a text are none of them.
    is_key = jnp.issubdtype(dtype, jax.dtypes.prng_key)
    return is_key or np.can_cast(dtype, np.complex128)


def _describe(leaf: list[Any] | None) -> str:
    return f"{leaf[0]}{tuple(leaf[1])}" if leaf else "nothing"
