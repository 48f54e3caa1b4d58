"""Data sets that somebody published: their files, verified, from where they are."""

import base64
import dataclasses
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from jboltz.data.dataset import Dataset, from_arrays
from jboltz.data.download import fetch, probe
from jboltz.errors import InvalidValue
from jboltz.files import MOST_BYTES, read_regular
from jboltz.ranges import with_home

Arrays = tuple[np.ndarray, ...]


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
    sources: tuple[str, ...] = ("auto", "tfds", "manual")
    read_npz: Callable[[Path], Dataset] | None = None  # where an .npz file may serve


def load_published(
    dataset: PublishedDataset,
    source: str,
    manual_dir: str | os.PathLike[str] | None,
    data_dir: str | os.PathLike[str] | None,
) -> Dataset:
    """A data set from TFDS's cache, from `manual_dir`, or by a download into the cache.

    With a `manual_dir`, which is checked in any case, nothing is downloaded. The errors
    are those of `load_mnist`.
    """
    place = _manual_place(dataset, source, manual_dir)
    if source == "manual" and place is not None:
        return _read_manual(dataset, place)
    cache, arrays, damaged = _cache_folder(dataset, data_dir), {}, []
    for file in dataset.files:
        try:
            arrays[file] = dataset.parse(_read(cache / file.cached_as, file))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, InvalidValue):
            damaged.append(file.name)
    absent = [file for file in dataset.files if file not in arrays]
    origin = f"from the TFDS cache in {cache}"
    if absent and place is not None:
        return _read_manual(dataset, place)
    if absent:
        remark = f" (where {', '.join(damaged)} was damaged)" if damaged else ""
        arrays |= _download(dataset, absent, cache, remark)
        origin = f"downloaded into {cache}{remark}"
    return _as_dataset(dataset, [arrays[x] for x in dataset.files], "tfds", origin)


def _manual_place(
    dataset: PublishedDataset,
    source: str,
    manual_dir: str | os.PathLike[str] | None,
) -> Path | None:
    """The folder with the published files, or an .npz file; None if not given."""
    if source not in dataset.sources:
        raise InvalidValue(
            f"`source` is {source!r} but {dataset.title} comes from one of "
            f"{', '.join(map(repr, dataset.sources))}; pass one of these."
        )
    if manual_dir is None:
        if source != "manual":
            return None
        raise InvalidValue(
            f"`manual_dir` is None but source 'manual' reads {dataset.manual}; pass "
            f"one. {dataset.where}"
        )
    if source not in ("auto", "manual"):
        raise InvalidValue(
            f"`manual_dir` is {os.fspath(manual_dir)!r} but source {source!r} does not "
            "read it; pass `source='manual'`, or no `manual_dir`."
        )
    path = Path(with_home("manual_dir", manual_dir))
    names = [file.name for file in dataset.files]
    takes_npz = dataset.read_npz is not None
    if os.path.isfile(path):
        if takes_npz and path.suffix == ".npz":
            return path
        if names == [path.name]:
            return path.parent
        problem = "is the file {!r}"
    elif not os.path.isdir(path):
        problem = "is {!r}, no such folder that you may read,"
    else:
        missing = [name for name in names if not os.path.exists(path / name)]
        arrays = sorted(path.glob("*.npz"))
        if not missing:
            return path
        if takes_npz and len(arrays) == 1:
            return arrays[0]
        problem = f"{{!r}} lacks {', '.join(missing)} (or does not let you see it)"
    raise InvalidValue(
        f"`manual_dir` {problem.format(str(path))} but must be {dataset.manual}. "
        f"{dataset.where}"
    )


def _read_manual(dataset: PublishedDataset, place: Path) -> Dataset:
    if dataset.read_npz is not None and not place.is_dir():
        return dataset.read_npz(place)
    arrays = []
    for file in dataset.files:
        path = place / file.name
        try:
            arrays.append(dataset.parse(_read(path, file)))
        except OSError as error:
            raise OSError(
                f"{path} cannot be read ({error.strerror}), but it must be a file that "
                "you may read; change its permissions or fetch it again."
            ) from error
        except InvalidValue as error:
            raise InvalidValue(
                f"{path} {error}; delete it and fetch {dataset.title} again from "
                f"{file.url}."
            ) from error
    return _as_dataset(dataset, arrays, "manual", f"from {place}")


def _read(path: Path, file: PublishedFile) -> bytes:
    return _verified(read_regular(path, MOST_BYTES), file)


def _verified(content: bytes, file: PublishedFile) -> bytes:
    """`content`, which is that of the published file: so what would fill the memory is
    never decompressed. The error is the end of a sentence."""
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise InvalidValue(
            f"is not the published file: it has {len(content)} bytes and SHA-256 "
            f"{sha256[:12]}…, but {file.name} has {file.size} bytes and "
            f"{file.sha256[:12]}…"
        )
    return content


def _cache_folder(
    dataset: PublishedDataset, data_dir: str | os.PathLike[str] | None
) -> Path:
    """Where TFDS keeps downloads: `data_dir`, or TFDS_DATA_DIR, or its default."""
    root = os.fspath(
        data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    )
    if "://" in root:  # It would become a local folder named "gs:".
        raise InvalidValue(
            f"`data_dir` is {root!r} but {dataset.title} is cached in a local folder; "
            "pass a local `data_dir` (or set TFDS_DATA_DIR to one)."
        )
    return Path(with_home("data_dir", root)) / "downloads" / dataset.name


def _download(
    dataset: PublishedDataset, files: Sequence[PublishedFile], cache: Path, remark: str
) -> dict[PublishedFile, Arrays]:
    """The arrays of `files`, which are stored in the cache, over what is there.

    A file gets its name there when it has arrived whole and verified: neither an
    interruption nor a second process can leave half of one.

    Args:
      remark: what the message adds about the state of the cache.
    """
    host, arrays = urlsplit(files[0].url).netloc, {}
    do = (
        "run again with a network, or pass `manual_dir` (in a program "
        f"`--data.manual-dir`), {dataset.manual}"
    )
    try:
        probe(files[0].url)
        cache.mkdir(parents=True, exist_ok=True)
        for file in files:
            content = _verified(fetch(file.url, file.size), file)
            draft = cache / f".jboltz-{os.getpid()}-{file.cached_as}"
            try:
                draft.write_bytes(content)
                draft.replace(cache / file.cached_as)
            finally:
                draft.unlink(missing_ok=True)
            arrays[file] = dataset.parse(content)
    except InvalidValue as error:
        raise InvalidValue(
            f"what {host} sent is not {dataset.title} (it {error}), perhaps a log-in "
            f"page; nothing of it was kept; {do}."
        ) from error
    except ConnectionError as error:
        raise ConnectionError(
            f"{dataset.title} is not complete in {cache}{remark} and must come from "
            f"{host}, which failed ({error}); {do}."
        ) from error
    except OSError as error:
        raise OSError(
            f"{cache} cannot be written ({error.strerror or error}), but "
            f"{dataset.title} goes there; pass another `data_dir`, or set "
            "TFDS_DATA_DIR."
        ) from error
    return arrays


def _as_dataset(
    dataset: PublishedDataset, files: Sequence[Arrays], source: str, origin: str
) -> Dataset:
    """The arrays of all files, in order, as a record that says where they are from."""
    train, train_labels, test, test_labels = (array for file in files for array in file)
    data = from_arrays(
        train,
        test,
        train_labels=train_labels,
        test_labels=test_labels,
        name=dataset.name,
    )
    size = f"{len(train)} training and {len(test)} test images"
    note = f"{dataset.title}: {size}, {origin}."
    return dataclasses.replace(data, source=source, note=note)
