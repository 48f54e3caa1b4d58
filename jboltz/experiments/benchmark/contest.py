"""A contest: one task, done by several contestants that take turns.

Each contestant has a process of its own, for all contests, and sleeps while it is not
its turn. The first call of each one is checked: whoever does other work than jboltz is
not timed.
"""

import dataclasses
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import scipy.stats

from jboltz.errors import InvalidValue
from jboltz.experiments.benchmark import peers, quiet, works
from jboltz.experiments.benchmark.floors import Floor
from jboltz.experiments.benchmark.sizes import Sizes
from jboltz.experiments.benchmark.worker import Processes
from jboltz.experiments.benchmark.works import Arrays, Job, Outcome
from jboltz.runs.progress import say

Record: TypeAlias = dict[str, Any]
"""Numbers and names, as JSON has them."""

BATCH_SECONDS = 0.15
"""A turn has as many calls as take this long, and one at least."""

PAUSE_SECONDS = 0.05
"""Before a turn. Idle threads of OpenMP spin for some milliseconds before they sleep;
if they were told to sleep at once, every small operation would have to wake them."""

FEWEST_ROUNDS = 6
"""Rounds that are held even when the time is up; an interval needs so many."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What is done, by whom, and how the work is checked."""

    title: str
    """The task and, after a colon, how much of it a call does, by names of `Sizes`."""
    contestants: Mapping[str, str]
    """For each contestant, by a name in `peers.LABELS`, the function that builds its
    work, for `peers.build`. jboltz is the first."""
    floors: Callable[[Sizes], list[Floor]]
    """The products that the task cannot do without, in as many steps as it has: its
    updates, sweeps or rungs."""
    check: Callable[[Job, str, Outcome, Outcome], Record] | None = None
    """Compares the first outcome of a contestant, by its name, with jboltz's: `what` is
    compared, its `value`, and the `limit` that the value may not exceed. Without a
    check only infinities and NaNs are refused, as they are of products."""
    start: Callable[[Job], tuple[Arrays, ...]] = lambda job: ()
    """The parameters that all contestants begin with."""
    sizes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Sizes that have the value of another one in this task."""

    def job(self, rows: np.ndarray, sizes: Sizes, seed: int) -> Job:
        """What every contestant is given, on the first of these stored images."""
        values = {name: getattr(sizes, other) for name, other in self.sizes.items()}
        sizes = dataclasses.replace(sizes, **values)
        rows = works.first_rows(rows, sizes.num_examples)
        job = Job(arrays=(), rows=rows, sizes=sizes, seed=seed)
        return dataclasses.replace(job, arrays=self.start(job))

    def title_with(self, sizes: Sizes) -> str:
        """The title with the values of the sizes."""
        words = dataclasses.asdict(sizes)
        for name in ("dbn_layers", "dbm_layers", "net_layers"):
            words[name] = "–".join(map(str, words[name]))
        return self.title.format(**words)


def hold(
    task: Task, job: Job, processes: Processes, rounds: int, seconds: float
) -> Record:
    """Builds, checks and times all contestants.

    Args:
      job: what the contestants are given; its seed decides the order within a round.
      rounds: in each one every contestant is timed once.
      seconds: when they are over, no round begins but the first six.

    Returns:
      The title, the seconds that the contest took, for each of the `contestants` its
      `label`, `seconds`, `time_over_jboltz`, `check` and process, the contestants by
      other libraries that failed, and the disturbed rounds.

    Raises:
      ValueError: a contestant does other work than jboltz.
      ChildProcessError: jboltz failed, or the products of XLA or NumPy.
    """
    title, products = task.title_with(job.sizes), task.floors(job.sizes)
    num_steps = sum(floor.num_steps for floor in products)
    builders = {k: partial(peers.build, x, job) for k, x in task.contestants.items()}
    builders |= {k: partial(peers.build, x, products) for k, x in peers.FLOORS.items()}
    name, start = title.partition(":")[0], time.monotonic()
    say(f"{name}: the first calls of each contestant are checked and not counted")
    found, left_out, turns, ours = {}, {}, {}, ()
    for contestant, build in builders.items():
        if contestant not in processes:
            continue
        try:
            first = processes.ask(contestant, build)
        except OSError as error:
            if contestant not in peers.PACKAGES:
                raise
            left_out[contestant] = str(error).strip().splitlines()[-1]
            say(f"{peers.LABELS[contestant]} is left out: {left_out[contestant]}")
            continue
        if first is None:
            continue
        outcome = first.pop("outcome")
        ours = ours or outcome  # jboltz is the first.
        is_floor = contestant in peers.FLOORS
        # Whoever has fewer chains is counted at the rate of its own.
        first["measured_share"] = 1.0 if is_floor else len(outcome[0]) / len(ours[0])
        if task.check is None or is_floor:
            first["check"] = finite(outcome)
        else:
            first["check"] = task.check(job, contestant, outcome, ours)
        require_same_work(name, contestant, first["check"])
        found[contestant] = first
        calls = max(1, math.ceil(BATCH_SECONDS / first["warm_up"][-1]))
        turns[contestant] = partial(processes.ask, contestant, calls)
    end = start + seconds
    values, disturbed = take_turns(name, turns, rounds, seed=job.seed, end=end)
    records = {}
    for contestant, first in found.items():
        taken = summary([x / first["measured_share"] for x in values[contestant]])
        records[contestant] = {
            "label": peers.LABELS[contestant],
            "seconds": taken,
            "time_over_jboltz": ratio(taken["values"], values["jboltz"]),
            "milliseconds_a_step": 1e3 * taken["median"] / num_steps,
            **first,
        }
    return {
        "title": title,
        "num_steps": num_steps,
        "contestants": records,
        "left_out": left_out,
        "disturbed_rounds": disturbed,
        "took_seconds": time.monotonic() - start,
    }


def take_turns(
    name: str,
    turns: Mapping[str, Callable[[], float]],
    rounds: int,
    *,
    seed: int,
    end: float,
) -> tuple[dict[str, list[float]], list[str]]:
    """The seconds of every contestant in each round, and a line a disturbed round.

    A disturbance of the machine meets neighbours in time alike, so contestants are
    compared within a round. Their order in a round is random: no contestant always
    follows the same other one.
    """
    order, seconds = random.Random(seed), {contestant: [] for contestant in turns}
    observer = quiet.Observer()
    for index in range(rounds):
        if index >= FEWEST_ROUNDS and time.monotonic() > end:
            break
        with observer.round():
            for contestant in order.sample(list(turns), len(turns)):
                time.sleep(PAUSE_SECONDS)
                seconds[contestant].append(turns[contestant]())
        line = ", ".join(f"{peers.LABELS[k]} {s[-1]:.3g}" for k, s in seconds.items())
        say(f"{name}  round {index + 1}/{rounds}  seconds a call: {line}")
    for line in (disturbed := observer.disturbed()):
        say(f"{name}: {line}")
    return seconds, disturbed


def summary(values: Sequence[float]) -> Record:
    """Median, quartiles, and all the values in the order they were taken."""
    low, median, high = (float(x) for x in np.quantile(values, (0.25, 0.5, 0.75)))
    return {"median": median, "quartiles": [low, high], "values": list(values)}


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Record:
    """The ratio of two contestants' seconds, round by round: its summary and interval.

    The 95 % interval of the median reaches from one order statistic to another, so it
    assumes nothing about the distribution of the noise. Below six rounds it is None.
    """
    ratios = np.divide(theirs, ours)
    found = scipy.stats.quantile_test(ratios, p=0.5).confidence_interval()
    interval = None if np.isnan(found.low) else [float(found.low), float(found.high)]
    return {**summary(ratios.tolist()), "interval": interval}


def finite(outcome: Outcome) -> Record:
    """The check that there are no infinities and NaNs, where no more is known."""
    value = max(float(np.mean(~np.isfinite(x))) for x in outcome)
    return {"what": "share of results not finite", "value": value, "limit": 0.0}


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
