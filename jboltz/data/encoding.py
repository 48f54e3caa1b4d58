"""From columns of values to states of a visible unit, alike for all batches."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import reduce
from textwrap import shorten
from typing import Any

import jax
import numpy as np

from jboltz.base import Batch, State, Unit
from jboltz.data.columns import (
    observed,
    parsed,
    refuse,
    refuse_mark,
    refuse_numbers,
)
from jboltz.data.kinds import KINDS, Kind
from jboltz.data.readers.protocol import Columns, check_names
from jboltz.errors import InvalidType, InvalidValue
from jboltz.units.composite import Joined

MOST_CATEGORIES = 256
"""A column of text with more values is taken for names."""


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """What is known of a column from the training data."""

    name: str
    kind: Kind
    num_features: int
    known: Any  # what its kind learned
    others: tuple[str, ...]  # the kinds that would also take its values

    @property
    def is_text(self) -> bool:
        """Whether its values are texts, and not numbers."""
        return np.asarray(self.known).dtype.kind in "US"

    def as_json(self) -> list[Any]:
        known = np.asarray(self.known).tolist()
        return [self.name, self.kind.word, self.num_features, known, self.others]


@dataclasses.dataclass(frozen=True, eq=False)
class Encoding:
    """How columns become states of units that stand side by side, one per part."""

    names: tuple[str, ...]  # of the columns, as they stand in the data
    parts: tuple[tuple[Column, ...], ...]
    missing: tuple[Any, ...]  # values that mark a gap
    has_gaps: bool  # whether every batch gets a mask
    features: tuple[str, ...] = ()  # names of the numbers in a row, of one column

    @property
    def units(self) -> list[Unit]:
        sizes = [sum(x.num_features for x in part) for part in self.parts]
        firsts = [part[0] for part in self.parts]
        pairs = zip(firsts, sizes, strict=True)
        return [first.kind.unit(size, first.known) for first, size in pairs]

    @property
    def unit(self) -> Unit:
        """The unit of all parts, joined."""
        *before, last = self.units
        return reduce(lambda joined, unit: Joined(unit, joined), before[::-1], last)

    @property
    def words(self) -> list[str]:
        """One line per part: its columns, its kind, its unit, and possible kinds."""
        lines = []
        for part, unit in zip(self.parts, self.units, strict=True):
            names = [column.name for column in part]
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            fitting = (x for x in KINDS if all(x in column.others for column in part))
            others = ", ".join(fitting)
            also = f" (also possible by `kinds`: {others})" if others else ""
            lines.append(f"{shown}: {part[0].kind.word}, {unit}{also}")
        return lines

    def encode(self, columns: Columns, rows: np.ndarray) -> Batch:
        """The states of these columns, and the mask of what was observed.

        Args:
          rows: the numbers of the rows, for messages.

        Raises:
          ValueError: other columns than in the training data, or a value that is not
            of the kind of its column.
        """
        if {*columns} != {*self.names}:
            check_names({*columns}, {*(self.features or self.names)})
            raise InvalidValue(
                "the columns are not all numbers, as those of the training data were; "
                "look for text in them."
            )
        values, masks = [], []
        for part in self.parts:
            pairs = [self._states(x, columns[x.name], rows) for x in part]
            states, seen = zip(*pairs, strict=True)
            values.append(np.concatenate(states, axis=1))
            masks.append(np.concatenate(seen, axis=1))
        is_masked = self.has_gaps or not all(mask.all() for mask in masks)
        return Batch(values=nested(values), mask=nested(masks) if is_masked else None)

    def decode(self, states: State) -> Columns:
        """The columns of these states, (examples, …), in the units of the data.

        Args:
          states: visible states of a model over `unit`, one axis of examples in front.

        Raises:
          ValueError: they have other shapes.
        """
        pieces = self._pieces(states)
        columns = {x.name: x.kind.decode(piece, x.known) for x, piece in pieces}
        if self.features:
            (values,) = columns.values()
            return {name: values[:, [i]] for i, name in enumerate(self.features)}
        return {name: columns[name] for name in self.names}

    def log_volume(self, states: State) -> np.ndarray:
        """What the log density of each row of data is below that of its state.

        Args:
          states: as in `decode`.

        Returns:
          (examples,) nats.
        """
        pieces = self._pieces(states)
        return np.sum(
            [x.kind.log_volume(piece, x.known) for x, piece in pieces], axis=0
        )

    @property
    def has_gray(self) -> bool:
        """Whether states are probabilities of 1."""
        return any(part[0].kind.word == "gray" for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        """The encoding as `from_json` reads it."""
        fields = {x.name: getattr(self, x.name) for x in dataclasses.fields(self)}
        return fields | {"parts": [[x.as_json() for x in part] for part in self.parts]}

    def _pieces(self, states: State) -> Iterator[tuple[Column, np.ndarray]]:
        """The columns, each with its states."""
        leaves = [np.asarray(x) for x in jax.tree.leaves(states)]
        shapes = jax.tree.leaves(self.unit.shape, is_leaf=_is_shape)
        if [x.shape[1:] for x in leaves] != shapes:
            raise InvalidValue(
                f"`states` has the shapes {[x.shape for x in leaves]} but (examples, "
                f"…) with the shapes {shapes} behind is needed; of what `sample` "
                "returns, take one sample of each chain, `x[:, 0]`."
            )
        for part, x in zip(self.parts, leaves, strict=True):
            ends = np.cumsum([column.num_features for column in part])
            yield from zip(part, np.split(x, ends[:-1], axis=1), strict=True)

    def _states(self, column: Column, raw: Any, rows: np.ndarray) -> tuple[Any, Any]:
        kind, (x, mask) = column.kind, observed(column.name, raw, self.missing)
        if x.shape[1] != column.num_features:
            raise InvalidValue(
                f"`{column.name}` has {x.shape[1]} features in a row but it had "
                f"{column.num_features} in the training data; pass the same ones."
            )
        if x.dtype.kind in "US" and not column.is_text:
            x = parsed(x, mask)
        if not mask.any():
            x = np.zeros(x.shape, str if column.is_text else float)
        elif (x.dtype.kind in "US") != column.is_text:
            raise InvalidValue(
                f"`{column.name}` holds {'numbers' if column.is_text else 'text'} but "
                f"the training data had {'text' if column.is_text else 'numbers'}; "
                "pass the same kind of values."
            )
        refuse(column.name, x, mask & ~kind.holds(x, column.known), rows, kind)
        filled = x if mask.all() else np.where(mask, x, x.dtype.type())
        return kind.encode(filled, column.known), mask


def learn(
    columns: Columns,
    levels: dict[str, np.ndarray],
    kinds: str | dict[str, str] | None,
    missing: tuple[Any, ...],
    features: tuple[str, ...] = (),
) -> Encoding:
    """The encoding that fits these columns.

    Args:
      levels: all categories of a column, where they are known.
      kinds: the kind of all columns, or of those that are named.
    """
    if not isinstance(kinds, str | dict | None):
        raise InvalidType(
            f"`kinds` is {kinds!r} but one kind, or a dictionary of them by the names "
            "of columns, is needed; pass such as `kinds={'age': 'reals'}`."
        )
    if features and isinstance(kinds, dict):
        raise InvalidValue(
            f"`kinds` names {[*kinds]} but {len(features)} columns of numbers have one "
            "kind, since they are so many; pass it alone, such as `kinds='reals'`."
        )
    named = kinds if isinstance(kinds, dict) else dict.fromkeys(columns, kinds)
    wrong = [*({*named} - {*columns}), *({*named.values()} - {None, *KINDS})]
    if wrong:
        raise InvalidValue(
            f"`kinds` names {wrong} but the columns are {sorted(columns)} and the "
            f"kinds are {', '.join(KINDS)}; pass one of these for a column."
        )
    found: dict[str, list[Column]] = {}
    has_gaps = False
    for name, raw in columns.items():
        x, mask = observed(name, raw, missing)
        is_open = name not in levels and named.get(name) != "categories"
        if x.dtype.kind in "US" and is_open:
            if not mask.all() and any(isinstance(mark, str) for mark in missing):
                x = parsed(x, mask)
            refuse_numbers(name, x[mask])
        has_gaps |= not mask.all()
        is_one_hot = np.ndim(raw) == 3 and x.shape[1] == np.shape(raw)[1]
        known = np.arange(np.shape(raw)[2]) if is_one_hot else levels.get(name)
        column = _column(name, x, mask, named.get(name), known)
        found.setdefault(column.kind.word, []).append(column)
    parts: dict[Any, list[Column]] = {}
    for word, part in found.items():
        shared = KINDS[word].share([column.known for column in part])
        for column, known in zip(part, shared, strict=True):
            unit = column.kind.unit(1, known)
            column = dataclasses.replace(column, known=known)
            parts.setdefault((word, unit), []).append(column)
    return Encoding(
        names=tuple(columns),
        parts=tuple(tuple(part) for part in parts.values()),
        missing=missing,
        has_gaps=has_gaps,
        features=features,
    )


def from_json(table: Any) -> Encoding:
    """The encoding that `as_json` wrote.

    Raises:
      ValueError: it is none.
    """
    try:
        parts = (tuple(_column_of_json(*x) for x in part) for part in table["parts"])
        found = Encoding(
            names=tuple(table["names"]),
            parts=tuple(parts),
            missing=tuple(table["missing"]),
            has_gaps=table["has_gaps"],
            features=tuple(table.get("features", ())),
        )
        # What is known of its columns is whole if a row of zeros can be decoded.
        shapes, tree = jax.tree.flatten(found.unit.shape, is_leaf=_is_shape)
        found.decode(tree.unflatten([np.zeros((1, *shape)) for shape in shapes]))
        return found
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidValue(
            "the columns of the training data cannot be read "
            f"({shorten(repr(error), 200)}); write the model again."
        ) from error


def _column_of_json(
    name: str, word: str, size: int, known: Any, others: Sequence[str]
) -> Column:
    known = np.asarray(known) if isinstance(known, list) else known
    return Column(name, KINDS[word], size, known, tuple(others))


def _column(
    name: str, x: np.ndarray, mask: np.ndarray, word: str | None, levels: Any
) -> Column:
    seen, rows = x[mask], np.arange(len(x))
    if not seen.size:
        raise InvalidValue(
            f"`{name}` holds nothing but gaps; leave it out, or see how it was made."
        )
    is_category = levels is not None or x.dtype.kind in "US"
    if not is_category:
        refuse(name, x, mask & ~KINDS["reals"].holds(x), rows, KINDS["reals"])
        if word is None:
            refuse_mark(name, seen)
            looks = (key for key, y in KINDS.items() if y.looks_so(seen, x.shape[1]))
            word = next(looks)
    elif word not in (None, "categories"):
        raise InvalidValue(
            f"`{name}` holds categories but `kinds` says {word!r}; leave it out of "
            "`kinds`, or make it numbers."
        )
    kind = KINDS[word or "categories"]
    refuse(name, x, mask & ~kind.holds(x), rows, kind)
    known: Any = kind.learn(x, mask) if levels is None else levels
    if kind.word == "categories" and not 2 <= len(known) <= MOST_CATEGORIES:
        raise InvalidValue(
            f"`{name}` has {len(known)} different values ({known[0].item()!r}, …) but "
            f"a column of categories has 2 to {MOST_CATEGORIES}; leave it out by "
            f"`--without {name}` or `Tables(without=…)`, or make it numbers."
        )
    fitting = () if is_category else KINDS.values()
    others = tuple(y.word for y in fitting if y != kind and y.holds(seen).all())
    return Column(name, kind, x.shape[1], known, others)


def _is_shape(x: Any) -> bool:
    return all(isinstance(size, int) for size in x)


def nested(parts: list[Any]) -> Any:
    """The parts as the units of `Joined` hold them: (first, (second, …))."""
    *before, last = parts
    return reduce(lambda joined, part: (part, joined), before[::-1], last)
