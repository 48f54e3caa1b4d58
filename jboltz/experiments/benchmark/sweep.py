"""The task `sweep`: training and sampling of many sizes, beside their products alone.

At each size a call takes as many updates, or sweeps, as its products are expected to
fill `seconds` with.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated

from jboltz.experiments.benchmark import floors, sampling, training
from jboltz.experiments.benchmark.contest import Contest, Record, hold
from jboltz.experiments.benchmark.floors import Floor
from jboltz.experiments.benchmark.works import Inputs, Machine, untrained
from jboltz.ranges import Count, Range
from jboltz.runs.progress import say

MOST_PARTS = 1000
"""Updates or sweeps a call; where few rows meet many weights the products take longer
than at the rate of large ones, and still no longer than a second or so."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The sizes of the task `sweep`."""

    num_hidden: tuple[Count, ...] = (200, 500, 1024, 4096)
    """Hidden units."""
    batch_sizes: tuple[Count, ...] = (64, 256, 1024, 4096)
    """Examples an update, of CD-1 and PCD-1, at each number of hidden units."""
    num_chains: tuple[Count, ...] = (1, 16, 128, 1024, 16384)
    """Chains, of Gibbs sampling, at each number of hidden units."""
    seconds: Annotated[float, Range(1e-6, 86_400)] = 0.25
    """What the products of a call are to take, about, by as many updates or sweeps as
    that needs."""
    budget: Annotated[float, Range(1e-6, 86_400)] = 2.5
    """Seconds: a size of which the products of a single update or sweep are expected to
    take longer is left out, and named in the results."""


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What is measured at each size."""

    contest: Callable[[Machine, Inputs, int, int], Contest]  # …, rows, parts of a call
    num_products: int  # a part, each of all rows with all weights
    part: str


KINDS = {
    "CD-1": _Kind(partial(training.epoch, "CD-1"), 5, "step"),
    "PCD-1": _Kind(partial(training.epoch, "PCD-1"), 5, "step"),
    "Gibbs": _Kind(sampling.gibbs, 2, "sweep"),
}


def measure(sweep: Sweep, inputs: Inputs, rounds: int) -> Record:
    """The records of all sizes, kind by kind, and what was left out."""
    num_visible = inputs.rows.shape[1]
    rate, left_out = product_rate(num_visible), []
    say(f"sweep: large products run at {rate / 1e9:.0f} Gflop/s")
    records: Record = {name: [] for name in KINDS}
    sizes = {"CD-1": sweep.batch_sizes, "PCD-1": sweep.batch_sizes}
    sizes |= {"Gibbs": sweep.num_chains}
    for name, kind in KINDS.items():
        for num_hidden, num_rows in itertools.product(sweep.num_hidden, sizes[name]):
            flops = 2 * kind.num_products * num_rows * num_visible * num_hidden
            expected = flops / rate
            label = f"{name}, {num_hidden} hidden units × {num_rows} rows"
            if expected > sweep.budget:
                line = f"{label}: the products of a {kind.part} take {expected:.2g} s"
                say(f"sweep: left out is {line}")
                left_out.append(line)
                continue
            parts = min(max(round(sweep.seconds / expected), 1), MOST_PARTS)
            machine = untrained(num_visible, num_hidden, inputs.seed)
            contest = kind.contest(machine, inputs, num_rows, parts)
            # Without the other libraries, and with the same quantities for all kinds.
            contest = Contest(
                title=label,
                sizes={"num_hidden": num_hidden, "num_rows": num_rows, "parts": parts},
                contestants={k: contest.contestants[k] for k in ("jboltz", "products")},
                parts={kind.part: parts},
                amounts={k: x for k, x in contest.amounts.items() if k != "sweeps"},
            )
            record = hold(contest, rounds, inputs.seed, math.inf)
            records[name].append({k: x for k, x in record.items() if k != "title"})
    return {"tasks": records, "left_out": left_out, "product_flops_per_second": rate}


def product_rate(num_visible: int) -> float:
    """Floating-point operations a second of one large product of the sweep's kind."""
    floor = Floor(floors.sweep, (num_visible, 512), 1024, 1)
    work = floors.by_xla([floor])
    work()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return 2 * 2 * 1024 * num_visible * 512 / min(seconds)
