"""The rows of a file: read, made states of a model, and divided."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jboltz.base import Batch, Unit
from jboltz.commands.train import Config
from jboltz.data import Examples, read
from jboltz.data.dataset import sha256_of
from jboltz.data.encoding import Encoding
from jboltz.data.readers import Tables
from jboltz.errors import InvalidValue
from jboltz.learning.rows import num_rows, take_rows

MOST_HELD_OUT = 10_000
LEAST_PIXELS = 64
"""Gray columns that are a square number, and as many as this, are taken for pixels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """The rows of a file, as states, divided into those for training and the others."""

    name: str
    source: str
    note: str  # for people: what was found
    encoding: Encoding
    image_shape: tuple[int, ...] | None  # of a row, if it is an image
    train: Batch
    test: Batch


def load(config: Config) -> Table:
    """The rows that a configuration names; a tenth, by its seed, is held out."""
    kinds = kinds_of(config.kinds)
    reader = tables(config.without)
    examples = read(config.data, reader, kinds=kinds, missing=config.missing)
    count = num_rows(examples.data)
    if count < 2:
        raise InvalidValue(
            f"{config.data} has {count} row but one is held out, and training needs at "
            "least one more; bring more rows."
        )
    held_out = min(max(1, count // 10), MOST_HELD_OUT)
    order = np.random.default_rng(config.seed).permutation(count)
    test, train = (np.sort(part) for part in np.split(order, [held_out]))
    states = drawn(examples.unit, examples.data, config.seed)
    return Table(
        name=config.data.name,
        source=str(config.data),
        note=f"{examples.note}\n{held_out} of {count} rows are held out",
        encoding=examples.encoding,
        image_shape=_image_shape(examples),
        train=take_rows(states, train),
        test=take_rows(states, test),
    )


def tables(without: Sequence[str]) -> Tables | None:
    """A reader that leaves columns out, if there are such; else the usual reader."""
    return Tables(without=tuple(without)) if without else None


def kinds_of(entries: Sequence[str]) -> Any:
    """What `read` takes as `kinds`: of one kind for all columns, or of "age=reals"."""
    parts = (entry.rpartition("=") for entry in entries)
    kinds = {name: kind for name, _, kind in parts}
    return kinds[""] if [*kinds] == [""] else kinds or None


def about(table: Table) -> dict[str, Any]:
    """The checksum of the rows, and how many there are."""
    leaves = jax.tree.leaves((table.train, table.test))
    return {
        "name": table.name,
        "num_train": num_rows(table.train),
        "num_test": num_rows(table.test),
        "sha256": sha256_of(("", leaf) for leaf in leaves),
    }


def drawn(unit: Unit, batch: Batch, seed: int) -> Batch:
    """The rows with 0 or 1 drawn, once, where a binary unit is given a probability."""
    draws = np.random.default_rng(seed)
    leaves, tree = jax.tree.flatten(batch.values)
    for index, domain in enumerate(unit.domain.leaves):
        if domain.is_binary:
            x = leaves[index]
            leaves[index] = draws.random(x.shape, np.float32) < x
    values = tree.unflatten(leaves)
    return Batch(values=values, weights=batch.weights, mask=batch.mask)


def complete(batch: Batch) -> np.ndarray:
    """Which rows have no gaps."""
    is_complete = np.ones(num_rows(batch), bool)
    for mask in jax.tree.leaves(batch.mask):
        is_complete &= mask.reshape(len(mask), -1).all(axis=1)
    return is_complete


def without_gaps(batch: Batch) -> Batch:
    """The rows that have no gaps."""
    rows = take_rows(batch, complete(batch))
    return Batch(values=rows.values, weights=rows.weights)


def _image_shape(examples: Examples) -> tuple[int, ...] | None:
    source: Any = examples.source
    row, *others = source.take(np.arange(1)).values()
    shape, size = row.shape[1:], examples.unit.size
    if others or math.prod(shape) != size:
        return None  # Columns of a table, or one-hot rows.
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3):
        return shape
    side, is_gray = math.isqrt(size), examples.encoding.has_gray
    is_square = len(shape) == 1 and side**2 == size >= LEAST_PIXELS
    return (side, side) if is_gray and is_square else None
