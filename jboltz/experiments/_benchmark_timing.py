"""The clock of `benchmark`: rounds, in which every contestant takes its turn."""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from jboltz.runs import progress as _run

Work: TypeAlias = Callable[[], tuple[Any, ...]]
"""All of the work that a contestant is timed for. It has finished when it returns, and
hands back what it computed, so that the work can be checked."""

LABELS = {
    "jboltz": "jboltz",
    "threefry_13": "jboltz, THREEFRY_13",
    "products": "products alone",
    "torch": "PyTorch",
    "torch_compiled": "PyTorch, compiled",
    "torch_loader": "PyTorch, DataLoader",
    "torch_notes": "the notes' PyTorch",
    "sklearn": "scikit-learn",
    "rbms": "rbms",
    "thrml": "thrml",
}

PAUSE = 0.2
"""Seconds before a measurement: the threads of the library before, which wait for more
work in a loop, go to sleep (OpenMP's after some milliseconds)."""


def busy() -> float | None:
    """The load average of the last minute; says what to think of a high one."""
    if not hasattr(os, "getloadavg"):
        return None  # Windows.
    load = os.getloadavg()[0]
    if load > 1:
        # At load 4 on two cores PyTorch's epoch took 6 s or 53 s, jboltz's 4 s or 7 s.
        _run.say(
            f"warning: the load average is {load:.1f}. Beside other work, OpenMP's "
            "threads (PyTorch, scikit-learn) wait for one another far longer than "
            "XLA's; the numbers are fair on a quiet machine only."
        )
    return load


def timed(work: Work) -> tuple[tuple[Any, ...], float]:
    """What the work computed, and its seconds."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    outcome = work()
    return outcome, time.perf_counter() - start


def contest(
    task: str,
    works: Mapping[str, Work],
    count: int,
    *,
    seed: int,
    check: Callable[[dict[str, tuple[Any, ...]]], dict[str, dict[str, Any]]],
    first: Mapping[str, tuple[tuple[Any, ...], float]] | None = None,
    fractions: Mapping[str, int | float] | None = None,
) -> dict[str, dict[str, Any]]:
    """The records of all contestants, once it is known that they do the same work.

    Args:
      check: what each work's first call computed → a check a work.
      first: by name, what `timed` returned of first calls that were made before.
      fractions: as for `rounds`.
    """
    _run.say(f"{task}: the first call of each contestant is checked and not counted")
    done = dict(first or {})
    done |= {name: timed(work) for name, work in works.items() if name not in done}
    checks = check({name: done[name][0] for name in works})
    require_same_work(task, checks)
    seconds = rounds(task, works, count, seed=seed, fractions=fractions)
    contestants = compare(seconds)
    for name, record in contestants.items():
        record["first_seconds"] = done[name][1]
        record["check"] = checks[name]
    return contestants


def rounds(
    task: str,
    works: Mapping[str, Work],
    count: int,
    *,
    seed: int,
    fractions: Mapping[str, int | float] | None = None,
) -> dict[str, list[float]]:
    """Seconds of every work in each of `count` rounds.

    A disturbance of the machine meets neighbours in time alike, so works are compared
    within a round. Their order in it is random: none always follows the same one.

    Args:
      fractions: how much of the task a call does, by name, where that is not all of
        it; the seconds are those of the whole task, at the rate of the call.
    """
    order, seconds = random.Random(seed), {name: [] for name in works}
    for index in range(count):
        for name in order.sample(list(works), len(works)):
            share = (fractions or {}).get(name, 1)
            seconds[name].append(timed(works[name])[1] / share)
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


def beside_products(
    task: str, works: Mapping[str, Work], count: int, *, seed: int
) -> dict[str, dict[str, Any]]:
    """`contest` of jboltz and the products alone, in a task that is checked only for
    results that are finite."""

    def check(outcomes):
        return {name: not_finite(outcome) for name, outcome in outcomes.items()}

    return contest(task, works, count, seed=seed, check=check)


def add_milliseconds(
    contestants: dict[str, dict[str, Any]], part: str, number: int
) -> None:
    """Adds how long a part of a call takes, of which there are `number`."""
    for record in contestants.values():
        milliseconds = 1e3 * record["seconds"]["median"] / number
        record[f"milliseconds_a_{part}"] = milliseconds


def add_rates(contestants: dict[str, dict[str, Any]], **amounts: int | float) -> None:
    """Adds how much is done a second, from what is done a call, by name."""
    for record in contestants.values():
        for name, amount in amounts.items():
            record[f"{name}_per_second"] = amount / record["seconds"]["median"]


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
