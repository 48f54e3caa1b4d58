"""The process of one contestant: it builds works, and runs them when it is asked to.

While no one asks it blocks in a read from a pipe.
"""

import contextlib
import importlib.util
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import jax
import numpy as np

from jboltz.experiments.benchmark import peers
from jboltz.runs import machine

Outcome: TypeAlias = tuple[Any, ...]
"""Arrays of jboltz, NumPy or PyTorch."""

Work: TypeAlias = Callable[[], Outcome]
"""All of the work that a contestant is timed for. It has finished when it returns, and
it returns what it computed, so that the work can be checked."""

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
    seconds: list[float] = []
    while len(seconds) < MOST_CALLS:
        seconds.append(_seconds(work, 1))
        last = seconds[-2:]
        if len(last) == 2 and max(last) <= (1 + STEADY) * min(last):
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
