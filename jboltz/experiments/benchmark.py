"""Speed beside other libraries.    python -m jboltz.experiments.benchmark

All contestants run in one process, in float32, on all cores, and take turns, so that a
machine that is disturbed is disturbed for all. What each one does is checked before it
is timed.
"""

import dataclasses
import os
import pathlib
from typing import Any

import jax
from rich import box
from rich.console import Console
from rich.table import Table

from jboltz import plotting
from jboltz.data import Dataset, check_values, load_mnist
from jboltz.experiments import _benchmark_annealing as annealing
from jboltz.experiments import _benchmark_cd as cd
from jboltz.experiments import _benchmark_dbm as dbm
from jboltz.experiments import _benchmark_finetune as finetune
from jboltz.experiments import _benchmark_gibbs as gibbs
from jboltz.experiments import _benchmark_peers as peers
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments import _config, _run
from jboltz.experiments._workdir import Workdir
from jboltz.models.rbm import RBM
from jboltz.units.bernoulli import Bernoulli

TARGETS = {
    "CD-1 epoch: share of the matrix-product rate": ("cd_epoch", "products", 1 / 1.3),
    "CD-1 epoch: speed over PyTorch, DataLoader": ("cd_epoch", "torch_loader", 2.3),
    "Gibbs: share of the matrix-product rate": ("gibbs", "products", 0.65),
    "DBM step: share of the matrix-product rate": ("dbm_step", "products", 0.5),
    "AIS: share of the matrix-product rate": ("ais", "products", 0.4),
    "Fine-tuning: share of the matrix-product rate": ("finetune", "products", 0.6),
}
"""Task, contestant, and the least that its time over jboltz's may be."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Times CD-1 training and Gibbs sampling beside PyTorch and scikit-learn, and the
    joint training of a deep Boltzmann machine, annealing and fine-tuning beside their
    matrix products."""

    workdir: pathlib.Path = pathlib.Path("runs/benchmark")
    """Folder for the figure and the results."""
    repetitions: int = 7
    """Rounds; in each one every contestant is timed once."""
    num_hidden: int = 500
    """Hidden units; the visible ones are MNIST's 784 pixels."""
    batch_size: int = 64
    """Examples an update, in training."""
    num_examples: int | None = None
    """Training images an epoch, the first of the data; by default all of them."""
    num_chains: int = 1024
    """Chains, in Gibbs sampling."""
    num_sweeps: int = 100
    """Gibbs sweeps a call; each draws all visible and all hidden units once."""
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
    for name, minimum in {**dict.fromkeys(counts, 1), "seed": 0}.items():
        value = getattr(config, name)
        if value < minimum:
            raise ValueError(f"`{name}` is {value} but needs to be at least {minimum}.")
    if config.seed >= 2**32:
        raise ValueError(f"`seed` is {config.seed} but needs to be below 2**32.")
    check_values(data.train, domain="unit interval", name="training images")
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


def run(config: Config, data: Dataset, workdir: Workdir) -> tuple[None, dict[str, Any]]:
    """Measures; returns the numbers to record."""
    del workdir
    load = busy()
    versions = peers.installed()
    for package, version in versions.items():
        if version is None:
            _run.say(f"{package} is not installed: it is left out.")
    rows = data.train[: config.num_examples]
    model = RBM(Bernoulli(rows.shape[1]), Bernoulli(config.num_hidden))
    key_params, key_cd, key_gibbs, key_dbm, key_ais, key_tune = jax.random.split(
        jax.random.key(config.seed), 6
    )
    imports = timing.import_seconds(config.repetitions)
    shared = {"rounds": config.repetitions, "seed": config.seed}
    params, training = cd.measure(
        *(model, model.init(key_params), rows, key_cd),
        batch_size=config.batch_size,
        **shared,
    )
    sampling = gibbs.measure(
        *(model, params, rows, key_gibbs),
        num_chains=config.num_chains,
        num_sweeps=config.num_sweeps,
        **shared,
    )
    joint = dbm.measure(rows, key_dbm, **shared)
    ladders = annealing.measure(model, params, rows, key_ais, **shared)
    tuning = finetune.measure(rows, key_tune, **shared)
    tasks = {"cd_epoch": training, "gibbs": sampling, "dbm_step": joint}
    tasks |= {"ais": ladders, "finetune": tuning}
    targets = {}
    for name, (task, contestant, least) in TARGETS.items():
        record = tasks[task]["contestants"].get(contestant)
        if record is not None:
            value = record["time_over_jboltz"]["median"]
            is_met = value >= least
            targets[name] = {"value": value, "at_least": least, "is_met": is_met}
    return None, {
        **tasks,
        "import_seconds": imports,
        "targets": targets,
        "peers": versions,
        "threads": peers.threads(versions),
        "load_average_before": load,
        "learning_rate": peers.LEARNING_RATE,
    }


def busy() -> float | None:
    """The load average of the last minute; says what to think of a high one."""
    if not hasattr(os, "getloadavg"):
        return None  # Windows.
    load = os.getloadavg()[0]
    if load > 1:
        # At load 4 on two cores PyTorch's epoch took 6 s or 53 s, jboltz's 4 s or 7 s.
        _run.say(
            f"warning: the load average is {load:.1f}. Beside other work, OpenMP's "
            "threads (PyTorch, scikit-learn) wait for one another far longer than "
            "XLA's; the numbers are fair on a quiet machine only."
        )
    return load


def draw_figures(
    config: Config, data: Dataset, params: None, numbers: dict[str, Any]
) -> dict[str, Any]:
    """The figures of a run, by file name."""
    del data, params
    panels = {}
    for task, label in (
        ("cd_epoch", f"CD-1 epoch of {numbers['cd_epoch']['num_examples']} images"),
        ("gibbs", f"{config.num_sweeps} Gibbs sweeps of {config.num_chains} chains"),
        ("dbm_step", f"{dbm.UPDATES} joint updates of a DBM, 784–500–1000"),
        ("ais", f"{annealing.RUNGS} rungs of AIS, {annealing.NUM_CHAINS} chains"),
        ("finetune", f"{finetune.UPDATES} updates of {_sizes(finetune.LAYERS)}"),
    ):
        records = numbers[task]["contestants"].values()
        panels[label] = {
            r["label"]: (r["seconds"]["median"], *r["seconds"]["quartiles"])
            for r in records
        }
    title = f"784–{config.num_hidden} units, float32: seconds, median and quartiles"
    return {"benchmark": plotting.bars(panels, title=title, xlabel="seconds")}


def report(results: dict[str, Any]) -> None:
    """The results as tables, and in a few lines what is not in them."""
    training, sampling = results["cd_epoch"], results["gibbs"]
    config = results["config"]
    _show_table(
        f"CD-1: {training['num_examples']} images, {training['num_steps']} steps",
        training,
        {"ms/step": ("milliseconds_a_step", 1.0)},
    )
    _show_table(
        f"Gibbs: {config['num_chains']} chains, {config['num_sweeps']} sweeps",
        sampling,
        {
            "sweeps/s": ("sweeps_per_second", 1.0),
            "Mflips/s": ("unit_flips_per_second", 1e6),
            "Gconn/s": ("connections_per_second", 1e9),
        },
    )
    _show_table(
        f"DBM 784–500–1000: {dbm.UPDATES} joint updates, {dbm.BATCH_SIZE} examples and "
        f"{dbm.NUM_CHAINS} chains",
        results["dbm_step"],
        {"ms/step": ("milliseconds_a_step", 1.0)},
    )
    _show_table(
        f"AIS: {annealing.NUM_CHAINS} chains, {annealing.RUNGS} rungs",
        results["ais"],
        {"ms/rung": ("milliseconds_a_rung", 1.0)},
    )
    _show_table(
        f"Fine-tuning {_sizes(finetune.LAYERS)}: {finetune.UPDATES} updates of "
        f"{finetune.BATCH_SIZE} examples by Adam",
        results["finetune"],
        {"ms/step": ("milliseconds_a_step", 1.0)},
    )
    _run.say(
        f"784–{config['num_hidden']} units; ratio: time over jboltz's, its median and "
        f"quartiles over {config['repetitions']} rounds"
    )
    imports, memory = results["import_seconds"], training["peak_memory_mb"]
    _run.say(
        f"jboltz: {training['compile_seconds']:.2f} s to compile the epoch; peak "
        f"memory {memory['before']:.0f} MB before it, {memory['after']:.0f} MB after; "
        f"import {imports['jboltz_beyond_jax']['median']:.2f} s beyond the "
        f"{imports['jax']['median']:.2f} s of jax"
    )
    for name, target in results["targets"].items():
        verdict = "met" if target["is_met"] else "missed"
        least = target["at_least"]
        _run.say(f"{name} {target['value']:.2f}, at least {least:.2f}: {verdict}")


def _sizes(layers: tuple[int, ...]) -> str:
    return "–".join(map(str, layers))


def _show_table(
    title: str, task: dict[str, Any], columns: dict[str, tuple[str, float]]
) -> None:
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    for column in ("seconds", "ratio", "quartiles", *columns):
        table.add_column(column, justify="right", no_wrap=True)
    for record in task["contestants"].values():
        ratio = record["time_over_jboltz"]
        low, high = ratio["quartiles"]
        table.add_row(
            record["label"],
            f"{record['seconds']['median']:.3f}",
            f"{ratio['median']:.2f}",
            f"{low:.2f}–{high:.2f}",
            *(f"{record[name] / scale:.3g}" for name, scale in columns.values()),
        )
    Console(highlight=False).print(table)


def main(arguments: list[str] | None = None) -> None:
    def load(config: Config) -> Dataset:
        return load_mnist(config.data.source, manual_dir=config.data.manual_dir)

    _run.main(
        *("benchmark", Config, arguments),
        load=load,
        check=check,
        run=run,
        draw_figures=draw_figures,
        report=report,
    )


if __name__ == "__main__":
    main()
