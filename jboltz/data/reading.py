"""`read`: data of many kinds as examples, and the visible unit that fits them."""

import dataclasses
import itertools
import math
import os
import stat
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jboltz.base import Batch, Unit
from jboltz.checks import check_number, require
from jboltz.data.encoding import Encoding, from_json, learn
from jboltz.data.readers import reader_of
from jboltz.data.readers.protocol import (
    Columns,
    Reader,
    Rows,
    Stream,
    joined,
    num_rows,
)
from jboltz.errors import InvalidType, InvalidValue, JboltzError
from jboltz.files import MOST_BYTES
from jboltz.ranges import with_home

SAMPLE_ROWS = 10_000
SAMPLE_BYTES = 2**26
"""How many examples, and bytes of them as float32, a unit is fitted to if not all."""


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Examples, and the visible unit that fits them; made by `read`."""

    unit: Unit  #: the visible unit that fits the examples
    sample: Batch  #: all examples, or as many as `unit` was fitted to; for `init`
    is_whole: bool  #: whether `sample` has all examples
    encoding: Encoding  #: how values become states of `unit`; `read` takes it as `like`
    source: Rows | Stream  #: the examples as they are stored; `batches` reads from it
    note: str  #: lines for people: what was found, and which units fit

    @property
    def data(self) -> Batch:
        """All examples, as `fit` takes them.

        Raises:
          ValueError: they are not all in memory.
        """
        if not self.is_whole:
            raise InvalidValue(
                f"`data` would be all of {self.source.note}, which is not in memory; "
                "train by `fit_stream` on `jboltz.data.batches(examples, …)`, from "
                "parameters of `init(key, data=examples.sample)`."
            )
        return self.sample


def read(
    source: Any,
    reader: Reader | None = None,
    *,
    kinds: str | dict[str, str] | None = None,
    missing: tuple[Any, ...] = (),
    like: Examples | Encoding | dict[str, Any] | None = None,
    most_bytes: int = MOST_BYTES,
) -> Examples:
    """Reads a file, a folder or an object as examples, and finds the unit that fits.

    It reads arrays, `.npy` and `.npz`; frames of pandas, CSV and Parquet; HDF5; sparse
    matrices and Matrix Market; FASTA; folders of images; tensors, data sets and loaders
    of PyTorch; data sets of Hugging Face; and iterables of batches, such as those of
    grain and tf.data.

    The kind of a column follows from its values, and the unit from the kind: 0 and 1
    are binary (`Bernoulli`), −1 and 1 spins (`Spin`), arrays in [0, 1] and bytes gray
    (`Bernoulli`), whole numbers from 0 to 20 counts (`Binomial`), text and one-hot
    rows categories (`Softmax`). Other numbers are real, and are standardised
    (`Gaussian`). Units of several kinds are `Joined`.

    NaN, and what pandas or a masked array says is missing, is a gap. Train on data with
    gaps by a `MissingDataEstimator`.

    Args:
      source: a path, or an object.
      reader: one of `jboltz.data.readers` with options, such as `Tables(without=…)`;
        by default the one for the ending of the path or the type of the object.
      kinds: the kind of all columns, or of some by name: "binary", "spins", "gray",
        "counts", "reals", "positive" or "categories".
      missing: numbers and texts that mark a gap, such as (-1, "?").
      like: examples, or their encoding, whose categories, means and unit are used, for
        test data; also an encoding `as_json`, which the notes of a model of `jboltz
        train` have under "columns".
      most_bytes: examples that have more bytes as float32 are not kept in memory.

    Raises:
      ImportError: a package is missing; the message names the extra that has it.
      OSError: the file cannot be read.
      ValueError: the data cannot be used; the message names the place.
      TypeError: the data are objects, dates or complex numbers.

    Example:
      >>> examples = read([[0, 3], [1, 0], [2, 5]])
      >>> examples.unit, examples.data.values.shape
      (Binomial(size=2, trials=5), (3, 2))
    """
    if isinstance(source, str | os.PathLike):
        source = Path(with_home("source", source))
        if not source.is_dir() and not stat.S_ISREG(source.stat().st_mode):
            raise InvalidValue(f"{source} is a pipe or a device; pass a file.")
    if isinstance(like, Examples):
        like = like.encoding
    elif isinstance(like, dict):
        like = from_json(like)
    if not isinstance(missing, tuple) or not isinstance(like, Encoding | None):
        raise InvalidType(
            f"`missing` is {missing!r} and `like` is a {type(like).__name__} but a "
            "tuple is needed, such as (-1,), and what `read` returned."
        )
    check_number("most_bytes", most_bytes, 0, math.inf)
    opened = _opened(source, reader or reader_of(source))
    if isinstance(opened, Rows):
        opened = opened.in_order(like.features) if like else opened
        columns, rows, is_whole = _sample_rows(opened, most_bytes)
    else:
        opened, columns, is_whole = _sample_stream(opened)
        rows = np.arange(num_rows(columns))
    if like is None:
        encoding = learn(columns, opened.levels, kinds, missing, opened.features)
    elif kinds is None and not missing:
        encoding = like
    else:
        raise InvalidValue(
            "`like` has kinds and marks of gaps already but `kinds` or `missing` came "
            "with it; pass one or the other."
        )
    sample = encoded(encoding, opened, columns, rows)
    note = [opened.note, *encoding.words]
    if sample.mask is not None:
        masks = jax.tree.leaves(sample.mask)
        gaps = sum(int(np.count_nonzero(~mask)) for mask in masks)
        note.append(f"{gaps} values are missing")
    if not is_whole:
        note.append(f"{len(rows)} rows were looked at; train by `fit_stream`")
    return Examples(
        unit=encoding.unit,
        sample=sample,
        is_whole=is_whole,
        encoding=encoding,
        source=opened,
        note="\n".join(note),
    )


def _opened(source: Any, reader: Reader) -> Rows | Stream:
    require(reader, Reader, "`read`", "reader", example="Tables()")
    try:
        return reader.open(source)
    except JboltzError:
        raise
    # Packages raise errors of many kinds on bytes that are something else.
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        what = source if isinstance(source, Path) else type(source).__name__
        raise InvalidValue(
            f"{what} cannot be read by `{reader}` ({type(error).__name__}: {error}); "
            "look whether its ending says what it is, or pass another `reader`. "
            "Pickled objects are never read."
        ) from error


def _sample_rows(rows: Rows, most_bytes: int) -> tuple[Columns, np.ndarray, bool]:
    """Columns to fit a unit to, the numbers of their rows, and if these are all."""
    if rows.count == 0:
        raise InvalidValue(f"{rows.note} is empty but needs at least one example.")
    row_bytes = bytes_of(rows.take(np.arange(1)))
    is_whole = rows.count * row_bytes <= most_bytes
    if is_whole:
        index = np.arange(rows.count)
    else:
        most = min(SAMPLE_ROWS, max(1, SAMPLE_BYTES // row_bytes), rows.count)
        num_chunks, last = -(-most // rows.chunk), (rows.count - 1) // rows.chunk
        index = rows.of_chunks(np.unique(np.linspace(0, last, num_chunks).astype(int)))
    return rows.take(index), index, is_whole


def _sample_stream(stream: Stream) -> tuple[Stream, Columns, bool]:
    """The stream with its first batches put back, these as one, and if it is all."""
    entries, taken, found, count, size = iter(stream.source), [], [], 0, 0
    for entry in entries:
        taken.append(entry)
        found += dataclasses.replace(stream, source=[entry])
        count += num_rows(found[-1])
        size += bytes_of(found[-1])
        if count >= SAMPLE_ROWS or size >= SAMPLE_BYTES:
            break
    if not count:
        raise InvalidValue(
            f"{stream.note} is empty but needs at least one example; pass a new "
            "iterator if this one has been used before."
        )
    if entries is stream.source:
        stream = dataclasses.replace(stream, source=itertools.chain(taken, entries))
    is_whole = count < SAMPLE_ROWS and size < SAMPLE_BYTES
    return stream, joined(found), is_whole


def bytes_of(columns: Columns) -> int:
    """The bytes of columns as float32."""
    return 4 * sum(max(1, np.size(x)) for x in columns.values())


def encoded(
    encoding: Encoding, source: Rows | Stream, columns: Columns, rows: np.ndarray
) -> Batch:
    """These columns as states, with the mask, and the weights of the rows."""
    batch = encoding.encode(columns, rows)
    if not isinstance(source, Rows) or source.weights is None:
        return batch
    return Batch(values=batch.values, mask=batch.mask, weights=source.weights[rows])
