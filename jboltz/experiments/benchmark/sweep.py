"""The task `sweep`: training and sampling of many sizes, beside the products alone."""

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np

from jboltz.experiments.benchmark.contest import Processes, Record, hold
from jboltz.experiments.benchmark.sizes import PIXELS, Sizes, Sweep
from jboltz.experiments.benchmark.tasks import CD, GIBBS, PCD, contest, untrained

MOST_STEPS = 1000
"""Updates or sweeps a call; where few rows meet many weights the products take longer
than at the rate of large ones, and still no longer than a second or so."""


def training_sizes(num_rows: int, parts: int) -> Mapping[str, int]:
    return {"batch_size": num_rows, "num_examples": num_rows * parts}


def sampling_sizes(num_rows: int, parts: int) -> Mapping[str, int]:
    return {"num_chains": num_rows, "num_sweeps": parts}


def measure(sweep: Sweep, rows: np.ndarray, rounds: int, seed: int) -> Record:
    """The records of all sizes, kind by kind."""
    # The task, its products a step, its sizes, and how many rows it is to have.
    kinds = {
        "CD-1": (CD, 5, training_sizes, sweep.batch_sizes),
        "PCD-1": (PCD, 5, training_sizes, sweep.batch_sizes),
        "Gibbs": (GIBBS, 2, sampling_sizes, sweep.num_chains),
    }
    records = {name: [] for name in kinds}
    with Processes(("jboltz", "products")) as processes:
        for name, (task, num_products, sizes_of, numbers) in kinds.items():
            # Chains of an untrained machine take as long as those of a trained one.
            task = dataclasses.replace(task, start=untrained)
            for num_hidden, num_rows in itertools.product(sweep.num_hidden, numbers):
                connections = num_rows * PIXELS * num_hidden
                wanted = 1e6 * sweep.megaflops / (2 * num_products * connections)
                num_steps = min(max(round(wanted), 1), MOST_STEPS)
                sizes = {"num_hidden": num_hidden, **sizes_of(num_rows, num_steps)}
                sizes = dataclasses.replace(Sizes(), **sizes)
                one = contest(task, rows, sizes, seed)
                record = hold(one, processes, rounds, seed, math.inf)
                # Training uses a connection once an example; a sweep, in two ways.
                connections *= 2 if task.check is GIBBS.check else 1
                seconds = record["contestants"]["jboltz"]["milliseconds_a_step"] / 1e3
                records[name].append(
                    {
                        **record,
                        "num_hidden": num_hidden,
                        "num_rows": num_rows,
                        "connections_per_second": connections / seconds,
                    }
                )
    return {"tasks": records}
