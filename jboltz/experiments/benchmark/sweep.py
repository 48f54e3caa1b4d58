"""The task `sweep`: training and sampling of many sizes, beside their products alone.

At each size a call takes as many updates, or sweeps, as its products are expected to
fill `seconds` with.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np

from jboltz.experiments.benchmark import floors, worker
from jboltz.experiments.benchmark.contest import Processes, Record, hold
from jboltz.experiments.benchmark.floors import Floor
from jboltz.experiments.benchmark.sizes import PIXELS, Sizes
from jboltz.experiments.benchmark.tasks import CD, GIBBS, PCD, Task, contest, untrained
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


def training_sizes(num_rows: int, parts: int) -> Mapping[str, int]:
    return {"batch_size": num_rows, "num_examples": num_rows * parts}


def sampling_sizes(num_rows: int, parts: int) -> Mapping[str, int]:
    return {"num_chains": num_rows, "num_sweeps": parts}


def measure(sweep: Sweep, rows: np.ndarray, rounds: int, seed: int) -> Record:
    """The records of all sizes, kind by kind, and what was left out."""
    rate, left_out, records = product_rate(), [], {}
    say(f"sweep: large products run at {rate / 1e9:.0f} Gflop/s")
    # The products of a step, the sizes of a task, and how many rows it is to have.
    kinds = {
        "CD-1": (CD, 5, training_sizes, sweep.batch_sizes),
        "PCD-1": (PCD, 5, training_sizes, sweep.batch_sizes),
        "Gibbs": (GIBBS, 2, sampling_sizes, sweep.num_chains),
    }
    with Processes(("jboltz", "products")) as processes:
        for name, (task, num_products, sizes_of, numbers) in kinds.items():
            records[name] = []
            for num_hidden, num_rows in itertools.product(sweep.num_hidden, numbers):
                label = f"{name}, {num_hidden} hidden units × {num_rows} rows"
                expected = 2 * num_products * num_rows * PIXELS * num_hidden / rate
                if expected > sweep.budget:
                    line = f"{label}: the products of a step take {expected:.2g} s"
                    say(f"sweep: left out is {line}")
                    left_out.append(line)
                    continue
                parts = min(max(round(sweep.seconds / expected), 1), MOST_PARTS)
                sizes = Sizes(num_hidden=num_hidden, **sizes_of(num_rows, parts))
                one = contest(_without_training(task), rows, sizes, seed)
                one = dataclasses.replace(one, title=label)
                record = hold(one, processes, rounds, seed, math.inf)
                what = {"num_hidden": num_hidden, "num_rows": num_rows, "parts": parts}
                records[name].append(record | what)
    return {"tasks": records, "left_out": left_out, "product_flops_per_second": rate}


def _without_training(task: Task) -> Task:
    """Chains of an untrained machine take as long as those of a trained one."""
    return dataclasses.replace(task, start=untrained)


def product_rate() -> float:
    """Floating-point operations a second of one large product of the sweep's kind."""
    work = floors.by_xla([Floor(floors.sweep, (PIXELS, 512), 1024, 1)])
    work()
    return 2 * 2 * 1024 * PIXELS * 512 / min(worker.warm_up(work))
