"""Speed beside other libraries.    python -m jboltz.experiments.benchmark

Each contestant runs in a process of its own, in float32, on all cores. They take turns,
so that a machine that is disturbed is disturbed for all, and sleep in between. What
each one does is checked before it is timed.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Annotated, Any, ClassVar, Literal, get_args

from jboltz.data import Dataset, check_values
from jboltz.errors import InvalidValue
from jboltz.experiments.benchmark import (
    contest,
    deep,
    peers,
    quiet,
    sampling,
    show,
    start,
    targets,
    training,
    works,
)
from jboltz.experiments.benchmark import sweep as sweeps
from jboltz.experiments.benchmark.contest import Contest, Record
from jboltz.experiments.benchmark.sizes import Sizes
from jboltz.experiments.benchmark.works import Inputs, Machine
from jboltz.ranges import Count, Range, Seed
from jboltz.runs import checks, program
from jboltz.runs.config import RunConfig
from jboltz.runs.progress import say
from jboltz.runs.sources import Mnist
from jboltz.runs.workdir import Workdir

Task = Literal[
    "cd_epoch",
    "cd_epoch_large_batch",
    "gibbs",
    "pcd_epoch",
    "fixed_cost",
    "ais",
    "tempering",
    "dbm_step",
    "mean_field",
    "finetune",
    "start",
    "gibbs_small_model",
    "dbn_epoch",
    "sweep",
]


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
    """Times CD-1, PCD-1, greedy pretraining and Gibbs sampling beside PyTorch,
    scikit-learn, rbms and thrml, as far as they are installed; tempering, annealing,
    fine-tuning and the joint training of a deep Boltzmann machine beside their matrix
    products; and how long the main job takes to start."""

    PRESETS: ClassVar = {"sweep": {"tasks": ["sweep"], "repetitions": 3}}

    workdir: pathlib.Path = pathlib.Path("runs/benchmark")
    """Folder for the figures and the results."""
    preset: Literal["sweep"] | None = None
    """Values to begin with: `sweep` measures many sizes, in three rounds, beside the
    products alone. Flags win."""
    tasks: tuple[Task, ...] = get_args(Task)[:-1]
    """What is measured."""
    repetitions: Count = 7
    """Rounds at most; in each one every contestant is timed once."""
    minutes: Annotated[float, Range(0.01, 10_000)] = 8.5
    """A task that would begin later is left out, and named in the results. Each task
    holds three rounds, and more in its share of what is left of the time. Not for
    `sweep`."""
    sizes: Sizes = dataclasses.field(default_factory=Sizes)
    """How much the tasks do."""
    sweep: sweeps.Sweep = dataclasses.field(default_factory=sweeps.Sweep)
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


def load(config: Config) -> Dataset:
    """The data; refuses flags that would end every process."""
    quiet.require_known_flags()
    return config.data.load()


def check(config: Config, data: Dataset) -> None:
    """Refuses what cannot be run, before anything is written.

    Raises:
      ValueError: a field that makes no sense, or does not fit the data.
    """
    sizes, pixels = config.sizes, data.train.shape[1]
    needs = {
        "sizes.num_examples": sizes.num_examples * pixels,
        "sizes.num_hidden": 3 * pixels * sizes.num_hidden,
        "sizes.num_chains": sizes.num_chains * (pixels + sizes.num_hidden),
    }
    checks.memory(config, data, **needs)
    check_values(data.train, name="training images")
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
    settings, end = quiet.settings(), time.monotonic() + 60 * config.minutes
    for package, reason in (reasons := peers.left_out()).items():
        say(f"{package} {reason}: it is left out.")
    if (load := settings["load_average_before"] or 0) > 1:
        say(
            f"warning: the load average is {load:.1f}; the numbers need a quiet machine"
        )
    rows, wanted = data.train, config.sizes.num_examples
    if is_repeated := len(rows) < wanted:
        say(f"{len(rows)} images are there: they are repeated to make {wanted}.")
    inputs = Inputs(rows=works.first_rows(rows, wanted), seed=config.seed)
    contests, tasks = all_contests(config.sizes, inputs), {}
    names = [name for name in get_args(Task) if name in config.tasks]

    def measure(name: str) -> Record:
        if name == "start":
            return start.measure(config.data)
        if name == "sweep":
            return sweeps.measure(config.sweep, inputs, config.repetitions)
        share = (end - time.monotonic()) / (len(names) - names.index(name))
        return contest.hold(contests[name](), config.repetitions, config.seed, share)

    too_late = []
    for name in names:
        if time.monotonic() < end or name == "sweep":
            tasks[name] = workdir.part(name, partial(measure, name))
        else:
            say(f"{name} is left out: the {config.minutes:g} minutes are over.")
            too_late.append(name)
    return None, {
        "form": 2,
        **tasks,
        "targets": targets.compare(tasks),
        "peers": peers.installed(),
        "peers_left_out": reasons,
        "tasks_left_out": too_late,
        "images_are_repeated": is_repeated,
        "settings": settings,
        "learning_rate": peers.LEARNING_RATE,
    }


def all_contests(sizes: Sizes, inputs: Inputs) -> dict[str, Callable[[], Contest]]:
    """What makes the contest of each task."""
    hidden, small, batch = sizes.num_hidden, sizes.small_model, sizes.batch_size

    @cache
    def untrained(num_hidden: int) -> Machine:
        return works.untrained(inputs.rows.shape[1], num_hidden, inputs.seed)

    @cache
    def trained(num_hidden: int) -> Machine:
        return training.trained(untrained(num_hidden), inputs, batch)

    def epoch(rule: str, batch_size: int) -> Contest:
        return training.epoch(rule, untrained(hidden), inputs, batch_size)

    def gibbs(num_hidden: int, num_chains: int) -> Contest:
        machine = trained(num_hidden)
        return sampling.gibbs(machine, inputs, num_chains, sizes.num_sweeps)

    return {
        "cd_epoch": lambda: epoch("CD-1", batch),
        "cd_epoch_large_batch": lambda: epoch("CD-1", sizes.large_batch),
        "pcd_epoch": lambda: epoch("PCD-1", batch),
        "fixed_cost": lambda: training.fixed_cost(untrained(hidden), inputs, batch),
        "dbn_epoch": lambda: training.dbn_epoch(inputs, sizes),
        "gibbs": lambda: gibbs(hidden, sizes.num_chains),
        "gibbs_small_model": lambda: gibbs(small, sizes.many_chains),
        "tempering": lambda: sampling.tempering(trained(hidden), inputs, sizes),
        "ais": lambda: sampling.ais(trained(hidden), inputs, sizes),
        "dbm_step": lambda: deep.dbm_step(inputs, sizes),
        "mean_field": lambda: deep.mean_field(inputs, sizes),
        "finetune": lambda: deep.finetune(inputs, sizes),
    }


def draw_figures(
    config: Config, data: Dataset, params: None, numbers: Record
) -> dict[str, Any]:
    """The figures of a run, by file name."""
    del config, data, params
    return show.figures(measured(numbers))


def measured(results: Record) -> dict[str, Record]:
    """The records of the tasks, by name."""
    return {name: results[name] for name in get_args(Task) if name in results}


def report(results: Record) -> None:
    """The results as tables, and in a few lines what is not in them."""
    tasks = measured(results)
    show.tables(tasks)
    rounds = results["config"]["repetitions"]
    say(f"ratio: time over jboltz's, its median of {rounds} rounds at most, and the")
    say("95 % interval of its geometric mean, by Student's t of the rounds' log ratios")
    if compiling := show.compile_seconds(tasks):
        say(f"seconds that jboltz compiles: {compiling}")
    if "cd_epoch" in tasks:
        memory = tasks["cd_epoch"]["contestants"]["jboltz"]["peak_memory_mb"]
        say(
            f"peak memory {memory['before']:.0f} MB before CD-1, {memory['after']:.0f} "
            "MB after jboltz's first epoch"
        )
    if "start" in tasks:
        say(start.describe(tasks["start"]))
    for line in targets.describe(results["targets"]):
        say(line)
    name = show.record_name(results["device"]["processor"])
    say(f"the record of this processor: experiments/benchmark/{name}")


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
