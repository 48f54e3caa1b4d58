"""Files from the network, with limits on time and size."""

import queue
import threading

from jboltz.errors import InvalidValue, import_extra

# Seconds. A host that is there answers in well under one; a stalled transfer is one
# that sends nothing at all, however slow the network.
PROBE_SECONDS = 4.0
STALL_SECONDS = 20.0


def probe(url: str) -> None:
    """Refuses a `url` that does not answer within `PROBE_SECONDS`, in any way.

    Raises:
      ConnectionError: it does not.
      ImportError: Requests is not installed.
    """
    requests = import_extra("experiments", "requests", "A download")
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
    requests = import_extra("experiments", "requests", "A download")
    content = bytearray()
    try:
        with requests.get(url, stream=True, timeout=STALL_SECONDS) as response:
            response.raise_for_status()
            for chunk in response.iter_content(2**16):
                content += chunk
                if len(content) > most:
                    raise InvalidValue(f"is longer than {most} bytes")
    except requests.RequestException as error:
        raise ConnectionError(_innermost(error)) from error
    return bytes(content)


def _innermost(error: BaseException) -> str:
    """The cause that `requests` and urllib3 wrap in several lines of their own."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
