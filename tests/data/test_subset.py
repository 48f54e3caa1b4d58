"""A subset is balanced, and part of a larger one."""

import numpy as np
import pytest

from jboltz.data import balanced_subset

LABELS = np.random.default_rng(1).permutation(np.repeat([0, 2, 5], [40, 50, 60]))


def subset(num_labels, seed=0, labels=LABELS):
    return balanced_subset(labels, num_labels, np.random.default_rng(seed))


@pytest.mark.parametrize("num_labels", [3, 4, 30, 101, 120])
def test_classes_differ_by_one_at_most(num_labels):
    chosen = subset(num_labels)
    assert len(set(chosen)) == len(chosen) == num_labels
    assert np.all(np.diff(chosen) > 0)
    counts = np.unique(LABELS[chosen], return_counts=True)[1]
    assert len(counts) == 3
    assert np.ptp(counts) == (num_labels % 3 > 0)


def test_a_smaller_one_is_part_of_a_larger_one():
    assert set(subset(10)) < set(subset(11)) < set(subset(90))


def test_the_generator_decides():
    np.testing.assert_array_equal(subset(20), subset(20))
    assert set(subset(20)) != set(subset(20, seed=1))
    # And which class has one more.
    assert len({tuple(LABELS[subset(4, seed)]) for seed in range(9)}) > 1


def test_all_of_balanced_examples_are_all():
    labels = np.repeat([0, 1], 4)
    np.testing.assert_array_equal(subset(8, labels=labels), np.arange(8))


@pytest.mark.parametrize(
    ("num_labels", "words"),
    [
        (2, ["`num_labels` is 2", "3 classes", "from 3"]),
        (151, ["`num_labels` is 151", "to 150"]),
        (140, ["`num_labels` is 140", "class 0", "40 examples", "at most 120"]),
    ],
)
def test_what_classes_cannot_share_is_refused(num_labels, words):
    with pytest.raises(ValueError, match="num_labels") as error:
        subset(num_labels)
    assert all(word in str(error.value) for word in words), error.value
