"""The rows of a file: how they are read, divided and made states of a model."""

import dataclasses
import hashlib
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import Batch, Domain, State
from jboltz.commands.train import Config
from jboltz.data import Examples, read
from jboltz.data.encoding import Encoding
from jboltz.data.readers import Tables, reader_of
from jboltz.data.readers.protocol import Reader
from jboltz.errors import InvalidValue
from jboltz.evaluation.examples import EvaluationData
from jboltz.learning.rows import num_rows, take_rows, unchanged

MOST_HELD_OUT = 10_000
LEAST_PIXELS = 64
"""Gray columns that are a square number, and as many as this, are taken for pixels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """The rows of a file, as states, divided into those for training and the others."""

    name: str
    note: str  # for people: what was found
    source: str
    encoding: Encoding
    names: tuple[str, ...]  # of the columns, as they stand in the file
    image_shape: tuple[int, ...] | None  # of a row, if it is an image
    train: Batch
    test: Batch


@dataclasses.dataclass(frozen=True)
class GrayDraws:
    """A `prepare` that draws 0 or 1 where a binary unit is given the probability."""

    domain: Domain

    def __call__(self, values: State, key: Key[Array, ""]) -> State:
        leaves, tree = jax.tree.flatten(unchanged(values, key))
        for index, domain in enumerate(self.domain.leaves):
            if domain.is_binary:
                shape = leaves[index].shape
                draws = random.uniform(random.fold_in(key, index), shape)
                leaves[index] = (draws < leaves[index]).astype(jnp.float32)
        return tree.unflatten(leaves)


def load(config: Config) -> Table:
    """The rows that a configuration names; which are held out depends on its seed."""
    parts = (entry.rpartition("=") for entry in config.kinds)
    kinds: Any = {name: kind for name, _, kind in parts}
    kinds = kinds[""] if [*kinds] == [""] else kinds or None
    reader = reader_for(config.data, config.without)
    examples = read(config.data, reader, kinds=kinds, missing=config.missing)
    count = num_rows(examples.data)
    held_out = config.held_out or min(max(1, count // 10), MOST_HELD_OUT)
    if held_out >= count:
        raise InvalidValue(
            f"`held_out` is {held_out} but there are {count} rows, and training needs "
            "at least one; hold out fewer, or bring more rows."
        )
    order = np.random.default_rng(config.seed).permutation(count)
    test, train = (np.sort(part) for part in np.split(order, [held_out]))
    first: Any = examples.source
    first = first.take(np.arange(1))
    return Table(
        name=config.data.name,
        note=f"{examples.note}\n{held_out} of {count} rows are held out",
        source=str(config.data),
        encoding=examples.encoding,
        names=tuple(first),
        image_shape=_image_shape(examples, first),
        train=take_rows(examples.data, train),
        test=take_rows(examples.data, test),
    )


def about(table: Table) -> dict[str, Any]:
    """The checksum of the rows, and how many there are."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves((table.train, table.test)):
        digest.update(f"{leaf.shape} {leaf.dtype.str}\n".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return {
        "name": table.name,
        "num_train": num_rows(table.train),
        "num_test": num_rows(table.test),
        "sha256": digest.hexdigest(),
    }


def reader_for(path: pathlib.Path, without: tuple[str, ...]) -> Reader:
    """The reader of a file, which leaves out columns of a table."""
    reader = reader_of(path)
    if without and not isinstance(reader, Tables):
        raise InvalidValue(
            f"`without` is {', '.join(without)} but {path} is no table, whose columns "
            "have names; take them out of the file."
        )
    return Tables(without=without) if without else reader


def prepare_for(encoding: Encoding) -> Any:
    """The `prepare` that makes rows binary where they are gray."""
    return GrayDraws(encoding.unit.domain) if encoding.has_gray else unchanged


def complete(batch: Batch) -> Batch:
    """The rows without gaps."""
    is_seen = np.ones(num_rows(batch), bool)
    for mask in jax.tree.leaves(batch.mask):
        is_seen &= mask.reshape(len(mask), -1).all(axis=1)
    rows = take_rows(batch, np.flatnonzero(is_seen))
    return Batch(values=rows.values, weights=rows.weights)


def judged(encoding: Encoding, batch: Batch, seed: int) -> EvaluationData:
    """Rows without gaps as states; gray values are drawn once."""
    rows, prepare = jax.tree.map(jnp.asarray, batch.values), prepare_for(encoding)
    values = prepare(rows, jax.random.key(seed))
    how = f", gray values drawn once, seed {seed}" if encoding.has_gray else ""
    return EvaluationData(values=values, binarisation=how, weights=batch.weights)


def _image_shape(examples: Examples, first: dict[str, Any]) -> tuple[int, ...] | None:
    shape, size = np.shape(next(iter(first.values())))[1:], examples.unit.size
    side, has_gray = math.isqrt(size), examples.encoding.has_gray
    if len(first) > 1 or math.prod(shape) != size:
        return None  # Columns of a table, or one-hot rows.
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3):
        return shape
    is_square = len(shape) == 1 and side**2 == size >= LEAST_PIXELS
    return (side, side) if has_gray and is_square else None
