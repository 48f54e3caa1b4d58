"""Shuffled batches on the host, for data that do not fit on the device."""

from collections.abc import Iterator

import numpy as np

from jboltz.errors import InvalidValue


def batches(
    values: np.ndarray,
    batch_size: int,
    *,
    seed: int,
    num_epochs: int | None = None,
    first_epoch: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Iterator[np.ndarray]:
    """Every example once per epoch, in an order that depends on (seed, epoch) only.

    The order is the argsort of raw Philox words with key (seed, epoch): NumPy keeps
    those bits for ever, while `Generator.permutation` may change with its version. The
    last batch of an epoch is short when `batch_size` does not divide the examples.

    Batches are made in the process that asks for them. Worker processes of your own
    have to be started by `multiprocessing.get_context("spawn")`, not by fork: JAX runs
    threads, and a copy of a process with threads may wait for ever for a lock that one
    of them held.

    Args:
      values: (num_examples, …); a memory map works, rows are read batch by batch.
      batch_size: examples per batch.
      seed: from 0 to 2⁶⁴ − 1.
      num_epochs: where the run ends, counted from epoch 0; None never ends.
      first_epoch: where to continue. The same call with `first_epoch=e` gives what the
        uninterrupted one gives after e epochs.
      share: (i, n) gives of every batch the i-th of n parts: those of process i of n,
        (jax.process_index(), jax.process_count()).

    Raises:
      ValueError: at the call and not at the first batch.

    Example:
      >>> [len(batch) for batch in batches(np.arange(5), 2, seed=0, num_epochs=1)]
      [2, 2, 1]
    """
    if len(values) == 0:
        raise InvalidValue("`values` is empty but a batch needs examples; pass some.")
    if batch_size < 1:
        raise InvalidValue(
            f"`batch_size` is {batch_size} but a batch has at least 1 example; pass a "
            "positive number."
        )
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise InvalidValue(
            f"`seed` is {seed} but must fit 64 bits without a sign; pass a number from "
            "0 to 2**64 - 1."
        )
    if first_epoch < 0 or (num_epochs is not None and num_epochs < first_epoch):
        raise InvalidValue(
            f"`first_epoch` is {first_epoch} and `num_epochs` {num_epochs}, but epochs "
            "run from 0 to `num_epochs`, the total; pass the number of finished epochs."
        )
    index, count = share
    short = len(values) % batch_size
    if not 0 <= index < count or batch_size % count or short % count:
        raise InvalidValue(
            f"`share` is {share} but {count} parts of equal size are needed of batches "
            f"of {batch_size} and of the last one, of {short or batch_size}; take a "
            "batch size and a number of examples that are multiples."
        )
    return _batches(values, batch_size, seed, num_epochs, first_epoch, share)


def _batches(
    values: np.ndarray,
    batch_size: int,
    seed: int,
    num_epochs: int | None,
    epoch: int,
    share: tuple[int, int],
) -> Iterator[np.ndarray]:
    index, count = share
    while num_epochs is None or epoch < num_epochs:
        words = np.random.Philox(key=np.array([seed, epoch], np.uint64))
        order = np.argsort(words.random_raw(len(values)), kind="stable")
        for start in range(0, len(values), batch_size):
            rows = order[start : start + batch_size]
            part = len(rows) // count
            yield values[rows[index * part : (index + 1) * part]]
        epoch += 1
