"""The process of one contestant: it builds a work, and runs it when it is asked to.

While no one asks it blocks in a read from a pipe.
"""

import importlib.util
import math
import os
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import numpy as np

from jboltz.runs import machine

Outcome: TypeAlias = tuple[Any, ...]
"""Arrays of jboltz, NumPy or PyTorch."""

Work: TypeAlias = Callable[[], Outcome]
"""All of the work that a contestant is timed for. It has finished when it returns, and
it returns what it computed, so that the work can be checked."""

STEADY, MOST_CALLS, MOST_SECONDS = 0.05, 10, 8.0
"""Times stand when the last three calls differ by no more than this share. Warming up
ends at the latest after so many calls or seconds."""


def serve(connection: Connection, build: Callable[[], Work | None]) -> None:
    """Answers the first request with the outcome of the first call and what is known of
    the process, and each later one, a number of calls, with their mean seconds.

    An answer is None where the contestant cannot take part, and a text where it failed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides when to end.
    work = None
    try:
        while (calls := connection.recv()) is not None:
            if work is not None:
                connection.send(_seconds(work, calls))
                continue
            clock, before = machine.Clock(), machine.peak_memory_mb()
            if (work := build()) is None:
                connection.send(None)
                return
            start = time.perf_counter()
            outcome = tuple(np.array(x) for x in work())  # Copies: JAX donates.
            first = time.perf_counter() - start
            after = machine.peak_memory_mb()
            warm = warm_up(work)
            connection.send(
                {
                    "outcome": outcome,
                    "first_seconds": first,
                    "compile_seconds": clock.costs()["compile_seconds"],
                    "warm_up": warm,
                    "peak_memory_mb": {"before": before, "after": after},
                    **conditions(),
                }
            )
    except EOFError:
        return
    except Exception:
        connection.send(traceback.format_exc())


def warm_up(work: Work) -> list[float]:
    """Calls the work until its times stand; their seconds."""
    seconds: list[float] = []
    while len(seconds) < MOST_CALLS and sum(seconds) < MOST_SECONDS:
        seconds.append(_seconds(work, 1))
        last = seconds[-3:]
        if len(last) == 3 and max(last) <= (1 + STEADY) * min(last):
            break
    return seconds


def calls_for(seconds: float, warm: list[float]) -> int:
    """The calls that take so many seconds, by the last time of warming up."""
    return max(1, math.ceil(seconds / warm[-1]))


def _seconds(work: Work, calls: int) -> float:
    """The mean seconds of a call."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def conditions() -> dict[str, Any]:
    """Threads of the libraries, affinity and denormals, as they are in this process."""
    has_affinity = hasattr(os, "sched_getaffinity")  # Not on macOS and Windows.
    pools = []
    if importlib.util.find_spec("threadpoolctl"):
        import threadpoolctl  # pyright: ignore[reportMissingImports]

        keys = ("internal_api", "num_threads", "version", "architecture")
        found = threadpoolctl.threadpool_info()
        pools = [{k: pool.get(k) for k in keys} for pool in found]
    return {
        "affinity": sorted(os.sched_getaffinity(0)) if has_affinity else None,
        "thread_pools": pools,
        "flushes_denormals": bool(np.float32(1e-39) * np.float32(0.5) == 0),
    }
