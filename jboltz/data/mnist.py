"""MNIST from the best source at hand, with one line that says which."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jboltz.data.dataset import Dataset
from jboltz.data.download import (
    FILE_NAMES,
    cache_folder,
    cached_path,
    fetch,
    published_files,
)
from jboltz.data.embedded import load_embedded
from jboltz.data.idx import PublishedFile, read_idx

SOURCES = ("auto", "tfds", "manual", "embedded")

_WHERE = "They are at https://storage.googleapis.com/cvdf-datasets/mnist/ and mirrors."


def load_mnist(
    source: str = "auto",
    *,
    manual_dir: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """MNIST as uint8 (60000, 784) and (10000, 784), or 10 000 and 2 000 of its digits.

    In the order of the original files, so the last 10 000 training images are the
    validation split (`split_validation`). Every byte is verified against SHA-256.

    Sources:
      - "tfds": TFDS's cache, and what is missing or damaged there is downloaded.
      - "manual": `manual_dir`, a folder with the four .gz files.
      - "embedded": the digits that come with jboltz.
      - "auto": TFDS's cache, `manual_dir` if given, a download, the embedded digits. It
        settles for the last within seconds if there is no network, and says so in
        `Dataset.note`, which programs print. A `manual_dir` that does not hold MNIST is
        an error here too.

    Args:
      source: one of the above.
      manual_dir: for "manual" and "auto".
      data_dir: where TFDS keeps its data; by default TFDS_DATA_DIR, else
        ~/tensorflow_datasets.

    Raises:
      ValueError: an unknown source, arguments that contradict one another, a folder
        without the files, a damaged file.
      ImportError: "tfds" or "manual" without TFDS, which verifies the files.
      OSError: a file or folder that cannot be read or written; its subclass
        ConnectionError if "tfds" needs the network and does not get it.
    """
    if source not in SOURCES:
        raise ValueError(
            f"`source` is {source!r} but MNIST comes from one of "
            f"{', '.join(map(repr, SOURCES))}; pass one of these."
        )
    if source == "embedded" and manual_dir is None:
        return load_embedded("for all of MNIST take source 'auto'")
    folder = _manual_folder(source, manual_dir)
    try:
        files = published_files()
        if source == "manual" and folder is not None:
            return _from_folder(files, folder)
        return _from_tfds(files, cache_folder(data_dir), folder)
    except (ImportError, OSError, ValueError) as error:
        if source != "auto" or folder is not None:
            raise
        return load_embedded(str(error))


def _manual_folder(
    source: str, manual_dir: str | os.PathLike[str] | None
) -> Path | None:
    """`manual_dir` as a folder in which the four files exist, or None if not given."""
    if manual_dir is None:
        if source == "manual":
            raise ValueError(
                "`manual_dir` is None but source 'manual' reads a folder with MNIST's "
                f"four .gz files; pass one. {_WHERE}"
            )
        return None
    if source not in ("auto", "manual"):
        raise ValueError(
            f"`manual_dir` is {os.fspath(manual_dir)!r} but source {source!r} does not "
            "read it; pass `source='manual'`, or no `manual_dir`."
        )
    folder = Path(manual_dir).expanduser()
    if not os.path.isdir(folder):
        raise ValueError(
            f"`manual_dir` is {str(folder)!r} but there is no such folder that you may "
            f"read; pass one with MNIST's four .gz files. {_WHERE}"
        )
    missing = [name for name in FILE_NAMES if not os.path.exists(folder / name)]
    if missing:
        raise ValueError(
            f"`manual_dir` {str(folder)!r} lacks {', '.join(missing)} (or does not let "
            f"you see them), but all four files are needed; put them there. {_WHERE}"
        )
    return folder


def _from_folder(files: Sequence[PublishedFile], folder: Path) -> Dataset:
    arrays = {file.name: read_idx(folder / file.name, file) for file in files}
    return _dataset(arrays, "manual", f"from {folder}")


def _from_tfds(
    files: Sequence[PublishedFile], cache: Path, folder: Path | None
) -> Dataset:
    """From the cache; if that lacks anything, from `folder`, or else downloaded."""
    arrays, damaged = {}, []
    for file in files:
        try:
            arrays[file.name] = read_idx(cached_path(cache, file), file)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            damaged.append(file.name)
    if len(arrays) == len(files):
        return _dataset(arrays, "tfds", f"from the TFDS cache in {cache}")
    if folder is not None:
        return _from_folder(files, folder)
    absent = [file for file in files if file.name not in arrays]
    remark = f" (where {', '.join(damaged)} was damaged)" if damaged else ""
    fetch(absent, cache, remark)
    arrays |= {file.name: read_idx(cached_path(cache, file), file) for file in absent}
    return _dataset(arrays, "tfds", f"downloaded by TFDS into {cache}{remark}")


def _dataset(arrays: Mapping[str, np.ndarray], source: str, origin: str) -> Dataset:
    train, train_labels, test, test_labels = (arrays[name] for name in FILE_NAMES)
    return Dataset(
        name="mnist",
        train=train.reshape(len(train), -1),
        train_labels=train_labels.astype(np.int32),
        test=test.reshape(len(test), -1),
        test_labels=test_labels.astype(np.int32),
        image_shape=train.shape[1:],
        source=source,
        note=f"MNIST: {len(train)} training and {len(test)} test images, {origin}.",
    )
