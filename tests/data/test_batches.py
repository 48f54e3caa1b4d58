"""The order of batches is a function of (seed, epoch) and nothing else."""

import itertools

import numpy as np
import pytest

from jboltz.data import batches

VALUES = np.arange(100).reshape(50, 2)


def epochs(**options):
    """All batches of three epochs, joined to one array an epoch."""
    all_batches = list(batches(VALUES, 16, num_epochs=3, **options))
    assert len(all_batches) % 4 == 0
    return [
        np.concatenate(all_batches[i : i + 4]) for i in range(0, len(all_batches), 4)
    ]


def test_every_example_once_an_epoch_and_the_last_batch_short():
    sizes = [len(batch) for batch in batches(VALUES, 16, seed=0, num_epochs=3)]
    assert sizes == [16, 16, 16, 2] * 3
    for epoch in epochs(seed=0):
        np.testing.assert_array_equal(epoch[np.argsort(epoch[:, 0])], VALUES)


def test_same_seed_same_batches_other_seed_or_epoch_other_batches():
    np.testing.assert_array_equal(epochs(seed=1), epochs(seed=1))
    orders = [*epochs(seed=1), *epochs(seed=2), VALUES]
    for one, other in itertools.combinations(orders, 2):
        assert not np.array_equal(one, other)


def test_batch_size_does_not_change_the_order():
    small = np.concatenate(list(batches(VALUES, 7, seed=1, num_epochs=1)))
    np.testing.assert_array_equal(small, epochs(seed=1)[0])


def test_continuing_gives_the_rest():
    np.testing.assert_array_equal(epochs(seed=3, first_epoch=2), epochs(seed=3)[2:])
    assert epochs(seed=3, first_epoch=3) == []


def test_without_end():
    endless = list(itertools.islice(batches(VALUES, 16, seed=0), 12))
    np.testing.assert_array_equal(
        np.concatenate(endless), np.concatenate(epochs(seed=0))
    )


def test_the_order_is_pinned():
    """These bits are NumPy's promise for Philox: a change would break every resume."""
    first = next(batches(np.arange(8), 8, seed=0))
    assert first.tolist() == [0, 2, 1, 5, 4, 3, 6, 7]


def test_orders_are_uniform():
    """Each example is first in its share of 20 000 epochs: 5σ of a binomial."""
    num_epochs, num_examples = 20_000, 5
    firsts = batches(
        np.arange(num_examples), num_examples, seed=0, num_epochs=num_epochs
    )
    counts = np.bincount([batch[0] for batch in firsts])
    p = 1 / num_examples
    sd = np.sqrt(num_epochs * p * (1 - p))
    assert np.abs(counts - num_epochs * p).max() < 5 * sd


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_any_64_bit_seed(seed):
    assert len(next(batches(VALUES, 16, seed=seed))) == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": VALUES[:0]}, "`values` is empty"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"seed": -1}, "`seed` is -1"),
        ({"seed": 2**64}, "`seed` is 18446744073709551616"),
        ({"first_epoch": -1}, "`first_epoch` is -1"),
        ({"num_epochs": 2, "first_epoch": 3}, "`first_epoch` is 3 and `num_epochs` 2"),
    ],
)
def test_bad_arguments_raise_at_the_call(arguments, message):
    with pytest.raises(ValueError, match=message):
        batches(**{"values": VALUES, "batch_size": 16, "seed": 0, **arguments})


def test_shares_of_a_batch_are_its_rows_in_order():
    values = np.arange(22)
    whole = list(batches(values, 8, seed=3, num_epochs=2))
    shares = [
        list(batches(values, 8, seed=3, num_epochs=2, share=(i, 2))) for i in (0, 1)
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), batch)


@pytest.mark.parametrize("share", [(2, 2), (-1, 2), (0, 3), (0, 4)])
def test_shares_that_are_not_equal_are_refused(share):
    with pytest.raises(ValueError, match=r"`share` is .* parts of equal size"):
        batches(np.arange(22), 8, seed=3, share=share)
