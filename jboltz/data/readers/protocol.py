"""What a reader gives: rows that can be looked up, or batches one after another."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np

from jboltz.errors import InvalidValue

Columns: TypeAlias = dict[str, Any]
"""Arrays by name, with one row per example. NaN and masked entries are gaps."""

READ_TOGETHER = 2**20
"""Bytes of neighbouring rows that are read from a file at once."""
_GROUP = 256  # how many single examples are put together


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Examples that are read when they are asked for, in any order."""

    count: int
    take: Callable[[np.ndarray], Columns]  # the rows with these numbers, which increase
    note: str  # what it is, such as "a table of 10 rows"
    chunk: int = 1  # how many neighbouring rows are read together
    weights: Any = None  # (count,), or None: every row once
    levels: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """All categories of a column, where they are known."""
    features: tuple[str, ...] = ()
    """What the numbers of a row are called, if they are one column and have names."""

    def in_order(self, features: tuple[str, ...]) -> "Rows":
        """These rows with their features in another order; rows and features that have
        no names stay as they are.

        Raises:
          ValueError: the names are not the same.
        """
        if not features or self.features in ((), features):
            return self
        check_names({*self.features}, {*features})
        order = [self.features.index(name) for name in features]

        def take(index: np.ndarray) -> Columns:
            return {name: x[:, order] for name, x in self.take(index).items()}

        return dataclasses.replace(self, take=take, features=features)

    def of_chunks(self, chunks: np.ndarray) -> np.ndarray:
        """The numbers of the rows in these chunks."""
        index = (chunks[:, None] * self.chunk + np.arange(self.chunk)).ravel()
        return index[index < self.count]


def check_names(there: set[str], known: set[str]) -> None:
    """Refuses columns that are not those of the training data."""
    if there != known:
        raise InvalidValue(
            "the columns are not those of the training data: "
            f"{sorted(there - known)[:5]} are new and {sorted(known - there)[:5]} are "
            "missing; pass the same ones, and leave others out by `Tables(only=…)`."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """Batches, or single examples, that come one after another."""

    source: Iterable[Any]
    note: str
    select: str | int | None = None
    is_batched: bool = True

    levels: ClassVar[dict[str, np.ndarray]] = {}
    features: ClassVar[tuple[str, ...]] = ()

    def __iter__(self) -> Iterator[Columns]:
        entries = iter(self.source)
        if self.is_batched:
            yield from (columns_of(entry, self.select) for entry in entries)
        while group := [*itertools.islice(entries, _GROUP)]:
            yield stacked(group, self.select)


@runtime_checkable
class Reader(Protocol):
    """A kind of data: a frozen dataclass whose fields are the options."""

    endings: ClassVar[tuple[str, ...]]
    """How the names of its files end; "/" is a folder."""
    types: ClassVar[tuple[str, ...]]
    """The packages, modules or classes whose objects it reads."""

    def open(self, source: Any) -> Rows | Stream:
        """The examples in `source`, before their values become states.

        Args:
          source: a `Path` of a file or a folder with one of `endings`, or an object of
            one of `types`.

        Returns:
          `Rows`, if rows can be looked up in any order, or else a `Stream`.
        """
        ...


def num_rows(columns: Columns) -> int:
    """The number of examples in columns.

    Raises:
      ValueError: columns differ in it, or are single numbers.
    """
    lengths = {np.shape(x)[:1] for x in columns.values()}
    if len(lengths) != 1 or () in lengths:
        shapes = {name: np.shape(x) for name, x in columns.items()}
        raise InvalidValue(
            f"a batch has columns of the shapes {shapes} but all need one row for each "
            "example; select one, or pass `Batches(is_batched=False)` for single "
            "examples."
        )
    return lengths.pop()[0]


def columns_of(entry: Any, select: Any) -> Columns:
    """An example or a batch as columns.

    Of a tuple or list it is the entry `select`, by default the first. Of a dictionary
    it is the entry `select`, by default all.
    """
    if isinstance(entry, dict) and select is None:
        return {name: np.asanyarray(x) for name, x in entry.items()}
    if not isinstance(entry, dict | tuple | list):
        return {"values": np.asanyarray(entry)}
    try:
        return {"values": np.asanyarray(entry[0 if select is None else select])}
    except (KeyError, IndexError, TypeError) as error:
        names = sorted(entry) if isinstance(entry, dict) else range(len(entry))
        raise InvalidValue(
            f"`select` is {select!r} but an example has the entries {[*names]}; pass "
            "one of these."
        ) from error


def stacked(entries: list[Any], select: str | int | None) -> Columns:
    """Single examples as columns of rows."""
    return joined([columns_of(entry, select) for entry in entries], np.ma.stack)


def joined(parts: list[Columns], join: Any = np.ma.concatenate) -> Columns:
    """The rows of all parts."""
    try:
        return {name: join([part[name] for part in parts]) for name in parts[0]}
    except (KeyError, ValueError) as error:
        raise InvalidValue(
            f"examples differ ({error}) but all need the same names and shapes; "
            "resize, pad or drop the odd ones."
        ) from error
