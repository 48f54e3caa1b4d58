"""The task `start`: from the command of the main job to the line of its first epoch.

Every start is a process of its own.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from jboltz.experiments.benchmark.contest import Record, summary
from jboltz.runs.sources import Mnist

ROUNDS = 3


def measure(data: Mnist) -> Record:
    """One start with an empty folder of compiled programs, and three with what that
    start left in it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        cache = pathlib.Path(folder) / "compiled"
        cold, *warm = (
            first_epoch(data, pathlib.Path(folder) / f"run_{index}", cache)
            for index in range(1 + ROUNDS)
        )
    return {
        "title": "Start of the main job, to the line of its first epoch",
        "starts": {"cold": summary([cold]), "warm": summary(warm)},
        "took_seconds": time.monotonic() - began,
    }


def describe(record: Record) -> str:
    """The record in a line."""
    starts = record["starts"].items()
    seconds = ", ".join(f"{k} {x['median']:.2f} s" for k, x in starts)
    return f"{record['title']}: {seconds}"


def first_epoch(data: Mnist, workdir: pathlib.Path, cache: pathlib.Path) -> float:
    """Seconds from the command to the line; the program is then stopped."""
    command = [sys.executable, "-m", "jboltz.experiments.dbn_mnist"]
    command += ["--workdir", str(workdir), "--data.source", data.source]
    if data.manual_dir is not None:
        command += ["--data.manual-dir", str(data.manual_dir)]
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    start, said = time.perf_counter(), []
    with subprocess.Popen(
        command,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        for line in program.stdout or ():
            said.append(line)
            if "epoch 1/" in line:
                seconds = time.perf_counter() - start
                program.kill()
                return seconds
    raise ChildProcessError(f"{' '.join(command)} ended early:\n{''.join(said)}")
