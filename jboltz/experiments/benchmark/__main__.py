"""Speed beside other libraries.    python -m jboltz.experiments.benchmark

All contestants run in one process, in float32, on all cores, and take turns, so that a
machine that is disturbed is disturbed for all. What each one does is checked before it
is timed.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from functools import cache, partial
from typing import Any, ClassVar, Literal, get_args

import jax
from jaxtyping import Array, Key

from jboltz.data import Dataset, check_values
from jboltz.errors import InvalidValue
from jboltz.experiments.benchmark import (
    contest,
    deep,
    peers,
    sampling,
    show,
    start,
    targets,
    training,
)
from jboltz.experiments.benchmark import sweep as sweeps
from jboltz.experiments.benchmark.contest import Contest, Record
from jboltz.experiments.benchmark.works import Inputs, Machine
from jboltz.models.rbm import RBM
from jboltz.ranges import Count, Seed, Steps
from jboltz.runs import checks, program
from jboltz.runs.config import RunConfig
from jboltz.runs.progress import say
from jboltz.runs.sources import Mnist
from jboltz.runs.workdir import Workdir
from jboltz.units.bernoulli import Bernoulli

LARGE_BATCH = 512
SMALL_MODEL, MANY_CHAINS = 200, 2000
"""Hidden units and chains of `gibbs_small_model`."""

Task = Literal[
    "cd_epoch",
    "cd_epoch_large_batch",
    "pcd_epoch",
    "dbn_epoch",
    "gibbs",
    "gibbs_small_model",
    "tempering",
    "dbm_step",
    "mean_field",
    "ais",
    "finetune",
    "start",
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
    """Rounds; in each one every contestant is timed once."""
    num_hidden: Count = 500
    """Hidden units; the visible ones are MNIST's 784 pixels."""
    batch_size: Count = 64
    """Examples an update, in training; `cd_epoch_large_batch` has 512."""
    num_examples: Count | None = None
    """Training images an epoch, the first of the data; by default all of them."""
    num_chains: Count = 1024
    """Chains, in Gibbs sampling; `gibbs_small_model` has 2000, and 200 hidden units."""
    num_sweeps: Steps = 100
    """Gibbs sweeps a call; each draws all visible and all hidden units once."""
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


def check(config: Config, data: Dataset) -> None:
    """Refuses what cannot be run, before anything is written.

    Raises:
      ValueError: a field that makes no sense, or does not fit the data.
    """
    checks.memory(config, data)
    check_values(data.train, name="training images")
    available, asked = len(data.train), config.num_examples
    if asked is not None and not 1 <= asked <= available:
        raise InvalidValue(
            f"`num_examples` is {asked} but there are {available} training images; "
            "take from 1 to that many."
        )
    if config.batch_size > (asked or available):
        raise InvalidValue(
            f"`batch_size` is {config.batch_size} but an epoch has "
            f"{asked or available} images; take at most that many."
        )
    if "cd_epoch_large_batch" in config.tasks and LARGE_BATCH > (asked or available):
        raise InvalidValue(
            f"`tasks` has cd_epoch_large_batch, of {LARGE_BATCH} images a batch, but "
            f"an epoch has {asked or available}; leave it out, or take more images."
        )


def run(config: Config, data: Dataset, workdir: Workdir) -> tuple[None, Record]:
    """Measures; returns the numbers to record. A task that is done is kept."""
    load, versions = contest.busy(), missing()
    rows = data.train[: config.num_examples]
    key_params, key_trained, key_tasks = jax.random.split(
        jax.random.key(config.seed), 3
    )
    first = Inputs(rows=rows, key=key_trained, seed=config.seed)
    contests = all_contests(config, first, key_params)

    def measure(name: Task) -> Record:
        index = get_args(Task).index(name)
        key = jax.random.fold_in(key_tasks, index)
        inputs = Inputs(rows=rows, key=key, seed=config.seed)
        if name == "start":
            return start.measure(config.data, config.repetitions)
        if name == "sweep":
            return sweeps.measure(config.sweep, inputs, config.repetitions)
        return contest.hold(contests[name](inputs), config.repetitions, config.seed)

    tasks = {
        name: workdir.part(name, partial(measure, name))
        for name in get_args(Task)
        if name in config.tasks
    }
    return None, {
        **tasks,
        "targets": targets.compare(tasks),
        "peers": versions,
        "threads": peers.threads(versions),
        "load_average_before": load,
        "learning_rate": peers.LEARNING_RATE,
    }


def all_contests(
    config: Config, first: Inputs, key_params: Key[Array, ""]
) -> dict[str, Callable[[Inputs], Contest]]:
    """What makes the contest of each task from its inputs.

    Args:
      first: what models are trained on, for the contests that need a trained one.
    """
    num_hidden = config.num_hidden

    def untrained(num_hidden: int) -> Machine:
        model = RBM(Bernoulli(first.rows.shape[1]), Bernoulli(num_hidden))
        return Machine(model=model, params=model.init(key_params))

    @cache
    def trained(num_hidden: int) -> Machine:
        return training.trained(untrained(num_hidden), first, config.batch_size)

    def epoch(rule: str, batch_size: int) -> Callable[[Inputs], Contest]:
        machine = untrained(num_hidden)
        return lambda inputs: training.epoch(rule, machine, inputs, batch_size)

    return {
        # First: it reads the memory that training takes.
        "cd_epoch": epoch("CD-1", config.batch_size),
        "cd_epoch_large_batch": epoch("CD-1", LARGE_BATCH),
        "pcd_epoch": epoch("PCD-1", config.batch_size),
        "dbn_epoch": training.dbn_epoch,
        "gibbs": lambda inputs: sampling.gibbs(
            trained(num_hidden), inputs, config.num_chains, config.num_sweeps
        ),
        "gibbs_small_model": lambda inputs: sampling.gibbs(
            trained(SMALL_MODEL), inputs, MANY_CHAINS, config.num_sweeps
        ),
        "tempering": lambda inputs: sampling.tempering(trained(num_hidden), inputs),
        "dbm_step": deep.dbm_step,
        "mean_field": deep.mean_field,
        "ais": lambda inputs: sampling.ais(trained(num_hidden), inputs),
        "finetune": deep.finetune,
    }


def missing() -> dict[str, str | None]:
    """Versions of the peers; says which are left out."""
    versions = peers.installed()
    for package, version in versions.items():
        if version is None:
            say(f"{package} is not installed: it is left out.")
    return versions


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
    say(f"ratio: time over jboltz's, its median and quartiles over {rounds} rounds")
    if compiling := show.compile_seconds(tasks):
        say(f"seconds that jboltz compiles: {compiling}")
    if "cd_epoch" in tasks:
        memory = tasks["cd_epoch"]["peak_memory_mb"]
        say(
            f"peak memory {memory['before']:.0f} MB before CD-1, {memory['after']:.0f} "
            "MB after jboltz's first epoch"
        )
    if "start" in tasks:
        say(start.describe(tasks["start"]))
    for line in targets.describe(results["targets"]):
        say(line)


PROGRAM = program.Program(
    name="benchmark",
    config=Config,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
)

if __name__ == "__main__":
    program.main(PROGRAM)
