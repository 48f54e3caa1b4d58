"""Whether two optimizers were built alike.

An optax optimizer is a pair of closures, which are equal to nothing but themselves: a
step that is built again in another cell of a notebook, or for another point of a grid,
would compile its epoch again.
"""

import functools
import types
from typing import Any

_Key = tuple[Any, ...]


def how_built(x: Any) -> _Key:
    """A hashable key that is the same for what optax built from the same parts.

    A function of optax is its code and the keys of what it closes over. Anything else
    stands for itself: by its value where it hashes, else as one object. A function of
    the user's may read globals that change, so it equals no other that looks like it.
    """
    return _key(x, ())


def _key(x: Any, around: tuple[int, ...]) -> _Key:
    if id(x) in around:  # a function that calls itself
        return ("around", around.index(id(x)))
    around = (*around, id(x))
    if isinstance(x, types.FunctionType) and x.__module__.split(".")[0] == "optax":
        cells = tuple(_contents(cell, around) for cell in x.__closure__ or ())
        defaults = _key(x.__defaults__, around), _key(x.__kwdefaults__, around)
        return (x.__code__, cells, defaults)
    if isinstance(x, functools.partial):
        return ("partial", *(_key(y, around) for y in (x.func, x.args, x.keywords)))
    if isinstance(x, tuple | list):
        return (type(x), *(_key(y, around) for y in x))
    if isinstance(x, dict):
        return (dict, *((name, _key(y, around)) for name, y in x.items()))
    try:
        hash(x)
    except TypeError:
        return ("object", _Self(x))
    return (type(x), x)  # with its type, since 1 == 1.0 == True


def _contents(cell: types.CellType, around: tuple[int, ...]) -> _Key:
    try:
        return _key(cell.cell_contents, around)
    except ValueError:  # a cell that is empty
        return ("empty",)


class _Self:
    """An object that has no hash, equal to itself alone."""

    def __init__(self, x: Any) -> None:
        self.x = x  # kept alive, so that no other object gets its id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Self) and self.x is other.x

    def __hash__(self) -> int:
        return id(self.x)
