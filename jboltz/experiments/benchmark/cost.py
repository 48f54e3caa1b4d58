"""How cost grows with sizes.    python -m jboltz.experiments.benchmark.cost FOLDER

The time of a step by hidden units, batch and chains; the memory of an epoch by the size
of the data; and the work of each device, counted by the compiler, by simulated devices.
Each growth has its slope s, cost ∝ sizeˢ. Times of steps make those of common jobs.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jboltz import plotting, sharding
from jboltz.base import Batch
from jboltz.experiments.benchmark.accelerator import measure, setting
from jboltz.experiments.benchmark.on_device import Row, model_of, step_and_state
from jboltz.learning.epoch import train_epoch
from jboltz.learning.pretrain import LayerFeatures
from jboltz.runs import machine, terminal
from jboltz.runs.progress import say, say_table

VISIBLE, HIDDEN = 784, 500
DEVICES = (1, 2, 4, 8)
TRAINED = Row("CD-1 by fit", (VISIBLE, HIDDEN), 64, "float32")
UPDATES = 938
"""Updates of 64 examples in an epoch of MNIST's 60 000."""

ROW_SECONDS = 4.0


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes at which cost is measured."""

    hidden: tuple[int, ...] = (250, 500, 1000, 2000, 4000)
    batch: tuple[int, ...] = (64, 256, 1024, 4096)
    chains: tuple[int, ...] = (64, 256, 1024, 4096)
    examples: tuple[int, ...] = (15_000, 60_000, 240_000)
    product: int = 1024


SMALL = Sizes((8, 16), (8, 16), (8, 16), (100, 200), 64)

JOBS = {
    "RBM 784-500, CD-1, batch 64: an epoch of MNIST": [(TRAINED, UPDATES)],
    "DBN 784-500-200, CD-1, batch 64: ten epochs of each layer, on ready features": [
        (TRAINED, 10 * UPDATES),
        (dataclasses.replace(TRAINED, shape=(HIDDEN, 200)), 10 * UPDATES),
    ],
    "RBM 784-500, PCD-1, 100 chains, batch 100: 100 epochs": [
        (Row("PCD-1", (VISIBLE, HIDDEN), 100, "float32"), 60_000)
    ],
    "Gibbs sampling, 784-500: 1 000 sweeps of 1 000 chains": [
        (Row("Gibbs", (VISIBLE, HIDDEN), 1000, "float32"), 1000)
    ],
    "tempering, 784-500: 1 000 steps of 100 chains × 8 replicas": [
        (Row("tempering", (VISIBLE, HIDDEN), 800, "float32"), 1000)
    ],
    "AIS, 784-500: 10 000 rungs of 100 chains": [
        (Row("AIS", (VISIBLE, HIDDEN), 100, "float32"), 10_000)
    ],
}
"""Common jobs: rows, and how many of their steps a job takes."""


def grow(sizes: Sizes, rate: float, seconds: float) -> dict[str, Any]:
    """Each growth by its name: what is counted, and the points (size, cost)."""

    def time(work, num_hidden, num_rows):
        row = Row(work, (VISIBLE, num_hidden), num_rows, "float32")
        return milliseconds(row, rate, seconds)

    work = devices()
    found = {
        "hidden units": (
            "ms per CD-1 update of 512",
            [(n, time("CD-1", n, 512)) for n in sizes.hidden],
        ),
        "examples per batch": (
            "ms per CD-1 update",
            [(n, time("CD-1", HIDDEN, n)) for n in sizes.batch],
        ),
        "chains": (
            "ms per Gibbs sweep",
            [(n, time("Gibbs", HIDDEN, n)) for n in sizes.chains],
        ),
        "examples of the data": (
            "MB of an epoch",
            [(n, epoch_memory(n) / 1e6) for n in sizes.examples],
        ),
        "devices": (
            "Gflop each, per CD-1 update of 4 096",
            [(n, flops / 1e9) for n, flops, _ in work],
        ),
        "simulated devices": (
            "MB moved by each, per CD-1 update of 4 096",
            [(n, moved / 1e6) for n, _, moved in work],
        ),
    }
    return {
        name: {"cost": cost, "points": points, "slope": slope(points)}
        for name, (cost, points) in found.items()
    }


def milliseconds(row: Row, rate: float, seconds: float) -> float:
    """The median time of a step."""
    found = measure(row, rate, seconds)["milliseconds_a_step"][1]
    say(f"{row.work}, {row.shape} × {row.num_rows}: {found:.3g} ms a step")
    return found


def slope(points: list[tuple[int, float]]) -> float:
    """The slope of log cost by log size: 1 where twice the size costs twice as much."""
    sizes, costs = np.log(points).T
    return float(np.polyfit(sizes, costs, 1)[0])


def epoch_memory(num_examples: int) -> int:
    """Bytes that the program of an epoch needs, with its data as uint8."""
    key = jax.random.key(0)
    step, state = step_and_state(TRAINED, key)
    prepare = jax.tree_util.Partial(LayerFeatures((model_of(TRAINED),)), ())
    epoch = partial(train_epoch, step, batch_size=TRAINED.num_rows, prepare=prepare)
    rows = jax.ShapeDtypeStruct((num_examples, VISIBLE), jnp.uint8)
    program = jax.jit(epoch, donate_argnums=0).lower(state, rows, key).compile()
    found: Any = program.memory_analysis()
    new = found.output_size_in_bytes - found.alias_size_in_bytes
    return found.argument_size_in_bytes + found.temp_size_in_bytes + new


def devices() -> list[tuple[int, float, float]]:
    """(devices, operations of each, bytes that each moves) of an update on a mesh.

    A process of its own simulates the devices on the processor.
    """
    flag = f"--xla_force_host_platform_device_count={DEVICES[-1]}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {flag}"
    code = "from jboltz.experiments.benchmark import cost; cost.say_devices()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [tuple(x) for x in json.loads(done.stdout.splitlines()[-1])]


def say_devices() -> None:
    """Says the work of `devices`, as JSON."""
    found = []
    for count in DEVICES:
        mesh = sharding.make_mesh(data=count)
        step, state = step_and_state(TRAINED, jax.random.key(0))
        by_rows = jax.NamedSharding(mesh, jax.P("data"))
        v = jax.device_put(jnp.zeros((4096, VISIBLE)), by_rows)
        state = sharding.place(state, mesh)
        key = sharding.replicate(jax.random.key(0), mesh)
        program = jax.jit(step).lower(state, Batch(values=v), key).compile()
        work: Any = program.cost_analysis()
        found.append((count, work["flops"], work["bytes accessed"]))
    say(json.dumps(found))


def price(rate: float, seconds: float) -> dict[str, float]:
    """The seconds of each of the `JOBS`, without compilation."""
    return {
        job: sum(num * milliseconds(row, rate, seconds) / 1e3 for row, num in steps)
        for job, steps in JOBS.items()
    }


def figure(growths: dict[str, Any]) -> Any:
    panels = {
        f"{growth['cost']}\nby {name}: slope {growth['slope']:.2f}": {
            "jboltz": growth["points"]
        }
        for name, growth in growths.items()
    }
    title = "How cost grows from an RBM of 784–500 units, float32"
    return plotting.curves_over(panels, title=title, xlabel="size", yscale="log")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="for cost.json and figures")
    parser.add_argument("--small", action="store_true", help="tiny sizes, without jobs")
    options = parser.parse_args(arguments)
    machine.use_wide_vectors()  # As the programs do.
    with terminal.errors_as_lines():
        record(options.folder, is_small=options.small)


def record(folder: pathlib.Path, *, is_small: bool) -> None:
    """Measures, and writes cost.json and the figure into the folder."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    seconds = 0.1 if is_small else ROW_SECONDS
    sizes = SMALL if is_small else Sizes()
    n = sizes.product
    product = measure(Row("product", (n, n), n, "float32"), None, seconds)
    rate = product["flops_per_second"]
    growths = grow(sizes, rate, seconds)
    jobs = {} if is_small else price(rate, seconds)
    results = {**setting(), "growths": growths, "jobs_seconds": jobs}
    text = json.dumps(results, indent=2)
    (folder / "cost.json").write_text(text, encoding="utf-8")
    figure(growths).savefig(folder / "figures" / "cost.png")
    table = [[name, x["cost"], f"{x['slope']:.2f}"] for name, x in growths.items()]
    say_table("How cost grows", ["by", "cost", "slope"], table)
    say_table("Jobs", ["", "seconds"], [[k, f"{x:.3g}"] for k, x in jobs.items()])


if __name__ == "__main__":
    main()
