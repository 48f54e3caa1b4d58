"""MNIST's files through TFDS: its cache, its checksums, its download, our patience.

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
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jboltz.data.idx import PublishedFile

FILE_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)

# Seconds. A host that is there answers in well under one; a stalled transfer is one
# that sends nothing at all, however slow the network.
PROBE_SECONDS = 4.0
STALL_SECONDS = 20.0

# The limits are set on modules of TFDS, so two threads must not set them at once.
_tfds_lock = threading.Lock()


def published_files() -> tuple[PublishedFile, ...]:
    """MNIST's four files with the addresses and checksums that TFDS registers.

    Raises:
      ImportError: TFDS is not installed.
    """
    try:
        from tensorflow_datasets.core.download import checksums
        from tensorflow_datasets.image_classification.mnist import MNIST
    except ImportError as error:
        raise ImportError(
            f"MNIST's files are fetched and verified by TFDS, which cannot be imported "
            f"({error}); install it with: pip install 'jboltz[experiments]'"
        ) from error
    registered = checksums.get_all_url_infos()
    urls = [MNIST.URL + name for name in FILE_NAMES]
    return tuple(
        PublishedFile(url, int(registered[url].size), registered[url].checksum)
        for url in urls
    )


def cache_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    """Where TFDS keeps downloads: below `data_dir`, else TFDS_DATA_DIR, else its own.

    Raises:
      ValueError: a bucket, which would become a local folder named "gs:".
    """
    from tensorflow_datasets.core import constants

    root = os.fspath(data_dir or constants.DATA_DIR)
    if "://" in root:
        raise ValueError(
            f"`data_dir` is {root!r} but MNIST is cached in a local folder; pass a "
            "local `data_dir` (or set TFDS_DATA_DIR to one)."
        )
    return Path(root).expanduser() / "downloads"


def cached_path(folder: Path, published: PublishedFile) -> Path:
    """The name under which TFDS caches a file of the data set "mnist"."""
    from tensorflow_datasets.core.download import resource

    return folder / "mnist" / resource.get_dl_fname(published.url, published.sha256)


def fetch(files: Iterable[PublishedFile], folder: Path, remark: str = "") -> None:
    """Download `files` into TFDS's cache in `folder`, over what is there.

    Args:
      files: what is missing or damaged there.
      folder: as `cache_folder` says.
      remark: what the message adds about the state of the folder.

    Raises:
      ConnectionError: no answer in time, an error status, or nothing sent for
        `STALL_SECONDS`.
      OSError: the folder cannot be written.
      ValueError: what came is not the published file.
    """
    import tensorflow_datasets as tfds

    urls = [published.url for published in files]
    with _explained(urlsplit(urls[0]).netloc, folder, remark):
        _probe(urls[0], PROBE_SECONDS)
        (folder / "mnist").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix="jboltz-", dir=folder, ignore_cleanup_errors=True
        ) as own:
            manager = tfds.download.DownloadManager(
                download_dir=own, dataset_name="mnist", force_checksums_validation=True
            )
            try:
                # One by one: TFDS's other threads would write on after a failure.
                with _tfds_lock, _tfds_limits():
                    for url in urls:
                        manager.download(url)
            finally:
                # Also after a failure: what arrived whole need not be sent again.
                for path in Path(own, "mnist").glob("*.gz*"):
                    if path.is_file():
                        path.replace(folder / "mnist" / path.name)


@contextlib.contextmanager
def _explained(host: str, folder: Path, remark: str) -> Iterator[None]:
    """What `requests`, TFDS and the disk raise, as built-in errors with advice."""
    import requests
    from tensorflow_datasets.core.download import download_manager, util

    do = (
        "run again with a network, or pass `manual_dir`, a folder with the four .gz "
        "files"
    )
    try:
        yield
    except download_manager.NonMatchingChecksumError as error:
        raise ValueError(
            f"what {host} sent is not MNIST (wrong checksum), perhaps a log-in page; "
            f"nothing of it was kept; {do}."
        ) from error
    except (requests.RequestException, util.DownloadError, TimeoutError) as error:
        raise ConnectionError(
            f"MNIST is not complete in {folder}{remark} and must come from {host}, "
            f"which failed ({_innermost(error)}); {do}."
        ) from error
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written ({error.strerror or error}), but MNIST goes "
            "there; pass another `data_dir`, or set TFDS_DATA_DIR."
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
