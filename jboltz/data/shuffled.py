"""Batches of examples for `fit_stream`, shuffled without reading all of them."""

import itertools
from collections.abc import Iterator

import numpy as np

from jboltz.base import Batch
from jboltz.checks import check_count
from jboltz.data.readers.protocol import Columns, Rows, Stream, joined, num_rows
from jboltz.data.reading import Examples, bytes_of, encoded
from jboltz.errors import InvalidType, InvalidValue

WINDOW_BYTES = 2**26
"""Bytes, as float32, of the rows that are read and shuffled together."""
ROW = "number of the row"


def batches(
    examples: Examples,
    batch_size: int | None = None,
    *,
    num_epochs: int = 1,
    seed: int = 0,
    first_epoch: int = 0,
) -> Iterator[Batch]:
    """The batches of all epochs, as `fit_stream` takes them.

    The chunks in which rows are stored are taken in random order, a window of them at a
    time, and the rows of a window are shuffled. The order follows from `seed` and the
    number of the epoch, so a run goes on where it stopped, by `first_epoch`. The last
    batch of an epoch may be shorter.

    A stream keeps its own order and, without `batch_size`, its own batches. An iterator
    can be run through once.

    Args:
      examples: what `read` returned.
      batch_size: the number of rows in a batch. None keeps the batches of a stream; an
        array or a file needs a number.
      num_epochs: total number of epochs, as in `fit`.
      seed: the seed of the order, at least 0.
      first_epoch: the epoch to start at, from 0, so that `num_epochs - first_epoch`
        epochs are returned.

    Raises:
      TypeError: `examples` is not what `read` returned.
      ValueError: `batch_size` is missing; or a number is not whole, or too small.

    Example:
      >>> from jboltz.data import read
      >>> examples = read(np.eye(4))
      >>> [len(batch.values) for batch in batches(examples, 3, num_epochs=2)]
      [3, 1, 3, 1]
    """
    if not isinstance(examples, Examples):
        raise InvalidType(
            f"`examples` is a {type(examples).__name__} but what `read` returns is "
            "needed; pass `read(…)`."
        )
    if batch_size is not None:
        batch_size = check_count("batch_size", batch_size, at_least=1)
    elif isinstance(examples.source, Rows):
        raise InvalidValue(
            "`batch_size` is None but only a stream has batches of its own; pass a "
            "whole number."
        )
    for name, count in (("num_epochs", num_epochs), ("first_epoch", first_epoch)):
        check_count(name, count, at_least=0)
    seed = check_count("seed", seed, at_least=0)
    epochs = range(first_epoch, num_epochs)
    found = (_epoch(examples, batch_size, (seed, epoch)) for epoch in epochs)
    return itertools.chain.from_iterable(found)


def _epoch(
    examples: Examples, size: int | None, seed: tuple[int, int]
) -> Iterator[Batch]:
    source = examples.source
    if isinstance(source, Stream):
        pieces = ({**x, ROW: np.arange(num_rows(x))} for x in source)
    else:
        pieces = _windows(source, seed)
    for columns in pieces if size is None else _regrouped(pieces, size):
        rows = np.asarray(columns.pop(ROW))
        yield encoded(examples.encoding, source, columns, rows)


def _windows(rows: Rows, seed: tuple[int, int]) -> Iterator[Columns]:
    """The rows of an epoch, shuffled, one window of chunks at a time."""
    window_rows = WINDOW_BYTES // bytes_of(rows.take(np.arange(1)))
    num_chunks = max(1, window_rows // rows.chunk)
    order = shuffled(-(-rows.count // rows.chunk), seed)
    for window, start in enumerate(range(0, len(order), num_chunks)):
        index = rows.of_chunks(np.sort(order[start : start + num_chunks]))
        place = shuffled(len(index), (*seed, window))
        columns = rows.take(index) | {ROW: index}
        yield {name: x[place] for name, x in columns.items()}


def shuffled(count: int, seed: tuple[int, ...]) -> np.ndarray:
    """The numbers from 0 to `count` in random order, the same in every NumPy."""
    bits = np.random.Philox(np.random.SeedSequence(seed)).random_raw(count)
    return np.argsort(bits, kind="stable")


def _regrouped(pieces: Iterator[Columns], size: int) -> Iterator[Columns]:
    """The rows of `pieces` in batches of `size`, of which the last may be shorter."""
    held: Columns = {}
    for piece in pieces:
        piece = joined([held, piece]) if held else piece
        count = num_rows(piece)
        full = count - count % size
        for start in range(0, full, size):
            yield {name: x[start : start + size] for name, x in piece.items()}
        held = {name: x[full:] for name, x in piece.items()} if full < count else {}
    if held:
        yield held
