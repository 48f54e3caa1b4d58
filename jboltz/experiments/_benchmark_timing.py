"""The clock of `benchmark`: rounds, in which every contestant takes its turn."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from jboltz.experiments import _run

Work: TypeAlias = Callable[[], tuple[Any, ...]]
"""All of the work that a contestant is timed for. It has finished when it returns, and
hands back what it computed, so that the work can be checked."""

LABELS = {
    "jboltz": "jboltz",
    "products": "products alone",
    "torch": "PyTorch",
    "torch_loader": "PyTorch, DataLoader",
    "torch_notes": "the notes' PyTorch",
    "sklearn": "scikit-learn",
}

PAUSE = 0.2
"""Seconds before a measurement: the threads of the library before, which wait for more
work in a loop, go to sleep (OpenMP's after some milliseconds)."""

_IMPORTS = """
import time
start = time.perf_counter()
import jax
middle = time.perf_counter()
import jboltz
print(middle - start, time.perf_counter() - middle)
"""


def timed(work: Work) -> tuple[tuple[Any, ...], float]:
    """What the work computed, and its seconds."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    outcome = work()
    return outcome, time.perf_counter() - start


def rounds(
    task: str, works: Mapping[str, Work], count: int, *, seed: int
) -> dict[str, list[float]]:
    """Seconds of every work in each of `count` rounds.

    A disturbance of the machine meets neighbours in time alike, so works are compared
    within a round. Their order in it is random: none always follows the same one.
    """
    order, seconds = random.Random(seed), {name: [] for name in works}
    for index in range(count):
        for name in order.sample(list(works), len(works)):
            seconds[name].append(timed(works[name])[1])
        line = ", ".join(f"{LABELS[n]} {s[-1]:.2f}" for n, s in seconds.items())
        _run.say(f"{task}  round {index + 1}/{count}  seconds: {line}")
    return seconds


def compare(seconds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """A record a contestant: its seconds, and its time over jboltz's round by round."""
    return {
        name: {
            "label": LABELS[name],
            "seconds": summary(values),
            "time_over_jboltz": summary(
                [x / y for x, y in zip(values, seconds["jboltz"], strict=True)]
            ),
        }
        for name, values in seconds.items()
    }


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Median, quartiles, and all the values in the order they were taken."""
    low, median, high = (float(x) for x in np.quantile(values, (0.25, 0.5, 0.75)))
    return {"median": median, "quartiles": [low, high], "values": list(values)}


def import_seconds(count: int) -> dict[str, Any]:
    """Seconds of `import jax`, and of `import jboltz` after it, in new processes."""
    pairs = []
    for _ in range(count):
        command = [sys.executable, "-c", _IMPORTS]
        out = subprocess.run(command, capture_output=True, text=True, check=True)
        pairs.append([float(word) for word in out.stdout.split()])
    jax_alone, jboltz_more = zip(*pairs, strict=True)
    return {"jax": summary(jax_alone), "jboltz_beyond_jax": summary(jboltz_more)}


def beside_products(
    task: str,
    works: Mapping[str, Work],
    count: int,
    *,
    seed: int,
    per: tuple[str, int],
) -> dict[str, dict[str, Any]]:
    """The records of jboltz and of the products alone, in a task that is checked only
    for results that are finite.

    Args:
      per: the name of a part of a call, and how many there are of it.
    """
    _run.say(f"{task}: the first call of each contestant is checked and not counted")
    checks = {name: not_finite(work()) for name, work in works.items()}
    require_same_work(task, checks)
    contestants = compare(rounds(task, works, count, seed=seed))
    part, number = per
    for name, record in contestants.items():
        record["check"] = checks[name]
        milliseconds = 1e3 * record["seconds"]["median"] / number
        record[f"milliseconds_a_{part}"] = milliseconds
    return contestants


def not_finite(outcome: tuple[Any, ...]) -> dict[str, Any]:
    """The check of products, whose results mean nothing."""
    value = max(float(np.mean(~np.isfinite(x))) for x in outcome)
    return {"what": "share of results not finite", "value": value, "limit": 0.0}


def require_same_work(task: str, checks: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses to time a contestant that did something else.

    Raises:
      ValueError: a check whose `value` is not within its `limit`.
    """
    for name, check in checks.items():
        if not check["value"] <= check["limit"]:
            raise ValueError(
                f"{task}: {LABELS[name]} does not do jboltz's work: {check['what']} "
                f"is {check['value']:.4g} but may be {check['limit']:g}; there is "
                "nothing to compare until one of the two is mended."
            )
