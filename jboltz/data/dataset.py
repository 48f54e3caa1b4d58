"""A data set is a record of host arrays, and where they came from."""

import dataclasses
import hashlib
import math
from typing import Any

import numpy as np

from jboltz.data.checks import GRAY, check_values, warn_unstandardized
from jboltz.domains import ArrayDomain, Reals, as_numbers
from jboltz.errors import InvalidType, InvalidValue


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test examples as NumPy arrays, and one line on their origin.

    Images stay uint8 as stored: scaling and binarising happen on the device, inside
    the compiled step, which moves a quarter of the bytes. Made by `load_mnist` and
    `from_arrays`; equal only to itself, `fingerprint` compares contents.
    """

    name: str
    train: np.ndarray  # (num_examples, num_features), uint8 or float32
    train_labels: np.ndarray | None  # (num_examples,) int32
    test: np.ndarray  # (num_test, num_features), as train
    test_labels: np.ndarray | None  # (num_test,) int32
    image_shape: tuple[int, ...] | None  # of one example, None if it is no image
    source: str  # "tfds", "manual", "embedded" or "array"
    note: str  # for the user: which source, how many, how to get more


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of shapes, dtypes and bytes of all arrays; not of name, source or note.

    The same digits have the same fingerprint wherever they were loaded from, so a
    resumed run can tell that its data changed.
    """
    digest = hashlib.sha256()
    for field in ("train", "train_labels", "test", "test_labels"):
        array = getattr(dataset, field)
        if array is None:
            digest.update(f"{field}: none\n".encode())
            continue
        digest.update(f"{field}: {array.shape} {array.dtype.str}\n".encode())
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
    num_holdout: int | None = None,
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
      num_holdout: without `test`, the last this many training examples become the test
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
    train, shape = _flat(train, "train", domain, None)
    train_labels = _labels(train_labels, len(train), "train_labels")
    if test is None:
        if test_labels is not None:
            raise InvalidValue(
                "`test_labels` came without `test`, so there is nothing they label; "
                "pass both, or neither and `num_holdout`."
            )
        num_test = _num_holdout(num_holdout, len(train))
        train, test = train[:-num_test], train[-num_test:]
        if train_labels is not None:
            test_labels = train_labels[-num_test:]
            train_labels = train_labels[:-num_test]
        origin = f", the test examples being the last {num_test} of the array"
    else:
        if num_holdout is not None:
            raise InvalidValue(
                f"`num_holdout` is {num_holdout} but `test` is given too, so there is "
                "nothing to hold out; pass one of the two."
            )
        test, _ = _flat(test, "test", domain, train.shape[1])
        if test.dtype != train.dtype:
            raise InvalidValue(
                f"`train` is stored as {train.dtype} but `test` as {test.dtype}, so "
                "they would be scaled differently; pass both in the same type."
            )
        test_labels = _labels(test_labels, len(test), "test_labels")
        origin = ""
    if domain == Reals():
        warn_unstandardized(train, "train")
    if image_shape is None:
        image_shape = shape
    elif math.prod(image_shape) != train.shape[1]:
        raise InvalidValue(
            f"`image_shape` is {tuple(image_shape)}, {math.prod(image_shape)} pixels, "
            f"but an example has {train.shape[1]} features; pass the shape of one."
        )
    return Dataset(
        name=name,
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        image_shape=None if image_shape is None else tuple(image_shape),
        source="array",
        note=f"{name}: {len(train)} training and {len(test)} test examples from an "
        f"array{origin}.",
    )


def split_validation(
    dataset: Dataset, num_validation: int = 10_000
) -> tuple[np.ndarray, np.ndarray]:
    """(train, validation): the last `num_validation` training examples are held out.

    Views, not copies. The labels split alike: `dataset.train_labels[:-num_validation]`
    belong to the first, `[-num_validation:]` to the second. The default is MNIST's
    convention of 50 000 and 10 000.

    Raises:
      ValueError: fewer than one example would remain on either side; a smaller source
        is not split in proportion, because then two runs would differ unseen.
    """
    num_train = len(dataset.train)
    if not 1 <= num_validation < num_train:
        raise InvalidValue(
            f"`num_validation` is {num_validation} but data set {dataset.name!r} has "
            f"{num_train} training examples and both parts need at least 1; pass a "
            f"number from 1 to {num_train - 1}, or load a larger source."
        )
    return dataset.train[:-num_validation], dataset.train[-num_validation:]


def num_held_out(dataset: Dataset, asked: int | None) -> int:
    """How many training examples to hold out: `asked`, or by default a sixth of them,
    which are the 10 000 of MNIST's convention."""
    return len(dataset.train) // 6 if asked is None else asked


def _flat(
    values: Any, name: str, domain: ArrayDomain, num_features: int | None
) -> tuple[np.ndarray, tuple[int, ...] | None]:
    """Checked values as (num_examples, num_features), and the shape of one image."""
    array = as_numbers(values, name)
    shape = array.shape[1:] if array.ndim > 2 else None
    flat = array if shape is None else array.reshape(len(array), math.prod(shape))
    # Flattened one-hot values do not say where a site ends.
    checked = array if domain.site_axes else flat
    check_values(checked, domain=domain, num_features=num_features, name=name)
    array = flat
    if array.dtype != np.uint8:
        array = array.astype(np.float32, copy=False)
    return array, shape


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


def _num_holdout(num_holdout: int | None, num_examples: int) -> int:
    count = max(1, num_examples // 10) if num_holdout is None else num_holdout
    if not 1 <= count < num_examples:
        raise InvalidValue(
            f"`num_holdout` is {count} but `train` has {num_examples} examples and "
            "both training and test set need at least 1; pass `test`, more examples, "
            "or another number."
        )
    return count
