"""Files from the network, by Pooch, with limits on time and size."""

import contextlib
import io
import queue
import threading
from types import ModuleType
from typing import Any

from jboltz.errors import InvalidValue, MissingPackage

# Seconds. A host that is there answers in well under one; a stalled transfer is one
# that sends nothing at all, however slow the network.
PROBE_SECONDS = 4.0
STALL_SECONDS = 20.0


def probe(url: str) -> None:
    """Refuses a `url` that does not answer within `PROBE_SECONDS`, in any way.

    Raises:
      ConnectionError: it does not.
      ImportError: Pooch is not installed.
    """
    _, requests = _libraries()
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            requests.head(url, timeout=PROBE_SECONDS)
        except Exception as error:
            answers.put(error)
        else:
            answers.put(None)

    # A name look-up obeys no timeout, and only a daemon thread lets the program end.
    threading.Thread(target=ask, daemon=True).start()
    try:
        failure = answers.get(timeout=PROBE_SECONDS)
    except queue.Empty:
        failure = TimeoutError(f"no answer within {PROBE_SECONDS:g} s")
    if failure is not None:
        raise ConnectionError(_innermost(failure)) from failure


def fetch(url: str, most: int) -> bytes:
    """The bytes at `url`. Nothing is tried again.

    Raises:
      ConnectionError: an error status, or nothing sent for `STALL_SECONDS`.
      ValueError: there are more than `most`, as the end of a sentence.
    """
    pooch, requests = _libraries()
    answers = contextlib.ExitStack()

    def close_in_the_end(response: Any, *_: Any, **__: Any) -> None:
        answers.callback(response.close)  # Pooch leaves open what fails.

    download = pooch.HTTPDownloader(
        timeout=(STALL_SECONDS, STALL_SECONDS),
        chunk_size=2**16,
        hooks={"response": close_in_the_end},
    )
    output = _Bounded()
    output.most = most
    try:
        with answers:
            download(url, output, None)
    except requests.RequestException as error:
        raise ConnectionError(_innermost(error)) from error
    return output.getvalue()


def _libraries() -> tuple[ModuleType, ModuleType]:
    """Pooch, and Requests, which Pooch downloads by."""
    try:
        import pooch
        import requests
    except ImportError as error:
        raise MissingPackage(
            f"Data are downloaded by Pooch, which cannot be imported ({error}); "
            "install it with: pip install 'jboltz[experiments]'"
        ) from error
    return pooch, requests


class _Bounded(io.BytesIO):
    """A buffer that refuses more than `most` bytes, whoever sends them."""

    most = 0

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > self.most:
            raise InvalidValue(f"is longer than {self.most} bytes")
        return super().write(data)


def _innermost(error: BaseException) -> str:
    """The cause that `requests` and urllib3 wrap in several lines of their own."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
