"""A data set that somebody published: its files, verified, and the arrays in them."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jboltz.data.dataset import Dataset
from jboltz.errors import InvalidValue

Arrays = tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """A file as its publisher describes it."""

    url: str
    size: int  # bytes, compressed
    sha256: str  # hex, of the compressed bytes

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


@dataclasses.dataclass(frozen=True)
class PublishedDataset:
    """The facts about a data set; addresses and checksums are those of TFDS."""

    name: str  # TFDS's
    title: str  # for people
    file_names: tuple[str, ...]
    # The name and the bytes of a file to its uint8 arrays. Those of all files, in
    # order: training images (num_examples, *image_shape), training labels, and test.
    parse: Callable[[str, bytes], Arrays]
    manual: str  # what `manual_dir` must be, for messages
    where: str  # where that is found, a sentence


def read_file(path: Path, file: PublishedFile, dataset: PublishedDataset) -> Arrays:
    """The arrays in a file that is bit for bit the published one.

    Read once: what is checked is what is returned, even if another process replaces
    the file meanwhile.

    Raises:
      OSError: missing or not readable.
      ValueError: damaged, cut short, another format or another file.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise OSError(
            f"{path} cannot be read ({error.strerror}), but it must be a file that you "
            "may read; change its permissions or fetch it again."
        ) from error
    try:
        # Parsed first, because it knows better what is wrong with a file.
        arrays = dataset.parse(file.name, content)
        _check_published(content, file, dataset.title)
    except ValueError as error:
        raise InvalidValue(
            f"{path} {error}; delete it and fetch it again from {file.url}."
        ) from error
    return arrays


def as_dataset(
    files: Sequence[Arrays], dataset: PublishedDataset, source: str, origin: str
) -> Dataset:
    """The arrays of all files, in order, as a record that says where they are from."""
    train, train_labels, test, test_labels = (array for file in files for array in file)
    return Dataset(
        name=dataset.name,
        train=train.reshape(len(train), -1),
        train_labels=train_labels.astype(np.int32),
        test=test.reshape(len(test), -1),
        test_labels=test_labels.astype(np.int32),
        image_shape=train.shape[1:],
        source=source,
        note=f"{dataset.title}: {len(train)} training and {len(test)} test images, "
        f"{origin}.",
    )


def _check_published(content: bytes, file: PublishedFile, title: str) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise InvalidValue(
            f"is not the published file: it has {len(content)} bytes and SHA-256 "
            f"{sha256[:12]}…, but {title}'s has {file.size} bytes and "
            f"{file.sha256[:12]}…"
        )
