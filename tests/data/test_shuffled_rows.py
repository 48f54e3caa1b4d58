"""Shuffled batches: every row once, the same again, and no more read than is needed."""

import dataclasses
import itertools

import numpy as np
import pytest

from jboltz.data import batches, read, shuffled


def rows(found):
    return [batch.values[:, 0].tolist() for batch in found]


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """A memory map of 103 rows in chunks of 8 and windows of 4 chunks."""
    monkeypatch.setattr("jboltz.data.shuffled.WINDOW_BYTES", 32 * 2 * 4)
    x = np.repeat(np.arange(103)[:, None], 2, axis=1)
    np.save(tmp_path / "x.npy", (x % 103).astype(np.int64))
    found = read(tmp_path / "x.npy", kinds="counts", most_bytes=0)
    return dataclasses.replace(found, source=dataclasses.replace(found.source, chunk=8))


def test_an_epoch_has_every_row_once_in_an_order_of_its_own(examples):
    first, second = (
        rows(batches(examples, 10, num_epochs=e + 1, first_epoch=e)) for e in (0, 1)
    )
    for epoch in (first, second):
        assert [len(x) for x in epoch] == [10] * 10 + [3]
        assert sorted(itertools.chain(*epoch)) == [*range(103)]
    assert first != second
    assert first == rows(batches(examples, 10))
    assert first != rows(batches(examples, 10, seed=1))
    # Rows of one window are not in the order in which they are stored.
    assert all(x != sorted(x) for x in first)


def test_a_run_goes_on_with_a_later_epoch(examples):
    whole = rows(batches(examples, 10, num_epochs=3))
    assert rows(batches(examples, 10, num_epochs=3, first_epoch=1)) == whole[11:]


def test_no_more_is_read_than_a_window(examples):
    read_rows = []

    def take(index):
        read_rows.append(len(index))
        return examples.source.take(index)

    source = dataclasses.replace(examples.source, take=take)
    watched = dataclasses.replace(examples, source=source)
    next(batches(watched, 10))
    # One row to see how large a row is, and the first window.
    assert read_rows == [1, 32]


def test_a_batch_may_be_larger_than_a_window(examples):
    assert [len(x) for x in rows(batches(examples, 100))] == [100, 3]


def test_weights_and_gaps_stay_with_their_rows():
    x = np.arange(20.0)[:, None] + 0.5
    found = read(np.where(x % 4 == 0.5, np.nan, x))
    source = dataclasses.replace(found.source, weights=np.arange(20.0))
    for batch in batches(dataclasses.replace(found, source=source), 7):
        mean, scale = found.encoding.parts[0][0].known
        seen = batch.mask[:, 0]
        again = batch.values[:, 0] * scale + mean
        np.testing.assert_allclose(again[seen], batch.weights[seen] + 0.5, rtol=1e-5)
        np.testing.assert_array_equal(~seen, batch.weights % 4 == 0)


def test_the_order_is_that_of_random_bits_that_numpy_keeps():
    assert sorted(shuffled.shuffled(1000, (3,))) == [*range(1000)]
    assert shuffled.shuffled(6, (0,)).tolist() == [0, 3, 5, 1, 2, 4]
