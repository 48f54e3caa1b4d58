"""A contest: one task, done by several contestants that take turns.

Each contestant has a process of its own and sleeps while it is not its turn. The first
calls are checked: whoever does other work than jboltz is not timed.
"""

import contextlib
import dataclasses
import multiprocessing
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.special import stdtrit

from jboltz.errors import InvalidValue
from jboltz.experiments.benchmark import peers, quiet, worker
from jboltz.experiments.benchmark.worker import Outcome, Work
from jboltz.runs.progress import say

Record: TypeAlias = dict[str, Any]
"""Numbers and names, as JSON has them."""

Check: TypeAlias = Callable[[str, Outcome, Outcome], Record]
"""Compares what a contestant computed with what jboltz computed, from the contestant's
name and the two outcomes. It returns `what` is compared, its `value`, and the `limit`
that the value may not exceed."""

Builders: TypeAlias = Mapping[str, Callable[[], Work | None]]
"""What builds the work of each contestant, in its process, by a name in `peers.LABELS`.
They are pickled. None: the contestant cannot take part here."""

BATCH_SECONDS = 0.3
"""A turn has as many calls as take this long, and one at least."""

PAUSE_SECONDS = 0.05
"""Before a turn. Idle threads of OpenMP spin for some milliseconds before they sleep;
if they were told to sleep at once, every small operation would have to wake them."""

FEWEST_ROUNDS = 3
"""Rounds that are held even when the time is up; an interval needs two."""


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
    contestants: Builders
    """jboltz is the first. Those whose package is not there are left out."""
    check: Check = finite
    """The check of a contestant's first call. Products are checked by `finite`."""
    parts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """How many steps, say, a call takes. Recorded as `milliseconds_a_step`."""
    amounts: Mapping[str, int | float] = dataclasses.field(default_factory=dict)
    """How much is done in a call. Recorded as what is done a second."""
    fractions: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """The share of the task that a call does, for contestants that do not do all of it.
    Their recorded seconds are those of the whole task, at the rate of the call."""


class Contestant:
    """The handle of a contestant's process."""

    def __init__(self, build: Callable[[], Work | None]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        options = {"args": (theirs, build), "daemon": True}
        self.process = context.Process(target=worker.serve, **options)
        self.process.start()
        theirs.close()

    def ask(self, calls: int) -> Any:
        """Runs the work, and waits for the answer.

        Raises:
          ChildProcessError: the process failed; with what it said.
        """
        self.connection.send(calls)
        try:
            answer = self.connection.recv()
        except EOFError:
            self.process.join()
            answer = f"its process ended with status {self.process.exitcode}"
        if isinstance(answer, str):
            raise ChildProcessError(answer)
        return answer

    def end(self) -> None:
        self.connection.close()  # It reads no more, and leaves.
        self.process.join(5)
        self.process.kill()
        self.process.join()


def hold(contest: Contest, rounds: int, seed: int, seconds: float) -> Record:
    """Builds, checks and times all contestants.

    Args:
      rounds: in each one every contestant is timed once.
      seed: decides the order within a round.
      seconds: when they are over, no round begins but the first three.

    Returns:
      The title and sizes, for each of the `contestants` its `label`, `seconds`,
      `time_over_jboltz`, `check`, rates and process, and the disturbed rounds.

    Raises:
      ValueError: a contestant does other work than jboltz.
      ChildProcessError: a process failed.
    """
    name, end = contest.title.partition(":")[0], time.monotonic() + seconds
    say(f"{name}: the first calls of each contestant are checked and not counted")
    found, turns, ours = {}, {}, ()
    with contextlib.ExitStack() as stack:
        for contestant, build in contest.contestants.items():
            if not peers.takes_part(contestant):
                continue
            process = Contestant(build)
            stack.callback(process.end)
            first = process.ask(1)
            if first is None:
                process.end()
                continue
            outcome = first.pop("outcome")
            ours = ours or outcome  # jboltz is the first.
            check = finite if contestant in peers.FLOORS else contest.check
            first["check"] = check(contestant, outcome, ours)
            require_same_work(name, contestant, first["check"])
            found[contestant] = first
            share = contest.fractions.get(contestant, 1.0)
            calls = worker.calls_for(BATCH_SECONDS, first["warm_up"])
            turns[contestant] = _turn(process, calls, share)
        values, disturbed = take_turns(name, turns, rounds, seed=seed, end=end)
    records = {
        contestant: {
            "label": peers.LABELS[contestant],
            "seconds": summary(values[contestant]),
            "time_over_jboltz": ratio(values[contestant], values["jboltz"]),
            **_rates(contest, float(np.median(values[contestant]))),
            **first,
        }
        for contestant, first in found.items()
    }
    fractions = {k: x for k, x in contest.fractions.items() if k in found}
    return {
        "title": contest.title,
        **contest.sizes,
        "measured_fractions": fractions,
        "contestants": records,
        "disturbed_rounds": disturbed,
    }


def _turn(process: Contestant, calls: int, share: float) -> Callable[[], float]:
    return lambda: process.ask(calls) / share


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
        say(f"{name}  round {index + 1}/{rounds}  seconds: {line}")
    for line in (disturbed := observer.disturbed()):
        say(f"{name}: {line}")
    return seconds, disturbed


def summary(values: Sequence[float]) -> Record:
    """Median, quartiles, and all the values in the order they were taken."""
    low, median, high = (float(x) for x in np.quantile(values, (0.25, 0.5, 0.75)))
    return {"median": median, "quartiles": [low, high], "values": list(values)}


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Record:
    """The ratio of two contestants' seconds: its summary and its 95 % interval.

    The rounds are pairs. With dᵢ = log(theirsᵢ/oursᵢ), whose mean is d and whose
    standard deviation is s over n rounds, the interval is exp(d ± t s/√n), of Student's
    t with n − 1 degrees of freedom, about the geometric mean exp(d).
    """
    logs, n = np.log(np.divide(theirs, ours)), len(ours)
    mean = float(np.mean(logs))
    half = 0.0
    if n > 1:
        half = float(stdtrit(n - 1, 0.975) * np.std(logs, ddof=1) / np.sqrt(n))
    interval = np.exp([mean - half, mean + half]).tolist() if n > 1 else None
    return {
        **summary(np.exp(logs).tolist()),
        "geometric_mean": float(np.exp(mean)),
        "interval": interval,
    }


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
