"""Published files by Pooch, kept where TFDS keeps its downloads."""

import contextlib
import io
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jboltz.data.published import PublishedDataset, PublishedFile, read_published
from jboltz.errors import InvalidValue, MissingPackage

# Seconds. A host that is there answers in well under one; a stalled transfer is one
# that sends nothing at all, however slow the network.
PROBE_SECONDS = 4.0
STALL_SECONDS = 20.0


def cache_folder(
    dataset: PublishedDataset, data_dir: str | os.PathLike[str] | None
) -> Path:
    """Where TFDS keeps downloads: below `data_dir`, else TFDS_DATA_DIR, else its own.

    Raises:
      ValueError: a bucket, which would become a local folder named "gs:".
    """
    root = os.fspath(
        data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    )
    if "://" in root:
        raise InvalidValue(
            f"`data_dir` is {root!r} but {dataset.title} is cached in a local folder; "
            "pass a local `data_dir` (or set TFDS_DATA_DIR to one)."
        )
    return Path(root).expanduser() / "downloads" / dataset.name


def fetch(
    dataset: PublishedDataset,
    files: Sequence[PublishedFile],
    cache: Path,
    remark: str = "",
) -> None:
    """Download `files` into the cache, over what is there.

    A file gets its name there when it has arrived whole and verified: neither an
    interruption nor a second process can leave half of one.

    Args:
      files: what is missing or damaged there.
      cache: as `cache_folder` says.
      remark: what the message adds about the state of the cache.

    Raises:
      ConnectionError: no answer in time, an error status, or nothing sent for
        `STALL_SECONDS`.
      ImportError: Pooch is not installed.
      OSError: the folder cannot be written.
      ValueError: what came is not the published file.
    """
    try:
        import pooch
    except ImportError as error:
        raise MissingPackage(
            f"{dataset.title} is downloaded by Pooch, which cannot be imported "
            f"({error}); install it with: pip install 'jboltz[experiments]'"
        ) from error
    # Nothing is tried again: what arrived is kept, and calling again is free of loss.
    limits = (STALL_SECONDS, STALL_SECONDS)
    answers = contextlib.ExitStack()

    def close_in_the_end(response: Any, *_: Any, **__: Any) -> None:
        answers.callback(response.close)  # Pooch leaves open what fails.

    download = pooch.HTTPDownloader(
        timeout=limits, chunk_size=2**16, hooks={"response": close_in_the_end}
    )
    with answers, _explained(dataset, urlsplit(files[0].url).netloc, cache, remark):
        _probe(files[0].url, PROBE_SECONDS)
        cache.mkdir(parents=True, exist_ok=True)
        for draft in cache.glob(".jboltz-*"):  # of processes that were killed
            if time.time() - draft.stat().st_mtime > 10 * STALL_SECONDS:
                draft.unlink(missing_ok=True)
        for file in files:
            draft = cache / f".jboltz-{os.getpid()}-{file.cached_as}"
            try:
                with _Bounded(draft, "wb") as output:
                    output.most = file.size
                    download(file.url, output, None)
                read_published(draft, file)
                draft.replace(cache / file.cached_as)
            finally:
                draft.unlink(missing_ok=True)


class _Bounded(io.FileIO):
    """A file that refuses what would make it longer than `most`, whoever sends it."""

    most = 0

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > self.most:
            raise InvalidValue(f"is longer than {self.most} bytes")
        return super().write(data)


@contextlib.contextmanager
def _explained(
    dataset: PublishedDataset, host: str, cache: Path, remark: str
) -> Iterator[None]:
    """What `requests` and the disk raise, as built-in errors with advice."""
    import requests  # Pooch needs it, too.

    do = f"run again with a network, or pass `manual_dir`, {dataset.manual}"
    try:
        yield
    except InvalidValue as error:
        raise InvalidValue(
            f"what {host} sent is not {dataset.title} (it {error}), perhaps a log-in "
            f"page; nothing of it was kept; {do}."
        ) from error
    except (requests.RequestException, TimeoutError) as error:
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


def _innermost(error: BaseException) -> str:
    """The cause that `requests` and urllib3 wrap in several lines of their own."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
