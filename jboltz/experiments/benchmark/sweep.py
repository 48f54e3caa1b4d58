"""The task `sweep`: training and sampling of many sizes, beside the products alone."""

import dataclasses
import itertools
import math

import numpy as np

from jboltz.experiments.benchmark.contest import Record, hold
from jboltz.experiments.benchmark.on_device import WORKS
from jboltz.experiments.benchmark.sizes import PIXELS, Sizes, Sweep
from jboltz.experiments.benchmark.tasks import CD, GIBBS, PCD, untrained
from jboltz.experiments.benchmark.worker import Processes

MOST_STEPS = 1000
"""Updates or sweeps a call; where few rows meet many weights the products take longer
than at the rate of large ones, and still no longer than a second or so."""


def measure(sweep: Sweep, rows: np.ndarray, rounds: int, seed: int) -> Record:
    """The records of all sizes, kind by kind."""
    # The task, and how many rows it is to have.
    kinds = {
        "CD-1": (CD, sweep.batch_sizes),
        "PCD-1": (PCD, sweep.batch_sizes),
        "Gibbs": (GIBBS, sweep.num_chains),
    }
    records = {name: [] for name in kinds}
    with Processes(("jboltz", "products")) as processes:
        for name, (task, numbers) in kinds.items():
            _, num_products, num_connections = WORKS[name]
            # Chains of an untrained machine take as long as those of a trained one.
            task = dataclasses.replace(task, start=untrained)
            for num_hidden, num_rows in itertools.product(sweep.num_hidden, numbers):
                connections = num_rows * PIXELS * num_hidden
                wanted = 1e6 * sweep.megaflops / (2 * num_products * connections)
                num_steps = min(max(round(wanted), 1), MOST_STEPS)
                sizes = Sizes(
                    num_hidden=num_hidden,
                    num_examples=num_rows * num_steps,
                    batch_size=num_rows,
                    num_chains=num_rows,
                    num_sweeps=num_steps,
                )
                job = task.job(rows, sizes, seed)
                record = hold(task, job, processes, rounds, math.inf)
                connections *= num_connections
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
