"""CIFAR-10 from its official binary files, or from an .npz file of yours."""

import dataclasses
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from jboltz.data.dataset import Dataset, from_arrays
from jboltz.data.published import PublishedDataset, PublishedFile, load_published
from jboltz.errors import InvalidValue
from jboltz.files import read_npz

IMAGE_SHAPE = (32, 32, 3)
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
"""The names of the labels, from 0."""

_FOLDER = "cifar-10-batches-bin/"
_BATCHES = [
    *(f"{_FOLDER}data_batch_{i}.bin" for i in range(1, 6)),
    f"{_FOLDER}test_batch.bin",
]
_RECORD = 1 + 3 * 32 * 32  # bytes: a label, then 32 × 32 of red, of green, of blue
_NPZ_NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def parse_tarball(content: bytes) -> tuple[np.ndarray, ...]:
    """Training images, training labels, test images, test labels of the published file;
    nothing is unpacked."""
    batches = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None and member.name in _BATCHES:
                records = np.frombuffer(file.read(), np.uint8)
                batches[member.name] = records.reshape(-1, _RECORD)
    *train, test = (batches[name] for name in _BATCHES)
    return *_split_records(np.concatenate(train)), *_split_records(test)


def _split_records(records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images with colour last, and labels."""
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0]


def _read_npz(path: Path) -> Dataset:
    try:
        held = read_npz(path, _NPZ_NAMES)
        if "train_images" not in held:
            raise InvalidValue("it lacks the array `train_images`; name the images so")
        for name in held.keys() & {"train_images", "test_images"}:
            dtype, shape = held[name].dtype, held[name].shape
            if dtype != np.uint8 or shape[1:] not in (IMAGE_SHAPE, (3072,)):
                raise InvalidValue(
                    f"`{name}` is {dtype} of shape {shape}, but must be uint8 of shape "
                    "(N, 32, 32, 3) or (N, 3072)"
                )
        arrays: Any = {name.removesuffix("_images"): x for name, x in held.items()}
        data = from_arrays(**arrays, name=CIFAR10.name, image_shape=IMAGE_SHAPE)
        labels = [x for x in (data.train_labels, data.test_labels) if x is not None]
        largest = max((int(x.max()) for x in labels), default=0)
        if largest > 9:
            raise InvalidValue(
                f"it holds the label {largest}, but labels are from 0 to 9"
            )
    except (TypeError, ValueError) as error:
        raise InvalidValue(
            f"{path} is not CIFAR-10 in an .npz file: {error} (or pass the official "
            f"{CIFAR10.files[0].name})."
        ) from error
    held_out = "" if "test_images" in held else " (the last of the training images)"
    note = (
        f"CIFAR-10: {len(data.train)} of 50000 training and {len(data.test)} of 10000 "
        f"test images{held_out}, from {path}."
    )
    return dataclasses.replace(data, source="manual", note=note)


CIFAR10 = PublishedDataset(
    name="cifar10",
    title="CIFAR-10",
    files=(
        PublishedFile(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            "cs.toronto.edu_kriz",
        ),
    ),
    parse=parse_tarball,
    manual="cifar-10-binary.tar.gz, an .npz file with `train_images`, or a folder with "
    "one of the two",
    where="The binary version, 170 MB, is at https://www.cs.toronto.edu/~kriz/"
    "cifar.html; the Python version is not read, because pickles could run code.",
    read_npz=_read_npz,
)


def load_cifar10(
    source: str = "auto",
    *,
    manual_dir: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """CIFAR-10 as uint8 (50000, 3072) and (10000, 3072): 32 × 32 pixels, colour last.

    In the order of the original files. No images come with jboltz.

    The official file is verified against SHA-256 before it is decompressed. An .npz
    file, of at most 512 MiB after decompression, is taken at its word: `train_images`,
    uint8 (N, 32, 32, 3) or (N, 3072) with the colour of each pixel last, and, where
    they are there, `train_labels`, `test_images`, `test_labels`.
    Without test images the last tenth of the training images is held out.
    `Dataset.note`, which programs print, says how many images there are.

    Args:
      source: "tfds" is TFDS's cache, or a download of 170 MB into it. "manual" is
        `manual_dir`. "auto" is TFDS's cache, `manual_dir` if given, a download.
      manual_dir: the official cifar-10-binary.tar.gz, an .npz file, or a folder that
        holds one of these (the first, if both), for "manual" and "auto".
      data_dir: where TFDS keeps its data; by default TFDS_DATA_DIR, else
        ~/tensorflow_datasets.

    Raises:
      ValueError: an unknown source, arguments that contradict one another, a
        `manual_dir` that does not hold CIFAR-10, a damaged file, or a bucket as
        `data_dir`.
      ImportError: a download is needed, and Requests is not installed.
      OSError: a file or folder that cannot be read or written; its subclass
        ConnectionError if the network is needed and does not answer.
    """
    return load_published(CIFAR10, source, manual_dir, data_dir)
