"""Hashable keys that are equal for optimizers built in the same way.

An optax optimizer is a pair of closures, and two closures are never equal. Without a
key, a train step that is built again, such as for another point of a grid, would be
compiled again.
"""

import functools
import types
from typing import Any

import optax

_Key = tuple[Any, ...]

_LIBRARIES = ("optax", "jax", "jaxlib", "numpy", "chex", "builtins")
"""Libraries whose functions do not change while a program runs."""


def how_built(optimizer: Any) -> _Key:
    """A hashable key that is the same for optimizers of optax from the same arguments.

    The key of a function of optax is its code and the keys of its closure. An optimizer
    with a part that may change, such as an array, or a schedule of the user that may
    read global variables, is equal to itself only.
    """
    try:
        return _key(optimizer, ())
    except _MayChangeError:
        return ("object", _Self(optimizer))


def _key(x: Any, around: tuple[int, ...]) -> _Key:
    if id(x) in around:  # a function that calls itself
        return ("around", around.index(id(x)))
    around = (*around, id(x))
    if isinstance(x, types.FunctionType) and _library_of(x) == "optax":
        cells = tuple(_contents(cell, around) for cell in x.__closure__ or ())
        defaults = _key(x.__defaults__, around), _key(x.__kwdefaults__, around)
        return (x.__code__, cells, defaults)
    if isinstance(x, functools.partial):
        return ("partial", *(_key(y, around) for y in (x.func, x.args, x.keywords)))
    if isinstance(x, optax.MultiSteps):  # the one optimizer that is an object
        return (type(x), _key(vars(x), around))
    if isinstance(x, tuple | list):
        return (type(x), *(_key(y, around) for y in x))
    if isinstance(x, dict):
        return (dict, *((name, _key(y, around)) for name, y in x.items()))
    if callable(x) and not isinstance(x, type) and _library_of(x) not in _LIBRARIES:
        raise _MayChangeError
    try:
        hash(x)
    except TypeError as error:
        raise _MayChangeError from error
    return (type(x), x)  # with its type, since 1 == 1.0 == True


def _library_of(function: Any) -> str:
    """The library of a function, by its globals; `__module__` may be a copy."""
    names = getattr(function, "__globals__", None)
    module = names.get("__name__") if names else getattr(function, "__module__", None)
    return (module or "").split(".")[0]


def _contents(cell: types.CellType, around: tuple[int, ...]) -> _Key:
    try:
        contents = cell.cell_contents
    except ValueError:
        return ("empty",)
    return _key(contents, around)


class _MayChangeError(Exception):
    """An optimizer has a part that may change between two uses."""


class _Self:
    """A hashable wrapper of an object, equal if the object is the same."""

    def __init__(self, x: Any) -> None:
        self.x = x  # kept alive, so that no other object gets its id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Self) and self.x is other.x

    def __hash__(self) -> int:
        return id(self.x)
