"""The process of a program: the signals that end it, and its standard streams."""

import contextlib
import errno
import functools
import io
import os
import pathlib
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from jboltz.errors import JboltzError

_SIGNALS = [x for x in signal.Signals if x.name in ("SIGINT", "SIGTERM", "SIGHUP")]

_PATIENCE = 1.0
"""Seconds that a terminal has to take the last line."""


@functools.cache
def take_over() -> None:
    """Makes this process the program's own; a second call does nothing.

    SIGINT, SIGTERM and SIGHUP end the process at once, whatever it is doing, with a
    line that says how to go on and status 128 + the signal's number. Nothing is lost by
    that: every file of a workdir is written whole or not at all. An exception would be
    less: raised at any moment, as KeyboardInterrupt is, XLA swallows it in its
    callbacks, and its threads may crash while the interpreter ends. A signal that is
    ignored, as nohup ignores SIGHUP, stays ignored.

    `program.main` calls this; a program of one's own may, before it imports JAX.

    Standard output that is closed, full or a broken pipe does not end the program, and
    characters that it cannot encode are written as escapes.
    """
    _open_streams()
    reader, writer = socket.socketpair()  # On Windows a pipe would not do.
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach())
    # A thread, because the main one may be inside XLA for minutes.
    threading.Thread(target=_leave_at_signal, args=(reader,), daemon=True).start()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _wait_for_the_end)
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=functools.partial(_give_back, before))


def finish() -> None:
    """From here on no signal counts: all is done, and the interpreter ends."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _wait_for_the_end:
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def errors_as_lines() -> Iterator[None]:
    """Makes an error that jboltz raises on purpose, or any from the operating system, a
    message and exit status 2."""
    try:
        yield
    except (JboltzError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            print("What was saved is kept: make room, and the same command goes on.")
        sys.exit(2)


def command() -> str:
    """What was run, without its flags: "python -m jboltz.experiments.dbn_mnist"."""
    interpreter, *words = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    return shlex.join([pathlib.Path(interpreter).name, *words])


def _give_back(before: Mapping[signal.Signals, Any]) -> None:
    # A signal that ends a forked child would end its parent, which reads the same.
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def _wait_for_the_end(*_: Any) -> None:
    # The main thread does nothing more, such as to write results.
    time.sleep(2 * _PATIENCE)


def _leave_at_signal(reader: socket.socket) -> None:
    while (number := reader.recv(1)[0]) not in _SIGNALS:
        pass
    # A thread of its own, because writing to a pipe that nobody reads takes for ever.
    last = threading.Thread(target=_say_stopped, daemon=True)
    last.start()
    last.join(_PATIENCE)
    os._exit(128 + number)


def _say_stopped() -> None:
    # Straight to the file: the main thread may hold the locks of `sys.stdout`. And from
    # here on nobody else writes to it, such as the bar, which also hides the cursor.
    line = f"Stopped. The same command goes on: {shlex.join(sys.orig_argv)}\n"
    with contextlib.suppress(OSError):
        output = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        clear = b"\r\x1b[K\x1b[?25h" if os.isatty(output) else b""
        os.write(output, clear + os.fsencode(line))


def _open_streams() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # It was closed; the next file to be opened must not get it.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")
        lasting = io.TextIOWrapper(
            _Lasting(stream),
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=True,  # A log in a file should show where the run is.
        )
        setattr(sys, name, lasting)


class _Lasting(io.RawIOBase):
    """A file that is written to; the null device once that fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def name(self) -> str:
        return self._stream.name

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        try:
            self._stream.buffer.write(content)
            self._stream.buffer.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            reason = f"cannot be written ({error.strerror}); the program goes on"
            line = f"warning: {self.name} {reason} without it.\n"
            with contextlib.suppress(OSError):
                os.write(2, os.fsencode(line))
        return len(content)
