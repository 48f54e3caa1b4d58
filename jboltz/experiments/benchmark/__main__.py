"""Speed beside other libraries.    python -m jboltz.experiments.benchmark

Each contestant runs in a process of its own, in float32, on all cores. They take turns,
so that a machine that is disturbed is disturbed for all, and sleep in between. What
each one does is checked before it is timed.
"""

import dataclasses
import pathlib
from typing import Annotated, ClassVar, Literal, get_args

from jboltz.experiments.benchmark.sizes import PIXELS, Sizes, Sweep
from jboltz.ranges import Count, Range, Seed
from jboltz.runs.config import RunConfig, answer
from jboltz.runs.sources import Mnist

TaskName = Literal[
    "cd_epoch",
    "cd_epoch_large_batch",
    "pcd_epoch",
    "gibbs",
    "ais",
    "fixed_cost",
    "tempering",
    "dbm_step",
    "mean_field",
    "finetune",
    "start",
    "gibbs_small_model",
    "dbn_epoch",
    "sweep",
]
"""In the order in which they are measured: the most important first."""

START_WEIGHT = 6
"""The task `start` takes about as long as a contest of so many contestants."""


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
    """Times CD-1, PCD-1, greedy pretraining and Gibbs sampling beside PyTorch,
    scikit-learn, rbms and thrml, as far as they are installed; tempering, annealing,
    fine-tuning and the joint training of a deep Boltzmann machine beside their matrix
    products; and how long the main job takes to start."""

    PRESETS: ClassVar = {"sweep": {"tasks": ["sweep"], "repetitions": 6}}

    GROUPS: ClassVar = {
        "measurements": ("tasks", "repetitions", "minutes", "sizes", "sweep")
    }

    workdir: pathlib.Path = pathlib.Path("runs/benchmark")
    """Folder for the figures and the results."""
    preset: Literal["sweep"] | None = None
    """Values to begin with: `sweep` measures many sizes, in six rounds, beside the
    products alone. Flags win."""
    tasks: tuple[TaskName, ...] = get_args(TaskName)[:-1]
    """What is measured."""
    repetitions: Count = 15
    """Rounds at most; in each one every contestant is timed once."""
    minutes: Annotated[float, Range(0.01, 10_000)] = 8.5
    """A task that would begin later is left out, and named in the results. Each task
    holds six rounds, and more in its share of what is left of the time. Not for
    `sweep`."""
    sizes: Sizes = dataclasses.field(default_factory=Sizes)
    """How much the tasks do."""
    sweep: Sweep = dataclasses.field(default_factory=Sweep)
    """Sizes of the task `sweep`."""
    seed: Seed = 0
    """Decides initial weights, every draw, and the order within a round."""
    data: Mnist = dataclasses.field(default_factory=Mnist)
    config: pathlib.Path | None = None
    """TOML file with values of these fields; flags beside it win."""
    tensorboard: bool = False
    """Also keep the epochs and figures as TensorBoard events, in the workdir."""
    overwrite: bool = False
    """Delete what an earlier run left in the workdir and measure anew."""


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "benchmark")

import time
from functools import partial
from typing import Any

import numpy as np

from jboltz.data import Dataset, check_values
from jboltz.errors import InvalidValue
from jboltz.experiments.benchmark import contest, peers, quiet, show, start, targets
from jboltz.experiments.benchmark import sweep as sweeps
from jboltz.experiments.benchmark.contest import Record
from jboltz.experiments.benchmark.tasks import TASKS
from jboltz.experiments.benchmark.worker import Processes
from jboltz.runs import checks, machine, program
from jboltz.runs.progress import say
from jboltz.runs.workdir import Workdir


def load(config: Config) -> Dataset:
    """The data; refuses flags that would end every process."""
    quiet.require_known_flags()
    return config.data.load()


def check(config: Config, data: Dataset) -> None:
    """Refuses what cannot be run, before anything is written.

    Raises:
      ValueError: a field that makes no sense, or does not fit the data.
    """
    if not config.tasks:
        raise InvalidValue(
            "`tasks` names nothing to measure; name a task, or leave it."
        )
    sizes = config.sizes
    needs = {
        "sizes.num_examples": sizes.num_examples * PIXELS,
        "sizes.num_hidden": 3 * PIXELS * sizes.num_hidden,
        "sizes.num_chains": sizes.num_chains * (PIXELS + sizes.num_hidden),
    }
    checks.memory(config, data, **needs)
    check_values(data.train, name="training images")
    for name in ("dbn_layers", "dbm_layers", "net_layers"):
        layers = getattr(sizes, name)
        if layers[0] != PIXELS or len(layers) < 3:
            raise InvalidValue(
                f"`sizes.{name}` is {layers} but images have {PIXELS} pixels; give "
                f"three layers or more, of which the first is {PIXELS}."
            )
    batch = max(
        sizes.batch_size,
        sizes.large_batch if "cd_epoch_large_batch" in config.tasks else 1,
    )
    if batch > sizes.num_examples:
        raise InvalidValue(
            f"`sizes` asks for {batch} images a batch, but an epoch has "
            f"{sizes.num_examples}; take smaller batches, or more images."
        )


def run(config: Config, data: Dataset, workdir: Workdir) -> tuple[None, Record]:
    """Measures; returns the numbers to record. A task that is done is kept."""
    settings, sizes = quiet.settings(), config.sizes
    for package, reason in (reasons := peers.left_out()).items():
        say(f"{package} {reason}: it is left out.")
    if (load := settings["load_average_before"] or 0) > 1:
        say(
            f"warning: the load average is {load:.1f}; the numbers need a quiet machine"
        )
    if is_repeated := len(data.train) < config.sizes.num_examples:
        say(f"{len(data.train)} images are there: they are repeated to make an epoch.")
    tasks, too_late = measure_all(config, data.train, workdir)
    processor = machine.environment()["device"]["processor"]
    return None, {
        "form": 2,
        **tasks,
        # The targets are those of the default sizes.
        "targets": targets.compare(tasks, processor) if sizes == Sizes() else {},
        "peers": peers.installed(),
        "peers_left_out": reasons,
        "tasks_left_out": too_late,
        "images_are_repeated": is_repeated,
        "settings": settings,
        "learning_rate": peers.LEARNING_RATE,
    }


def measure_all(
    config: Config, rows: np.ndarray, workdir: Workdir
) -> tuple[dict[str, Record], list[str]]:
    """The records of the tasks, and the names of those that time has left out.

    What is left of the time is shared by the number of contestants.
    """
    end = time.monotonic() + 60 * config.minutes
    names = [name for name in get_args(TaskName) if name in config.tasks]
    contestants = {
        name: (*TASKS[name].contestants, *peers.FLOORS)
        for name in names
        if name in TASKS
    }
    weights = dict.fromkeys(names, START_WEIGHT)
    weights |= {name: len(found) for name, found in contestants.items()}
    tasks, too_late = {}, []

    def measure(name: str) -> Record:
        if name == "start":
            return start.measure(config.data)
        if name == "sweep":
            return sweeps.measure(config.sweep, rows, config.repetitions, config.seed)
        later = sum(weights[other] for other in names[names.index(name) :])
        seconds = (end - time.monotonic()) * weights[name] / later
        job = TASKS[name].job(rows, config.sizes, config.seed)
        return contest.hold(TASKS[name], job, processes, config.repetitions, seconds)

    with Processes(set().union(*contestants.values())) as processes:
        for name in names:
            if time.monotonic() < end or name == "sweep":
                tasks[name] = workdir.part(name, partial(measure, name))
            else:
                say(f"{name} is left out: the {config.minutes:g} minutes are over.")
                too_late.append(name)
    return tasks, too_late


def draw_figures(
    config: Config, data: Dataset, params: None, numbers: Record
) -> dict[str, Any]:
    """The figures of a run, by file name."""
    del config, data, params
    return show.figures(measured(numbers))


def measured(results: Record) -> dict[str, Record]:
    """The records of the tasks, by name."""
    return {name: results[name] for name in get_args(TaskName) if name in results}


def report(results: Record) -> None:
    """The results as tables, and in a few lines what is not in them."""
    tasks = measured(results)
    show.tables(tasks)
    say("ratio: time over jboltz's, the median over the rounds; of six or more with")
    say("the 95 % interval of that median, for noise of any distribution")
    if "start" in tasks:
        say(start.describe(tasks["start"]))
    for line in targets.describe(results["targets"]):
        say(line)
    if results["targets"]:
        name = show.record_name(results["device"]["processor"])
        say(f"To record this: copy results.json to experiments/benchmark/{name}")


PROGRAM = program.Program(
    name="benchmark",
    config=Config,
    load=load,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
)

if __name__ == "__main__":
    program.main(PROGRAM)
