"""A few examples of every class."""

import numpy as np
from numpy.typing import ArrayLike


def balanced_subset(
    labels: ArrayLike, num_labels: int, rng: np.random.Generator
) -> np.ndarray:
    """Indices, in order, of `num_labels` examples, as many of each class.

    What classes cannot share evenly is spread by one: no two classes differ by more.
    With a generator of the same seed, a smaller subset is part of a larger one.

    Args:
      labels: (num_examples,) classes; those that occur are the classes there are.
      rng: decides which examples of a class, and which classes have one more.

    Returns:
      (num_labels,) indices into `labels`.

    Raises:
      ValueError: fewer labels than classes, more than examples, or more than some class
        has its share of.

    Example:
      >>> labels = np.array([0, 1, 0, 1, 0, 1, 0, 0])
      >>> chosen = balanced_subset(labels, 4, np.random.default_rng(0))
      >>> labels[chosen].sum()
      np.int64(2)
    """
    labels = np.asarray(labels)
    classes, labels = np.unique(labels, return_inverse=True)
    if not len(classes) <= num_labels <= len(labels):
        raise ValueError(
            f"`num_labels` is {num_labels} but there are {len(labels)} examples of "
            f"{len(classes)} classes; take from {len(classes)}, one of each class, to "
            f"{len(labels)}."
        )
    # Classes take turns: example r of its class, in a random order, has turn r.
    shuffled = rng.permutation(len(labels))
    place = rng.permutation(len(classes))
    turn = np.empty(len(labels), int)
    for index in range(len(classes)):
        of_class = shuffled[labels[shuffled] == index]
        turn[of_class] = np.arange(len(of_class)) * len(classes) + place[index]
    chosen = np.argsort(turn)[:num_labels]
    counts = np.bincount(labels[chosen], minlength=len(classes))
    if counts.max() - counts.min() > 1:
        scarce = int(np.argmin(counts))
        raise ValueError(
            f"`num_labels` is {num_labels} but class {classes[scarce]} has only "
            f"{counts[scarce]} examples, less than its share; take at most "
            f"{len(classes) * counts[scarce]}."
        )
    return np.sort(chosen)
