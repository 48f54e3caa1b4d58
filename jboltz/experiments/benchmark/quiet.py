"""Whether the machine is quiet: its load and its speed, round by round."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import timeit
from collections.abc import Iterator
from typing import Any

import numpy as np

from jboltz.errors import InvalidValue

TOLERANCE = 0.1
"""By how much load and speed may move, as shares of all cores and of the usual."""

INSTRUCTION_SETS = (
    r"avx2|fma|avx512f|avx512_(?:bf16|fp16|vnni)|amx_\w+|asimd|sve2?|bf16"
)


class Observer:
    """Watches the rounds of a contest."""

    def __init__(self) -> None:
        self.loads: list[float] = []
        self.speeds: list[float] = []

    @contextlib.contextmanager
    def round(self) -> Iterator[None]:
        """Notes the load of others, and the speed of a core at the beginning."""
        self.speeds.append(speed())
        start, ours = _busy_and_all(), _of_family()
        yield
        busy, every = np.subtract(_busy_and_all(), start)
        others = busy - (_of_family() - ours)
        self.loads.append(float(max(others, 0) / every) if every > 0 else 0.0)

    def disturbed(self) -> list[str]:
        """A line for each round in which load or speed moved by more than a tenth."""
        lines, usual = [], np.median(self.speeds)
        rounds = zip(self.loads, self.speeds, strict=True)
        for index, (load, now) in enumerate(rounds, start=1):
            moved = now / usual
            if load > TOLERANCE:
                lines.append(f"round {index}: others took {load:.0%} of the cores")
            if abs(moved - 1) > TOLERANCE:
                lines.append(f"round {index}: a core ran at {moved:.0%} of its speed")
        return lines


def speed() -> float:
    """How fast one core runs: turns a second of a loop that touches no memory.

    Its clock moves that, and what its host takes away.
    """
    return 20_000 / min(timeit.repeat(number=20_000))


def _busy_and_all() -> tuple[float, float]:
    """Seconds that all cores have worked, and have had, since the start of the machine.

    Zeros where the system does not tell. What a host takes away counts as work.
    """
    file = pathlib.Path("/proc/stat")
    if not file.exists():
        return 0.0, 0.0
    values = [int(x) for x in file.read_text().split("\n", 1)[0].split()[1:9]]
    idle, total = values[3] + values[4], sum(values)
    ticks = os.sysconf("SC_CLK_TCK")
    return (total - idle) / ticks, total / ticks


def _of_family() -> float:
    """Seconds that this process and its living children have computed."""
    own = sum(os.times()[:2])
    for file in pathlib.Path("/proc/self/task").glob("*/children"):
        for child in file.read_text().split():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(f"/proc/{child}/stat").read_text()
                fields = stat.rpartition(")")[2].split()
                ticks = os.sysconf("SC_CLK_TCK")
                own += (int(fields[11]) + int(fields[12])) / ticks
    return own


def settings() -> dict[str, Any]:
    """The instruction sets of the processor, what OpenMP is told, and the load."""
    file = pathlib.Path("/proc/cpuinfo")
    words = set(file.read_text().split()) if file.exists() else set()
    families = ("OMP_", "KMP_", "GOMP_")
    openmp = {k: x for k, x in os.environ.items() if k.startswith(families)}
    return {
        "instruction_sets": sorted(
            x for x in words if re.fullmatch(INSTRUCTION_SETS, x)
        ),
        "openmp": {"OMP_WAIT_POLICY": "not set", **openmp},
        "load_average_before": os.getloadavg()[0] if os.name == "posix" else None,
    }


def require_known_flags() -> None:
    """Asks XLA, in a process of its own, whether it knows the flags that it is given.

    Raises:
      ValueError: it does not; XLA itself would end the process.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    found = subprocess.run(command, capture_output=True, text=True)
    if unknown := re.search(r"Unknown flags? in XLA_FLAGS: *(.+)", found.stderr):
        raise InvalidValue(
            f"`XLA_FLAGS` is {flags!r}, of which this XLA does not know "
            f"{unknown.group(1).strip()}; take it out of XLA_FLAGS."
        )
