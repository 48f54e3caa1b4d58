"""Programs killed at random moments, and what they leave beside a run left alone."""

import json
import os
import random
import subprocess
import sys
import time

from jboltz.experiments import (
    dbm_mnist,
    dbn_mnist,
    grbm_mnist,
    labels_mnist,
    rbm_mnist,
)

SMALL = "--data.source embedded --epochs 3 --batch-size 500".split()
ANNEALING = (
    "--ladder-scale 0.01 --ladder-check 0 --annealed-chains 20 --tempering-steps 8"
).split()
COMMANDS = {
    dbn_mnist: [*SMALL, *"--layers 784 20 10 --sample-steps 20".split()],
    rbm_mnist: [*SMALL, *ANNEALING, *"--num-hidden 10 --raise-points 2".split()],
    dbm_mnist: [
        *SMALL,
        *ANNEALING,
        *"--layers 784 10 8 --pretrain-epochs 2 --clamped-points 2".split(),
        *"--sample-steps 20".split(),
    ],
    grbm_mnist: [*SMALL, *"--num-hidden 10".split()],
    labels_mnist: [
        *SMALL,
        *"--layers 784 10 10 12 --up-down-epochs 1 1 --up-down-steps 1 1".split(),
        *"--sample-steps 5".split(),
    ],
}
MEASURED = {"seconds", "wall_seconds", "compile_seconds", "peak_memory_mb"}
"""What differs between two runs of one command."""


def command(program, workdir):
    name = program.__name__
    return [sys.executable, "-m", name, "--workdir", str(workdir), *COMMANDS[program]]


def finish(program, workdir, environment):
    """Runs a program to its end; returns its seconds."""
    started = time.monotonic()
    done = subprocess.run(
        command(program, workdir),
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - started


def kill(program, workdir, seconds, environment):
    """Whether the program was killed, after so many seconds, before it ended."""
    process = subprocess.Popen(
        command(program, workdir),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def without_times(tree):
    """What two runs of one command have in common, of their records."""
    if isinstance(tree, dict):
        return {
            name: without_times(value)
            for name, value in tree.items()
            if not any(word in name for word in MEASURED)
        }
    return [without_times(x) for x in tree] if isinstance(tree, list) else tree


def numbers(workdir):
    """Results, epochs, parameters and pixels of a finished run."""
    results = json.loads((workdir / "results.json").read_text())
    results.pop("config")  # It says the workdir.
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    pictures = sorted((workdir / "figures").glob("*.png"))
    return {
        "results": without_times(results),
        "metrics": sorted(
            json.dumps(without_times(json.loads(line))) for line in lines
        ),
        "figures": {file.name: file.read_bytes() for file in pictures},
        "model": (workdir / "model.safetensors").read_bytes(),
    }


def differences(one, other):
    return [name for name in one if one[name] != other[name]]


def survive(program, num_kills, folder, seed=0):
    """Kills a program so many times, at random moments of its whole length.

    Where it ends before a kill, its folder is left and another is begun; each folder
    ends with the numbers of the run that was left alone.
    """
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    moments, killed, number = random.Random(seed), 0, 0
    finish(program, folder / "first", environment)
    length = finish(program, folder / "alone", environment)
    alone = numbers(folder / "alone")
    while killed < num_kills:
        workdir = folder / f"killed-{number}"
        seconds = moments.uniform(0.1, length)
        if kill(program, workdir, seconds, environment):
            killed += 1
        if killed == num_kills or (workdir / "results.json").exists():
            finish(program, workdir, environment)
            found = differences(alone, numbers(workdir))
            assert not found, f"{workdir}: {found}"
            number += 1
    return killed, number, length
