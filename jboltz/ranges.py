"""What the numbers of a configuration may be: said with each field, as its type."""

import dataclasses
import os
import typing
from typing import Annotated, Any

import numpy as np

from jboltz.errors import InvalidValue


@dataclasses.dataclass(frozen=True)
class Range:
    """From `least` to `most`, both allowed unless the range is open."""

    least: int | float
    most: int | float
    is_open: bool = False  # `most` itself is not allowed

    def __contains__(self, value: int | float) -> bool:
        below = value < self.most if self.is_open else value <= self.most
        return self.least <= value and below

    def __str__(self) -> str:
        least, most = (format(x, ".10g") for x in (self.least, self.most))
        return f"at least {least} and {'below' if self.is_open else 'at most'} {most}"


Count = Annotated[int, Range(1, 1_000_000)]
CountFromZero = Annotated[int, Range(0, 1_000_000)]
Several = Annotated[int, Range(2, 1_000_000)]
Steps = Annotated[int, Range(1, 10_000_000)]
ChainSteps = Annotated[int, Range(4, 10_000_000)]
"""Steps of chains that are judged by their halves."""
Patches = Annotated[int, Range(100, 100_000_000)]
Seed = Annotated[int, Range(0, 2**32, is_open=True)]
"""A key is made of 32 bits."""
Rate = Annotated[float, Range(1e-9, 1e3)]
"""A step size. Weights start near 0.01 and gradients are near 1: in single precision a
smaller rate moves no weight, and nothing stays finite at a larger one."""
Scale = Annotated[float, Range(1e-12, 1e6)]
Strength = Annotated[float, Range(0, 1e6)]
Exponent = Annotated[float, Range(-80, 80)]
"""The exponential of more leaves single precision."""
LadderScale = Annotated[float, Range(1 / 500, 1000)]
"""Each of a ladder's three segments needs a step; 1 000 is 14.5 million rungs."""
Share = Annotated[float, Range(0, 1)]
Activity = Annotated[float, Range(1e-6, 1, is_open=True)]
ShareBelowOne = Annotated[float, Range(0, 1, is_open=True)]


def flat_fields(config: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Value and type of every field, those of the records in it by dotted names."""
    hints, found = typing.get_type_hints(type(config), include_extras=True), {}
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            found |= flat_fields(value, f"{name}.")
        else:
            found[name] = value, hints[field.name]
    return found


def check_ranges(config: Any) -> None:
    """Every number is finite, and in the range that the type of its field says.

    Raises:
      ValueError: one is not.
    """
    for name, (value, hint) in flat_fields(config).items():
        numbers, what = (value,), "it"
        if isinstance(value, tuple):
            numbers, what = value, "every number in it"
        limits = range_of(hint)
        for number in (x for x in numbers if isinstance(x, int | float)):
            if not (number in limits if limits else _is_finite(number)):
                raise InvalidValue(
                    f"`{name}` is {shortened(value)} but {what} needs to be "
                    f"{limits or 'finite, in single precision'}."
                )


def range_of(hint: Any) -> Range | None:
    """The range in a type: that of `Rate`, of `Rate | None`, of `tuple[Rate, ...]`."""
    found = [x for x in getattr(hint, "__metadata__", ()) if isinstance(x, Range)]
    inner = (range_of(x) for x in typing.get_args(hint))
    return next((x for x in (*found, *inner) if x is not None), None)


def shortened(value: Any) -> str:
    """`value` as text that fits into the one line of a message."""
    text = str(value) if str(value).isprintable() else repr(str(value))
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"


def with_home(name: str, path: str | os.PathLike[str]) -> str:
    """`path` with the home of a user in place of `~` or `~user`."""
    whole = os.path.expanduser(os.fspath(path))
    if not whole or "\0" in whole:
        raise InvalidValue(
            f"`{name}` is {whole!r} but the name of a file or a folder is needed."
        )
    if whole.startswith("~"):
        raise InvalidValue(
            f"`{name}` is {whole!r} but there is no such user; write the whole path."
        )
    return whole


def _is_finite(number: int | float) -> bool:
    largest = 2**63 - 1 if isinstance(number, int) else float(np.finfo(np.float32).max)
    return abs(number) <= largest  # not so for NaN
