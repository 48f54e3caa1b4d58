"""A contest: one task, done by several contestants that take turns.

Their first calls are checked: whoever does other work than jboltz is not timed.
"""

import dataclasses
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from jboltz.errors import InvalidValue
from jboltz.experiments.benchmark import peers
from jboltz.runs import machine
from jboltz.runs.progress import say

Outcome: TypeAlias = tuple[Any, ...]
"""Arrays of jboltz, NumPy or PyTorch."""

Work: TypeAlias = Callable[[], Outcome]
"""All of the work that a contestant is timed for. It has finished when it returns, and
it returns what it computed, so that the work can be checked."""

Record: TypeAlias = dict[str, Any]
"""Numbers and names, as JSON has them."""

Check: TypeAlias = Callable[[str, Outcome, Outcome], Record]
"""Compares what a contestant computed with what jboltz computed, from the contestant's
name and the two outcomes. It returns `what` is compared, its `value`, and the `limit`
that the value may not exceed."""

PAUSE = 0.2
"""Seconds before a measurement: the threads of the library before, which wait for more
work in a loop, go to sleep (OpenMP's after some milliseconds)."""


def finite(contestant: str, outcome: Outcome, ours: Outcome) -> Record:
    """The check that there are no infinities and NaNs, where no more is known."""
    del contestant, ours
    value = max(float(np.mean(~np.isfinite(x))) for x in outcome)
    return {"what": "share of results not finite", "value": value, "limit": 0.0}


@dataclasses.dataclass(frozen=True)
class Contest:
    """What is done, by whom, how the work is checked, and what is recorded of it."""

    title: str
    """The task and, after a colon, how much of it a call does."""
    sizes: Mapping[str, Any]
    """What else is recorded of the task."""
    contestants: Mapping[str, Callable[[], Work | None]]
    """What builds the work of each contestant, by a name in `peers.LABELS`; jboltz is
    the first. A work is built only if the package is installed, and after the first
    call of the contestant before. None: the contestant cannot take part here."""
    check: Check = finite
    """The check of a contestant's first call. `products` are checked by `finite`."""
    parts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """How many steps, say, a call takes. Recorded as `milliseconds_a_step`."""
    amounts: Mapping[str, int | float] = dataclasses.field(default_factory=dict)
    """How much is done in a call. Recorded as what is done a second."""
    fractions: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """The share of the task that a call does, for contestants that do not do all of it.
    Their recorded seconds are those of the whole task, at the rate of the call."""
    is_epoch: bool = False
    """Also record the seconds of jboltz's first epoch, and of compiling it."""
    reads_memory: bool = False
    """Also record the peak memory before jboltz, and after its first call."""


def hold(contest: Contest, rounds: int, seed: int) -> Record:
    """Builds, checks and times all contestants.

    Args:
      rounds: in each one every contestant is timed once.
      seed: decides the order within a round.

    Returns:
      The title and sizes, and for each of the `contestants` its `label`, `seconds`,
      `time_over_jboltz`, `first_seconds`, `check` and rates.

    Raises:
      ValueError: a contestant does other work than jboltz.
    """
    name = contest.title.partition(":")[0]
    say(f"{name}: the first call of each contestant is checked and not counted")
    works: dict[str, Work] = {}
    first: dict[str, tuple[Outcome, float]] = {}
    memory = {"before": machine.peak_memory_mb()}
    for contestant, build in contest.contestants.items():
        work = build() if peers.is_installed(contestant) else None
        if work is not None:
            works[contestant], first[contestant] = work, timed(work)
        # After jboltz, before another library is loaded: the peak is the process's.
        memory.setdefault("after", machine.peak_memory_mb())
    checks = {}
    for contestant, (outcome, _) in first.items():
        check = finite if contestant == "products" else contest.check
        checks[contestant] = check(contestant, outcome, first["jboltz"][0])
        require_same_work(name, contestant, checks[contestant])
    fractions = {k: share for k, share in contest.fractions.items() if k in works}
    seconds = take_turns(name, works, rounds, seed=seed, fractions=fractions)
    records = {
        contestant: {
            "label": peers.LABELS[contestant],
            "seconds": summary(values),
            "time_over_jboltz": summary(
                [x / y for x, y in zip(values, seconds["jboltz"], strict=True)]
            ),
            "first_seconds": first[contestant][1],
            "check": checks[contestant],
            **_rates(contest, float(np.median(values))),
        }
        for contestant, values in seconds.items()
    }
    record = {"title": contest.title, **contest.sizes, "contestants": records}
    if contest.fractions:
        record["measured_fractions"] = fractions
    if contest.is_epoch:
        first_seconds = first["jboltz"][1]
        median = records["jboltz"]["seconds"]["median"]
        record["first_epoch_seconds"] = first_seconds
        record["compile_seconds"] = first_seconds - median
    if contest.reads_memory:
        record["peak_memory_mb"] = memory
    return record


def take_turns(
    name: str,
    works: Mapping[str, Work],
    rounds: int,
    *,
    seed: int,
    fractions: Mapping[str, float],
) -> dict[str, list[float]]:
    """The seconds of every work in each round.

    A disturbance of the machine meets neighbours in time alike, so works are compared
    within a round. Their order in a round is random: no work always follows the same
    other one.
    """
    order, seconds = random.Random(seed), {contestant: [] for contestant in works}
    for index in range(rounds):
        for contestant in order.sample(list(works), len(works)):
            elapsed = timed(works[contestant])[1]
            seconds[contestant].append(elapsed / fractions.get(contestant, 1))
        line = ", ".join(f"{peers.LABELS[k]} {s[-1]:.2f}" for k, s in seconds.items())
        say(f"{name}  round {index + 1}/{rounds}  seconds: {line}")
    return seconds


def timed(work: Work) -> tuple[Outcome, float]:
    """What the work computed, and its seconds."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    outcome = work()
    return outcome, time.perf_counter() - start


def summary(values: Sequence[float]) -> Record:
    """Median, quartiles, and all the values in the order they were taken."""
    low, median, high = (float(x) for x in np.quantile(values, (0.25, 0.5, 0.75)))
    return {"median": median, "quartiles": [low, high], "values": list(values)}


def _rates(contest: Contest, seconds: float) -> Record:
    """Milliseconds a part, and amounts a second, of a call that takes `seconds`."""
    return {
        **{f"milliseconds_a_{k}": 1e3 * seconds / n for k, n in contest.parts.items()},
        **{f"{k}_per_second": x / seconds for k, x in contest.amounts.items()},
    }


def require_same_work(name: str, contestant: str, check: Record) -> None:
    """Refuses to time a contestant that did something else.

    Raises:
      ValueError: the `value` of the check is not within its `limit`.
    """
    if not check["value"] <= check["limit"]:
        raise InvalidValue(
            f"{name}: {peers.LABELS[contestant]} does not do jboltz's work: "
            f"{check['what']} is {check['value']:.4g} but may be {check['limit']:g}; "
            "there is nothing to compare until one of the two is mended."
        )


def busy() -> float | None:
    """The load average of the last minute; says what to think of a high one."""
    if not hasattr(os, "getloadavg"):
        return None  # Windows.
    load = os.getloadavg()[0]
    if load > 1:
        # At load 4 on two cores PyTorch's epoch took 6 s or 53 s, jboltz's 4 s or 7 s.
        say(
            f"warning: the load average is {load:.1f}. Beside other work, OpenMP's "
            "threads (PyTorch, scikit-learn) wait for one another far longer than "
            "XLA's; the numbers are fair on a quiet machine only."
        )
    return load
