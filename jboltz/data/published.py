"""A data set that somebody published: its files, verified, and the arrays in them."""

import base64
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jboltz.data.dataset import Dataset
from jboltz.data.files import read_regular
from jboltz.errors import InvalidValue

Arrays = tuple[np.ndarray, ...]

MOST_BYTES = 2**28
"""No published file is larger; CIFAR-10 has 170 MB."""


@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """A file as its publisher describes it."""

    url: str
    size: int  # bytes, compressed
    sha256: str  # hex, of the compressed bytes
    site: str  # how TFDS shortens what is before the name in `url`

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def cached_as(self) -> str:
        """Its name among TFDS's downloads."""
        stem, _, ending = self.name.partition(".")
        digest = base64.urlsafe_b64encode(bytes.fromhex(self.sha256)).decode()
        return f"{self.site}_{stem}{digest.rstrip('=')}.{ending}"


@dataclasses.dataclass(frozen=True)
class PublishedDataset:
    """The facts about a data set; sizes and checksums are those of TFDS."""

    name: str  # TFDS's
    title: str  # for people
    files: tuple[PublishedFile, ...]
    # The bytes of a file, which is the published one, to its uint8 arrays. Those of all
    # files, in order: training images (num_examples, *image_shape), training labels,
    # and test.
    parse: Callable[[bytes], Arrays]
    manual: str  # what `manual_dir` must be, for messages
    where: str  # where that is found, a sentence


def read_file(path: Path, file: PublishedFile, dataset: PublishedDataset) -> Arrays:
    """The arrays in a file that is bit for bit the published one.

    Raises:
      OSError: missing or not readable.
      ValueError: damaged, cut short, another format or another file.
    """
    try:
        content = read_published(path, file)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise OSError(
            f"{path} cannot be read ({error.strerror}), but it must be a file that you "
            "may read; change its permissions or fetch it again."
        ) from error
    except ValueError as error:
        raise InvalidValue(
            f"{path} {error}; delete it and fetch {dataset.title} again from "
            f"{file.url}."
        ) from error
    return dataset.parse(content)


def read_published(path: Path, file: PublishedFile) -> bytes:
    """The bytes at `path`, which are those of the published file.

    Size and checksum are compared before anything is decompressed: so a file that
    would fill the memory never does. What is checked is what is returned, even if
    another process replaces the file meanwhile.

    Raises:
      OSError: missing or not readable.
      ValueError: what is wrong with the file, as the end of a sentence.
    """
    content = read_regular(path, MOST_BYTES)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise InvalidValue(
            f"is not the published file: it has {len(content)} bytes and SHA-256 "
            f"{sha256[:12]}…, but {file.name} has {file.size} bytes and "
            f"{file.sha256[:12]}…"
        )
    return content


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
