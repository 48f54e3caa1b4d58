"""A subset has as many examples of each class as can be, and grows with its size."""

import numpy as np
import pytest

from jboltz.data import balanced_subset

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [30, 30, 5]))


@pytest.mark.parametrize(
    ("num_labels", "counts"),
    [(3, [1, 1, 1]), (12, [4, 4, 4]), (25, [10, 10, 5]), (65, [30, 30, 5])],
)
def test_classes_share_evenly_while_they_last(num_labels, counts):
    chosen = balanced_subset(LABELS, num_labels, 0)
    assert len(np.unique(chosen)) == num_labels
    np.testing.assert_array_equal(np.bincount(LABELS[chosen]), counts)


def test_an_uneven_number_is_spread_by_one_at_most():
    counts = np.bincount(LABELS[balanced_subset(LABELS, 11, 0)])
    assert np.ptp(counts) == 1


def test_a_larger_number_holds_the_smaller_and_the_seed_decides():
    few, many = (set(balanced_subset(LABELS, n, 3)) for n in (10, 40))
    assert few < many
    assert few != set(balanced_subset(LABELS, 10, 4))


@pytest.mark.parametrize("num_labels", [2, 66])
def test_too_few_and_too_many_are_refused(num_labels):
    with pytest.raises(
        ValueError, match=f"`num_labels` is {num_labels} but .* 65 .* 3"
    ):
        balanced_subset(LABELS, num_labels, 0)
