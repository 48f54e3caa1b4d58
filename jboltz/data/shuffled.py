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
    first_batch: int = 0,
) -> Iterator[Batch]:
    """The batches of all epochs, as `fit_stream` takes them.

    The chunks in which rows are stored are taken in random order, a window of them at a
    time, and the rows of a window are shuffled. The order follows from `seed` and the
    number of the epoch. So a run goes on where it stopped, by `first_epoch` and
    `first_batch`, and no window before is read again. The last batch of an epoch may
    be shorter.

    A stream keeps its own order and, without `batch_size`, its own batches. An iterator
    can be run through once.

    Args:
      batch_size: the number of rows in a batch.
      num_epochs: total number of epochs, as in `fit`.
      first_batch: how many batches of the first epoch are left out.

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
    counts = {
        "num_epochs": num_epochs,
        "seed": seed,
        "first_epoch": first_epoch,
        "first_batch": first_batch,
    }
    for name, count in counts.items():
        check_count(name, count, at_least=0)
    return _epochs(examples, batch_size, **counts)


def _epochs(
    examples: Examples,
    size: int | None,
    num_epochs: int,
    seed: int,
    first_epoch: int,
    first_batch: int,
) -> Iterator[Batch]:
    source = examples.source
    for epoch in range(first_epoch, num_epochs):
        first = first_batch if epoch == first_epoch else 0
        if isinstance(source, Stream):
            pieces = ({**x, ROW: np.arange(num_rows(x))} for x in source)
        else:
            size = size or source.count
            pieces = _windows(source, size, (seed, epoch), first * size)
            first = 0
        found = pieces if size is None else _regrouped(pieces, size)
        for columns in itertools.islice(found, first, None):
            rows = np.asarray(columns.pop(ROW))
            yield encoded(examples.encoding, source, columns, rows)


def _windows(
    rows: Rows, batch_size: int, seed: tuple[int, int], skip: int
) -> Iterator[Columns]:
    """The rows of an epoch after the first `skip`, one window of chunks at a time."""
    most = max(batch_size, WINDOW_BYTES // bytes_of(rows.take(np.arange(1))))
    num_chunks = -(-most // rows.chunk)
    order = shuffled(-(-rows.count // rows.chunk), seed)
    for window, start in enumerate(range(0, len(order), num_chunks)):
        index = rows.of_chunks(np.sort(order[start : start + num_chunks]))
        if skip < len(index):
            place = shuffled(len(index), (*seed, window))[skip:]
            columns = rows.take(index) | {ROW: index}
            yield {name: x[place] for name, x in columns.items()}
        skip = max(0, skip - len(index))


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
