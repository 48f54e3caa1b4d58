"""The processes of contestants: each builds works, and runs them when it is asked to.

While no one asks it blocks in a read from a pipe.
"""

import contextlib
import importlib.util
import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any

import jax
import numpy as np

from jboltz.experiments.benchmark import peers
from jboltz.experiments.benchmark.works import Work
from jboltz.runs import machine

STEADY, MOST_CALLS = 0.1, 6
"""Times stand when two consecutive calls differ by no more than this share. Warming up
ends at the latest after so many calls."""


def serve(connection: Connection) -> None:
    """Answers what it is sent until the connection ends, and first that it is there.

    Sent a function that builds a work, it answers with the outcome of the first call
    and with what is known of the process; with None where the contestant cannot take
    part. Sent a number of calls of that work, it answers with their mean seconds. An
    answer that is a text says what failed.
    """
    # The seconds to compile are those of a first run.
    jax.config.update("jax_enable_compilation_cache", False)
    work = None
    with contextlib.suppress(EOFError, BrokenPipeError):  # The parent has gone.
        connection.send(True)
        while True:
            request = connection.recv()
            try:
                if work is not None and isinstance(request, int):
                    answer = _seconds(work, request)
                else:
                    work = None  # Its arrays are freed before there are new ones.
                    answer, work = begin(request)
            except Exception:
                answer = traceback.format_exc()
            connection.send(answer)


def begin(
    build: Callable[[], Work | None],
) -> tuple[dict[str, Any] | None, Work | None]:
    """Builds a work, calls it once and warms it up: what comes of that, and the work.

    Both are None where the contestant cannot take part.
    """
    clock = machine.Clock()
    if (work := build()) is None:
        return None, None
    start = time.perf_counter()
    outcome = tuple(np.array(x) for x in work())  # Copies: JAX donates.
    answer = {
        "outcome": outcome,
        "first_seconds": time.perf_counter() - start,
        "compile_seconds": clock.costs()["compile_seconds"],
        "warm_up": warm_up(work),
        "peak_memory_mb": machine.peak_memory_mb(),
        **conditions(),
    }
    return answer, work


def warm_up(work: Work) -> list[float]:
    """Calls the work until its times stand; their seconds."""
    seconds = [_seconds(work, 1)]
    while len(seconds) < MOST_CALLS:
        seconds.append(_seconds(work, 1))
        if max(seconds[-2:]) <= (1 + STEADY) * min(seconds[-2:]):
            break
    return seconds


def _seconds(work: Work, calls: int) -> float:
    """The mean seconds of a call."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def conditions() -> dict[str, Any]:
    """Threads of the libraries, affinity and denormals, as they are in this process."""
    pools = []
    if importlib.util.find_spec("threadpoolctl"):
        import threadpoolctl  # pyright: ignore[reportMissingImports]

        keys = ("internal_api", "num_threads", "version", "architecture")
        found = threadpoolctl.threadpool_info()
        pools = [{k: pool.get(k) for k in keys} for pool in found]
    return {
        "affinity": peers.affinity(),
        "thread_pools": pools,
        "flushes_denormals": bool(np.float32(1e-39) * np.float32(0.5) == 0),
    }


class Processes:
    """The processes of contestants, by name; a context, in which they live."""

    def __init__(self, names: Iterable[str]) -> None:
        """Starts one for each name whose package is there, all at the same time."""
        context, self._ends = multiprocessing.get_context("spawn"), {}
        self._processes = {}
        # They inherit this: on Ctrl-C it is the parent that ends them.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for name in filter(peers.takes_part, names):
            self._ends[name], theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._processes[name] = process
        signal.signal(signal.SIGINT, handler)

    def __contains__(self, name: str) -> bool:
        return name in self._ends

    def __enter__(self) -> "Processes":
        for name in self._ends:
            self._answer(name)  # It is there.
        return self

    def __exit__(self, *_: Any) -> None:
        for end in self._ends.values():
            end.close()  # Its process reads no more, and leaves.
        for process in self._processes.values():
            process.join(5)
            process.kill()
            process.join()

    def ask(self, name: str, request: Any) -> Any:
        """What `serve` answers.

        Raises:
          ChildProcessError: the process failed; with what it said.
        """
        self._ends[name].send(request)
        return self._answer(name)

    def _answer(self, name: str) -> Any:
        try:
            answer = self._ends[name].recv()
        except EOFError:
            self._processes[name].join()
            status = self._processes[name].exitcode
            answer = f"its process ended with status {status}"
        if isinstance(answer, str):
            raise ChildProcessError(f"{peers.LABELS[name]}: {answer}")
        return answer
