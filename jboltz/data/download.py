"""Published files through TFDS: its cache, its checksums, its download, our patience.

TFDS alone waits 205 s on a machine without network and for ever on a server that stops
sending, and it trusts a cached file by its name (all observed with 4.9.10). So files
are looked up and verified here, and TFDS downloads into a folder of this process,
from which whole files are moved into its cache: neither an interruption nor a second
process can leave half a file there.
"""

import contextlib
import os
import queue
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jboltz.data.published import PublishedDataset, PublishedFile
from jboltz.errors import InvalidValue, MissingPackage

# Seconds. A host that is there answers in well under one; a stalled transfer is one
# that sends nothing at all, however slow the network.
PROBE_SECONDS = 4.0
STALL_SECONDS = 20.0

# The limits are set on modules of TFDS, so two threads must not set them at once.
_tfds_lock = threading.Lock()


def published_files(dataset: PublishedDataset) -> list[PublishedFile]:
    """The files of a data set, in its order, as TFDS registers them.

    Raises:
      ImportError: TFDS is not installed.
    """
    try:
        import tensorflow_datasets as tfds

        registered = tfds.builder_cls(dataset.name).url_infos or {}
    except ImportError as error:
        raise MissingPackage(
            f"{dataset.title}'s files are fetched and verified by TFDS, which cannot "
            f"be imported ({error}); install it with: pip install "
            "'jboltz[experiments]'"
        ) from error
    published = [
        PublishedFile(url, int(info.size), info.checksum)
        for url, info in registered.items()
    ]
    files = {file.name: file for file in published}
    return [files[name] for name in dataset.file_names]


def cache_folder(
    dataset: PublishedDataset, data_dir: str | os.PathLike[str] | None
) -> Path:
    """Where TFDS keeps downloads: below `data_dir`, else TFDS_DATA_DIR, else its own.

    Raises:
      ValueError: a bucket, which would become a local folder named "gs:".
    """
    from tensorflow_datasets.core import constants

    root = os.fspath(data_dir or constants.DATA_DIR)
    if "://" in root:
        raise InvalidValue(
            f"`data_dir` is {root!r} but {dataset.title} is cached in a local folder; "
            "pass a local `data_dir` (or set TFDS_DATA_DIR to one)."
        )
    return Path(root).expanduser() / "downloads"


def cached_path(dataset: PublishedDataset, cache: Path, file: PublishedFile) -> Path:
    """The name under which TFDS caches a file."""
    from tensorflow_datasets.core.download import resource

    return cache / dataset.name / resource.get_dl_fname(file.url, file.sha256)


def fetch(
    dataset: PublishedDataset,
    files: Sequence[PublishedFile],
    cache: Path,
    remark: str = "",
) -> None:
    """Download `files` into TFDS's cache, over what is there.

    Args:
      files: what is missing or damaged there.
      cache: as `cache_folder` says.
      remark: what the message adds about the state of the cache.

    Raises:
      ConnectionError: no answer in time, an error status, or nothing sent for
        `STALL_SECONDS`.
      OSError: the folder cannot be written.
      ValueError: what came is not the published file.
    """
    import tensorflow_datasets as tfds

    urls = [file.url for file in files]
    folder = cache / dataset.name
    with _explained(dataset, urlsplit(urls[0]).netloc, cache, remark):
        _probe(urls[0], PROBE_SECONDS)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix="jboltz-", dir=cache, ignore_cleanup_errors=True
        ) as own:
            manager = tfds.download.DownloadManager(
                download_dir=own,
                dataset_name=dataset.name,
                force_checksums_validation=True,
            )
            try:
                # One by one: TFDS's other threads would write on after a failure.
                with _tfds_lock, _tfds_limits():
                    for url in urls:
                        manager.download(url)
            finally:
                # Also after a failure: what arrived whole need not be sent again.
                for path in Path(own, dataset.name).glob("*.gz*"):
                    if path.is_file():
                        path.replace(folder / path.name)


@contextlib.contextmanager
def _explained(
    dataset: PublishedDataset, host: str, cache: Path, remark: str
) -> Iterator[None]:
    """What `requests`, TFDS and the disk raise, as built-in errors with advice."""
    import requests
    from tensorflow_datasets.core.download import download_manager, util

    do = f"run again with a network, or pass `manual_dir`, {dataset.manual}"
    try:
        yield
    except download_manager.NonMatchingChecksumError as error:
        raise InvalidValue(
            f"what {host} sent is not {dataset.title} (wrong checksum), perhaps a "
            f"log-in page; nothing of it was kept; {do}."
        ) from error
    except (requests.RequestException, util.DownloadError, TimeoutError) as error:
        raise ConnectionError(
            f"{dataset.title} is not complete in {cache}{remark} and must come from "
            f"{host}, which failed ({_innermost(error)}); {do}."
        ) from error
    except OSError as error:
        raise OSError(
            f"{cache} cannot be written ({error.strerror or error}), but "
            f"{dataset.title} goes there; pass another `data_dir`, or set "
            "TFDS_DATA_DIR."
        ) from error


def _probe(url: str, seconds: float) -> None:
    """`url` answers within `seconds`, in any way, or raise.

    In a daemon thread, because a name look-up obeys no timeout. Through `requests`,
    because then it takes the same proxy as the download.
    """
    import requests

    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            requests.head(url, timeout=seconds)
        except Exception as error:
            answers.put(error)
        else:
            answers.put(None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        failure = answers.get(timeout=seconds)
    except queue.Empty:
        failure = TimeoutError(f"no answer within {seconds:g} s")
    if failure is not None:
        raise failure


@contextlib.contextmanager
def _tfds_limits() -> Iterator[None]:
    """TFDS's downloader with one retry, time limits, and nothing on the terminal.

    TFDS offers no option for any of these. A name that a later version does not have
    is left out: the download then works, with that version's own patience.
    """
    from tensorflow_datasets.core.download import downloader
    from tensorflow_datasets.core.utils import tqdm_utils

    over = threading.Event()
    open_url = getattr(downloader, "_open_with_requests", None)

    def until_over(blocks: Iterable[bytes]) -> Iterator[bytes]:
        # TFDS's thread outlives a Ctrl-C, and the interpreter waits for it.
        for block in blocks:
            if over.is_set():
                raise ConnectionAbortedError("the download was given up")
            yield block

    @contextlib.contextmanager
    def open_with_limits(url: str, **options: Any) -> Iterator[tuple[Any, Any]]:
        assert open_url is not None  # else not installed, below
        options["timeout"] = (STALL_SECONDS, STALL_SECONDS)
        with open_url(url, **options) as (response, blocks):
            yield response, until_over(blocks)

    # No retry: urllib3 would announce each on the terminal, and calling again is
    # free of loss.
    originals = []
    for module, name, value in (
        (downloader, "MAX_RETRIES", 0),
        (downloader, "_open_with_requests", open_with_limits),
        (tqdm_utils, "_active", False),
    ):
        if hasattr(module, name):
            originals.append((module, name, getattr(module, name)))
            setattr(module, name, value)
    try:
        yield
    finally:
        over.set()
        for module, name, value in originals:
            setattr(module, name, value)


def _innermost(error: BaseException) -> str:
    """The cause that `requests` and urllib3 wrap in several lines of their own."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
