"""Keys that are equal for optimizers that were built alike.

An optax optimizer is a pair of closures, which are equal to nothing but themselves: a
step that is built again in another cell of a notebook, or for another point of a grid,
would compile its epoch again.
"""

import functools
import types
from typing import Any

import optax

_Key = tuple[Any, ...]

_LIBRARIES = ("optax", "jax", "jaxlib", "numpy", "chex", "builtins")
"""Where functions come from that no user changes while a program runs."""


def how_built(optimizer: Any) -> _Key:
    """A hashable key that is the same for what optax built from the same parts.

    A function of optax is its code and the keys of what it closes over. An optimizer
    that holds anything which may change, such as a schedule of the user's, which may
    read globals, or an array, equals itself alone.
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
    """The library of its globals; its `__module__` may be that of what it wraps."""
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
    """Something has a part that may be another one when it is used again."""


class _Self:
    """An object that has no hash, equal to itself alone."""

    def __init__(self, x: Any) -> None:
        self.x = x  # kept alive, so that no other object gets its id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Self) and self.x is other.x

    def __hash__(self) -> int:
        return id(self.x)
