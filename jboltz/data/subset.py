"""A few examples of each class."""

import numpy as np
from jaxtyping import Int

from jboltz.errors import InvalidValue


def balanced_subset(
    labels: Int[np.ndarray, " examples"], num_labels: int, seed: int
) -> Int[np.ndarray, " chosen"]:
    """Indices of `num_labels` examples, as many of each class, in random order.

    Where classes cannot share evenly, or one has too few, the numbers of two classes
    that have more left differ by one at most. Of the same seed, what is chosen for a
    number is part of what is chosen for a larger one.

    Raises:
      ValueError: fewer than there are classes, or more than there are examples.
    """
    classes = np.unique(labels)
    if not len(classes) <= num_labels <= len(labels):
        raise InvalidValue(
            f"`num_labels` is {num_labels} but there are {len(labels)} examples of "
            f"{len(classes)} classes; take {len(classes)} to {len(labels)}."
        )
    rng = np.random.default_rng(seed)
    # In a shuffled order the k-th examples of all classes come before any (k + 1)-th.
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), np.int64)
    for label in classes:
        of_class = np.flatnonzero(labels[order] == label)
        rank[of_class] = np.arange(len(of_class))
    return order[np.argsort(rank, kind="stable")[:num_labels]]
