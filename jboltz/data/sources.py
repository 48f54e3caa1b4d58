"""The sources of a published data set, and the order in which they are tried."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

from jboltz.data.dataset import Dataset
from jboltz.data.download import cache_folder, fetch
from jboltz.data.published import PublishedDataset, as_dataset, read_file
from jboltz.errors import InvalidValue

SOURCES = ("auto", "tfds", "manual")

ReadManual = Callable[[], Dataset]


def manual_source(
    dataset: PublishedDataset,
    source: str,
    manual_dir: str | os.PathLike[str] | None,
    find: Callable[[Path], ReadManual],
    sources: tuple[str, ...] = SOURCES,
) -> ReadManual | None:
    """A function that reads what `manual_dir` holds; None if it is not given.

    Args:
      source: checked here, because it decides whether `manual_dir` is read.
      find: tells how to read what is at a path, or raises if it does not hold the data.
      sources: what `source` may be.

    Raises:
      ValueError: an unknown source, or arguments that contradict one another.
    """
    if source not in sources:
        raise InvalidValue(
            f"`source` is {source!r} but {dataset.title} comes from one of "
            f"{', '.join(map(repr, sources))}; pass one of these."
        )
    if manual_dir is None:
        if source == "manual":
            raise InvalidValue(
                f"`manual_dir` is None but source 'manual' reads {dataset.manual}; "
                f"pass one. {dataset.where}"
            )
        return None
    if source not in ("auto", "manual"):
        raise InvalidValue(
            f"`manual_dir` is {os.fspath(manual_dir)!r} but source {source!r} does not "
            "read it; pass `source='manual'`, or no `manual_dir`."
        )
    return find(Path(manual_dir).expanduser())


def find_folder(dataset: PublishedDataset, folder: Path) -> ReadManual:
    """A function that reads the published files in `folder`, which exist.

    Raises:
      ValueError: they do not.
    """
    if not os.path.isdir(folder):
        raise InvalidValue(
            f"`manual_dir` is {str(folder)!r} but there is no such folder that you may "
            f"read; pass {dataset.manual}. {dataset.where}"
        )
    names = [file.name for file in dataset.files]
    missing = [name for name in names if not os.path.exists(folder / name)]
    if missing:
        raise InvalidValue(
            f"`manual_dir` {str(folder)!r} lacks {', '.join(missing)} (or does not let "
            f"you see it), but it must be {dataset.manual}. {dataset.where}"
        )
    return functools.partial(_from_folder, dataset, folder)


def load_published(
    dataset: PublishedDataset,
    source: str,
    read_manual: ReadManual | None,
    data_dir: str | os.PathLike[str] | None,
) -> Dataset:
    """Loads a data set from TFDS's cache, by `read_manual`, or by a download.

    Args:
      source: "manual" reads that alone.
      read_manual: as `manual_source` says; with it nothing is downloaded.
      data_dir: as `cache_folder` says.

    Raises:
      ImportError: a download is needed, and Pooch is not installed.
      OSError: a file or folder that cannot be read or written; its subclass
        ConnectionError if the network is needed and does not answer.
      ValueError: a damaged file, or a bucket as `data_dir`.
    """
    if source == "manual" and read_manual is not None:
        return read_manual()
    files, cache = dataset.files, cache_folder(dataset, data_dir)
    arrays, damaged = {}, []
    for file in files:
        try:
            arrays[file] = read_file(cache / file.cached_as, file, dataset)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            damaged.append(file.name)
    absent = [file for file in files if file not in arrays]
    remark = f" (where {', '.join(damaged)} was damaged)" if damaged else ""
    if not absent:
        origin = f"from the TFDS cache in {cache}"
    elif read_manual is not None:
        return read_manual()
    else:
        fetch(dataset, absent, cache, remark)
        for file in absent:
            arrays[file] = read_file(cache / file.cached_as, file, dataset)
        origin = f"downloaded into {cache}{remark}"
    return as_dataset([arrays[file] for file in files], dataset, "tfds", origin)


def _from_folder(dataset: PublishedDataset, folder: Path) -> Dataset:
    arrays = [read_file(folder / file.name, file, dataset) for file in dataset.files]
    return as_dataset(arrays, dataset, "manual", f"from {folder}")
