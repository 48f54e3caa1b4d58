"""A data set is a record of host arrays, and where they came from."""

import dataclasses
import hashlib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Int

from jboltz.data.checks import GRAY, check_values, warn_unstandardized
from jboltz.domains import ArrayDomain, Reals, as_numbers
from jboltz.errors import InvalidType, InvalidValue


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test examples as NumPy arrays, and one line on their origin.

    Images stay uint8 as stored: scaling and binarising happen on the device, inside
    the compiled step, which moves a quarter of the bytes. `load_mnist`, `load_cifar10`
    and `from_arrays` make data sets. A data set is equal only to itself; `fingerprint`
    compares contents.
    """

    name: str  #: what results call the data set
    train: np.ndarray  #: (num_examples, num_features) uint8, or float32
    train_labels: np.ndarray | None  #: (num_examples,) int32 classes; None: no labels
    test: np.ndarray  #: (num_test, num_features), of the same type as `train`
    test_labels: np.ndarray | None  #: (num_test,) int32 classes; None: no labels
    image_shape: tuple[int, ...] | None  #: of one example; None: it is not an image
    source: str  #: where it was loaded from: "tfds", "manual", "embedded" or "array"
    note: str  #: one line for people: the source, how many examples, how to get more


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of shapes, dtypes and bytes of all arrays; not of name, source or note.

    The same digits have the same fingerprint wherever they were loaded from, so a
    resumed run can tell that its data changed.

    Args:
      dataset: the data set.

    Returns:
      64 hexadecimal digits.
    """
    fields = ("train", "train_labels", "test", "test_labels")
    return sha256_of((f"{field}: ", getattr(dataset, field)) for field in fields)


def sha256_of(arrays: Iterable[tuple[str, np.ndarray | None]]) -> str:
    """SHA-256 of the shapes, dtypes and bytes of arrays, each after its label."""
    digest = hashlib.sha256()
    for label, array in arrays:
        about = "none" if array is None else f"{array.shape} {array.dtype.str}"
        digest.update(f"{label}{about}\n".encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def from_arrays(
    train: Any,
    test: Any = None,
    *,
    train_labels: Any = None,
    test_labels: Any = None,
    name: str = "array",
    image_shape: tuple[int, ...] | None = None,
    held_out: int | None = None,
    domain: ArrayDomain = GRAY,
) -> Dataset:
    """Your arrays as a `Dataset`: checked, flattened, uint8 or float32.

    uint8 is kept as stored, 0 to 255; everything else becomes float32. Arrays that
    need no conversion are not copied.

    Args:
      train: (num_examples, num_features), or images (num_examples, height, width, …),
        which are flattened and remembered in `image_shape`; NumPy, JAX, nested lists.
      test: as `train`, with the same features and type.
      train_labels: one integer per example, from 0.
      test_labels: as `train_labels`; not without `test`.
      name: what results call this data set.
      image_shape: for examples that come flat.
      held_out: without `test`, the last this many training examples become the test
        set; a tenth by default. Shuffle first if the examples are sorted.
      domain: what the values must lie in, see `check_values`.

    Raises:
      TypeError: not numbers, or labels that are not integers.
      ValueError: wrong shapes, values outside the domain, or arguments that contradict
        one another.

    Warns:
      UserWarning: the domain is `Reals()` and the features are far from mean 0 and
        standard deviation 1.

    Example:
      >>> images = np.zeros((50, 28, 28), np.uint8)
      >>> data = from_arrays(images)
      >>> data.train.shape, data.test.shape, data.image_shape
      ((45, 784), (5, 784), (28, 28))
    """
    if test is None and test_labels is not None:
        raise InvalidValue(
            "`test_labels` came without `test`, so there is nothing they label; pass "
            "both, or neither and `held_out`."
        )
    if test is not None and held_out is not None:
        raise InvalidValue(
            f"`held_out` is {held_out} but `test` is given too, so there is nothing to "
            "hold out; pass one of the two."
        )
    train, shape = _flat(train, "train", domain)
    train_labels = _labels(train_labels, len(train), "train_labels")
    origin = ""
    if test is None:
        held_out = max(1, len(train) // 10) if held_out is None else held_out
        origin = f", the test examples being the last {held_out} of the array"
        test = train[:0]
    else:
        test, _ = _flat(test, "test", domain)
        if (test.shape[1], test.dtype) != (train.shape[1], train.dtype):
            raise InvalidValue(
                f"`test` has {test.shape[1]} features stored as {test.dtype} but "
                f"`train` has {train.shape[1]} stored as {train.dtype}; pass both in "
                "the same shape and type, so that they are scaled alike."
            )
        test_labels = _labels(test_labels, len(test), "test_labels")
    if domain == Reals():
        warn_unstandardized(train, "train")
    image_shape = shape if image_shape is None else tuple(image_shape)
    if image_shape is not None:
        is_shape = min(image_shape, default=1) >= 1
        if not is_shape or math.prod(image_shape) != train.shape[1]:
            raise InvalidValue(
                f"`image_shape` is {image_shape} but an example has {train.shape[1]} "
                "features; pass the shape of one, of positive sides."
            )
    data = Dataset(
        name=name,
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        image_shape=image_shape,
        source="array",
        note="",
    )
    data = data if held_out is None else hold_out(data, held_out)
    note = (
        f"{len(data.train)} training and {len(data.test)} test examples from an array"
    )
    return dataclasses.replace(data, note=f"{name}: {note}{origin}.")


def hold_out(dataset: Dataset, count: int | None = None) -> Dataset:
    """The data set whose test set is the last `count` of its training examples, and
    whose training set is the others; labels are split alike.

    The new arrays are views of the old ones, not copies.

    Args:
      dataset: the data set; its own test set is left out of the result.
      count: the number of examples to hold out. The default is a sixth, which is
        MNIST's convention of 50 000 and 10 000.

    Raises:
      ValueError: fewer than one example would remain on either side, or `count` is no
        whole number.
      TypeError: `dataset` is no `Dataset`.
    """
    if not isinstance(dataset, Dataset):
        raise InvalidType(
            f"`dataset` is of type {type(dataset).__name__} but a `Dataset` is needed; "
            "make one of arrays by `from_arrays`."
        )
    num_train, labels = len(dataset.train), dataset.train_labels
    count = max(1, num_train // 6) if count is None else count
    is_whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
    if not is_whole or not 1 <= count < num_train:
        raise InvalidValue(
            f"`held_out` is {count!r} but `train` of data set {dataset.name!r} has "
            f"{num_train} examples and both parts need at least 1; pass a whole number "
            f"from 1 to {num_train - 1}, or load a larger source."
        )
    return dataclasses.replace(
        dataset,
        train=dataset.train[:-count],
        train_labels=None if labels is None else labels[:-count],
        test=dataset.train[-count:],
        test_labels=None if labels is None else labels[-count:],
        note=f"{dataset.note} Of its training examples the last {count} are held out.",
    )


def balanced_subset(
    labels: Int[np.ndarray, " examples"], num_labels: int, seed: int
) -> Int[np.ndarray, " chosen"]:
    """Indices of `num_labels` examples, as many of each class, in random order.

    Where classes cannot share evenly, or one has too few examples, the numbers of two
    classes that have more left differ by one at most. With the same seed, a larger
    `num_labels` adds examples to those that a smaller one chooses.

    Args:
      labels: (examples,) the class of each example.
      num_labels: how many examples are chosen, over all classes.
      seed: the seed of the random order, at least 0.

    Returns:
      (num_labels,) the positions of the chosen examples in `labels`.

    Raises:
      ValueError: `num_labels` is less than the number of classes, or more than the
        number of examples.
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


def _flat(
    values: Any, name: str, domain: ArrayDomain
) -> tuple[np.ndarray, tuple[int, ...] | None]:
    """Checked values as (num_examples, num_features), and the shape of one image."""
    array = as_numbers(values, name)
    shape = array.shape[1:] if array.ndim > 2 else None
    flat = array if shape is None else array.reshape(len(array), math.prod(shape))
    # Flattened one-hot values do not say where a site ends.
    check_values(array if domain.site_axes else flat, domain=domain, name=name)
    if flat.dtype != np.uint8:
        flat = flat.astype(np.float32, copy=False)
    return flat, shape


def _labels(labels: Any, num_examples: int, name: str) -> np.ndarray | None:
    if labels is None:
        return None
    array = as_numbers(labels, name)
    if array.dtype.kind not in "iu":
        raise InvalidType(
            f"`{name}` has dtype {array.dtype} but labels are class numbers; pass "
            "integers from 0."
        )
    if array.shape != (num_examples,):
        raise InvalidValue(
            f"`{name}` has shape {array.shape} but there are {num_examples} examples, "
            f"so it must be ({num_examples},); one-hot labels become class numbers "
            "with `argmax(axis=1)`."
        )
    if array.min() < 0 or array.max() > np.iinfo(np.int32).max:
        raise InvalidValue(
            f"`{name}` has values from {array.min()} to {array.max()} but classes are "
            "numbered from 0; renumber them, for example with `np.unique(labels, "
            "return_inverse=True)[1]`."
        )
    return array.astype(np.int32, copy=False)
