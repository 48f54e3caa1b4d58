"""The digits that come with jboltz: real MNIST, for a machine without a network.

The rule is the first 1 000 training images and the first 200 test images of each
digit, in the order of MNIST's files, so neither is sorted by class and no image is
among the last 10 000 of MNIST's training set, its validation split:

    def first(labels, count):
        where = [np.flatnonzero(labels == digit)[:count] for digit in range(10)]
        return np.sort(np.concatenate(where))

    train, test = first(train_labels, 1000), first(test_labels, 200)
    np.savez_compressed(
        "mnist_12k.npz",
        train=train_images[train],
        train_labels=train_labels[train],
        test=test_images[test],
        test_labels=test_labels[test],
    )

with images as (num_examples, 784) and everything uint8. The file has its own licence,
CC BY-SA 3.0: see `digits/LICENSE-MNIST.txt`.
"""

import dataclasses
import hashlib
import importlib.resources
import io

import numpy as np

from jboltz.data.dataset import Dataset, from_arrays
from jboltz.errors import InvalidValue

_FILE = "mnist_12k.npz"
_SHA256 = "403921a37e4641f84ca1fa6d3858c5159ca7720621ac61a0063b4737c44ffb3c"


def load_embedded(remark: str) -> Dataset:
    """10 000 training and 2 000 test digits, balanced, in 0.05 s.

    Args:
      remark: ends the note: why these, or how to get all of MNIST.

    Raises:
      FileNotFoundError: the installation lacks the file.
      ValueError: the file is damaged.
    """
    path = importlib.resources.files("jboltz.data") / "digits" / _FILE
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise InvalidValue(
            f"{path} has {len(content)} bytes that are not the digits jboltz was "
            "released with; reinstall jboltz."
        )
    arrays = dict(np.load(io.BytesIO(content), allow_pickle=False))
    data = from_arrays(**arrays, name="mnist", image_shape=(28, 28))
    note = (
        f"MNIST: only {len(data.train)} of 60000 training and {len(data.test)} of "
        f"10000 test images, those that come with jboltz; {remark.removesuffix('.')}."
    )
    return dataclasses.replace(data, source="embedded", note=note)
