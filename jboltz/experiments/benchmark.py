"""Speed beside other libraries.    python -m jboltz.experiments.benchmark

All contestants run in one process, in float32, on all cores, and take turns, so that a
machine that is disturbed is disturbed for all. What each one does is checked before it
is timed.
"""

import dataclasses
import pathlib
from functools import cache, partial
from typing import Any, ClassVar, Literal, get_args

import jax

from jboltz.data import Dataset, check_values, load_mnist
from jboltz.experiments import _benchmark_annealing as annealing
from jboltz.experiments import _benchmark_cd as cd
from jboltz.experiments import _benchmark_dbm as dbm
from jboltz.experiments import _benchmark_dbn as dbn
from jboltz.experiments import _benchmark_finetune as finetune
from jboltz.experiments import _benchmark_gibbs as gibbs
from jboltz.experiments import _benchmark_mean_field as mean_field
from jboltz.experiments import _benchmark_pcd as pcd
from jboltz.experiments import _benchmark_peers as peers
from jboltz.experiments import _benchmark_show as show
from jboltz.experiments import _benchmark_start as start_up
from jboltz.experiments import _benchmark_sweep as sweeps
from jboltz.experiments import _benchmark_targets as targets
from jboltz.experiments import _benchmark_tempering as tempering
from jboltz.experiments import _benchmark_timing as timing
from jboltz.models.rbm import RBM
from jboltz.runs import checks as _checks
from jboltz.runs import progress as _run
from jboltz.runs import sources as _config
from jboltz.runs.config import RunConfig
from jboltz.runs.program import Program
from jboltz.runs.program import main as run_program
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
    repetitions: int = 7
    """Rounds; in each one every contestant is timed once."""
    num_hidden: int = 500
    """Hidden units; the visible ones are MNIST's 784 pixels."""
    batch_size: int = 64
    """Examples an update, in training; `cd_epoch_large_batch` has 512."""
    num_examples: int | None = None
    """Training images an epoch, the first of the data; by default all of them."""
    num_chains: int = 1024
    """Chains, in Gibbs sampling; `gibbs_small_model` has 2000, and 200 hidden units."""
    num_sweeps: int = 100
    """Gibbs sweeps a call; each draws all visible and all hidden units once."""
    sweep: sweeps.Sweep = dataclasses.field(default_factory=sweeps.Sweep)
    """Sizes of the task `sweep`."""
    seed: int = 0
    """Decides initial weights, every draw, and the order within a round."""
    data: _config.Mnist = dataclasses.field(default_factory=_config.Mnist)
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
    counts = ("repetitions", "num_hidden", "batch_size", "num_chains", "num_sweeps")
    _checks.at_least(config, dict.fromkeys(counts, 1))
    _checks.seed(config)
    sweeps.check(config.sweep)
    check_values(data.train, name="training images")
    available, asked = len(data.train), config.num_examples
    if asked is not None and not 1 <= asked <= available:
        raise ValueError(
            f"`num_examples` is {asked} but there are {available} training images; "
            "take from 1 to that many."
        )
    if config.batch_size > (asked or available):
        raise ValueError(
            f"`batch_size` is {config.batch_size} but an epoch has "
            f"{asked or available} images; take at most that many."
        )
    if "cd_epoch_large_batch" in config.tasks and LARGE_BATCH > (asked or available):
        raise ValueError(
            f"`tasks` has cd_epoch_large_batch, of {LARGE_BATCH} images a batch, but "
            f"an epoch has {asked or available}; leave it out, or take more images."
        )


def run(config: Config, data: Dataset, workdir: Workdir) -> tuple[None, dict[str, Any]]:
    """Measures; returns the numbers to record. A task that is done is kept."""
    load, versions = timing.busy(), missing()
    rows = data.train[: config.num_examples]
    key_params, key_trained, key_tasks = jax.random.split(
        jax.random.key(config.seed), 3
    )
    shared: dict[str, Any] = {"rounds": config.repetitions, "seed": config.seed}
    training = {"batch_size": config.batch_size} | shared
    sampling = {"num_sweeps": config.num_sweeps} | shared

    def start(num_hidden):
        model = RBM(Bernoulli(rows.shape[1]), Bernoulli(num_hidden))
        return model, model.init(key_params)

    @cache
    def trained(num_hidden):
        model, params = start(num_hidden)
        batch_size = config.batch_size
        arguments = (model, params, rows, key_trained)
        return model, cd.trained(*arguments, batch_size=batch_size)

    measure = {
        # First: it reads the memory that training takes.
        "cd_epoch": lambda key: cd.measure(
            *start(config.num_hidden), rows, key, **training
        ),
        "cd_epoch_large_batch": lambda key: cd.measure(
            *start(config.num_hidden),
            rows,
            key,
            **training | {"batch_size": LARGE_BATCH},
        ),
        "pcd_epoch": lambda key: pcd.measure(
            *start(config.num_hidden), rows, key, **training
        ),
        "dbn_epoch": lambda key: dbn.measure(rows, key, **shared),
        "gibbs": lambda key: gibbs.measure(
            *trained(config.num_hidden),
            rows,
            key,
            num_chains=config.num_chains,
            **sampling,
        ),
        "gibbs_small_model": lambda key: gibbs.measure(
            *trained(SMALL_MODEL), rows, key, num_chains=MANY_CHAINS, **sampling
        ),
        "tempering": lambda key: tempering.measure(
            *trained(config.num_hidden), rows, key, **shared
        ),
        "dbm_step": lambda key: dbm.measure(rows, key, **shared),
        "mean_field": lambda key: mean_field.measure(rows, key, **shared),
        "ais": lambda key: annealing.measure(
            *trained(config.num_hidden), rows, key, **shared
        ),
        "finetune": lambda key: finetune.measure(rows, key, **shared),
        "start": lambda _: start_up.measure(config.data, rounds=config.repetitions),
        "sweep": lambda key: sweeps.measure(config.sweep, rows, key, **shared),
    }
    tasks = {
        name: workdir.part(name, partial(task, jax.random.fold_in(key_tasks, index)))
        for index, (name, task) in enumerate(measure.items())
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


def missing() -> dict[str, str | None]:
    """Versions of the peers; says which are left out."""
    versions = peers.installed()
    for package, version in versions.items():
        if version is None:
            _run.say(f"{package} is not installed: it is left out.")
    return versions


def draw_figures(
    config: Config, data: Dataset, params: None, numbers: dict[str, Any]
) -> dict[str, Any]:
    """The figures of a run, by file name."""
    del config, data, params
    return show.figures(measured(numbers))


def measured(results: dict[str, Any]) -> dict[str, Any]:
    """The records of the tasks, by name."""
    return {name: results[name] for name in get_args(Task) if name in results}


def report(results: dict[str, Any]) -> None:
    """The results as tables, and in a few lines what is not in them."""
    tasks = measured(results)
    show.tables(tasks)
    rounds = results["config"]["repetitions"]
    _run.say(
        f"ratio: time over jboltz's, its median and quartiles over {rounds} rounds"
    )
    if compiling := show.compile_seconds(tasks):
        _run.say(f"seconds that jboltz compiles: {compiling}")
    if (training := tasks.get("cd_epoch")) is not None:
        memory = training["peak_memory_mb"]
        _run.say(
            f"peak memory {memory['before']:.0f} MB before CD-1, {memory['after']:.0f} "
            "MB after jboltz's first epoch"
        )
    if (start := tasks.get("start")) is not None:
        _run.say(start_up.describe(start))
    for line in targets.describe(results["targets"]):
        _run.say(line)


def main(arguments: list[str] | None = None) -> None:
    def load(config: Config) -> Dataset:
        return load_mnist(config.data.source, manual_dir=config.data.manual_dir)

    benchmark = Program(
        name="benchmark",
        config=Config,
        load=load,
        check=check,
        run=run,
        draw_figures=draw_figures,
        report=report,
    )
    run_program(benchmark, arguments)


if __name__ == "__main__":
    main()
