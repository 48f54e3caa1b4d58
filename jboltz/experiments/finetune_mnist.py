"""Fine-tuning on MNIST, beside a net that was not pretrained.
python -m jboltz.experiments.finetune_mnist --pretrained runs/dbn_mnist

Reference: Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with
neural networks; Salakhutdinov & Hinton (2009), Deep Boltzmann machines.
"""

import dataclasses
import pathlib
from typing import Any, ClassVar, Literal

import jax

from jboltz import plotting
from jboltz.base import Params
from jboltz.data import Dataset, load_mnist
from jboltz.experiments import _checks, _config, _finetune, _pretrained, _run
from jboltz.experiments._workdir import Workdir


@dataclasses.dataclass(frozen=True)
class Config:
    """Fine-tunes a pretrained network as a classifier, and trains its control."""

    PRESETS: ClassVar = {"small": {"epochs": 2}}

    workdir: pathlib.Path = pathlib.Path("runs/finetune_mnist")
    """Folder for checkpoints, figures and results; an interrupted run goes on there."""
    preset: Literal["small"] | None = None
    """Values to begin with: `small` takes a minute. Flags win."""
    pretrained: pathlib.Path = pathlib.Path("runs/dbn_mnist")
    """Workdir of a finished run of dbn_mnist, dbm_mnist or rbm_mnist."""
    train: Literal["all", "head"] = "all"
    """`head` freezes the pretrained layers; the control trains all of its own."""
    epochs: int = 30
    """Epochs of each net; that with the fewest held-out errors is kept, or the last
    where nothing is held out."""
    batch_size: int = 128
    """Examples an update; the last batch of an epoch may be shorter."""
    learning_rate: float = 0.003
    """First step size of Adam; it falls linearly to 0."""
    control_learning_rate: float = 0.003
    """The same of the control."""
    rates: tuple[float, ...] = ()
    """Factors of the learning rate of the pretrained net, from the first hidden layer
    to the head; none stands for 1 everywhere, 0 freezes a layer."""
    dropout: tuple[float, ...] = ()
    """Share of units left out, of the pixels and of each hidden layer; none for 0."""
    weight_decay: float = 0.0
    """Decoupled, as a factor of the learning rate."""
    max_norm: float = 0.0
    """Largest norm of the weights that arrive at a unit; 0 does not bound it."""
    held_out: int = 10_000
    """Training images, the last ones, whose errors choose the epoch; 0 trains on all:
    for settings that were chosen before."""
    read_test: bool = True
    """Read the test set, once, at the end; --no-read-test while choosing settings."""
    seed: int = 0
    """Decides initial weights, order and what is left out."""
    data: _config.Mnist = dataclasses.field(default_factory=_config.Mnist)
    mesh: _config.Mesh = dataclasses.field(default_factory=_config.Mesh)
    distributed: bool = False
    """One of several processes, on as many hosts, that run this same command."""
    config: pathlib.Path | None = None
    """TOML file with values of these fields; flags beside it win."""
    tensorboard: bool = False
    """Also keep the epochs and figures as TensorBoard events, in the workdir."""
    overwrite: bool = False
    """Delete what an earlier run left in the workdir and begin anew."""


def check(config: Config, data: Dataset) -> None:
    """Refuses what cannot be run, before anything is written.

    Raises:
      ValueError: a field that makes no sense or does not fit the data, or no finished
        pretraining on these data.
    """
    _checks.rates(config, "learning_rate", "control_learning_rate")
    _finetune.check(config, data, _pretrained.load(config.pretrained, data))


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[dict[str, Params], dict[str, Any]]:
    """Trains both nets; returns their parameters and the numbers to record."""
    pretrained = _pretrained.load(config.pretrained, data)
    parts, num_classes = _finetune.split(config, data, pretrained)
    params, numbers = _finetune.compare(
        config,
        pretrained,
        parts,
        num_classes,
        workdir,
        jax.random.key(config.seed),
        learning_rates=(config.learning_rate, config.control_learning_rate),
    )
    return params, {"nets": numbers, "pretraining": pretrained.run}


def draw_figures(
    config: Config, data: Dataset, params: dict[str, Params], numbers: dict[str, Any]
) -> dict[str, Any]:
    """The figures of a run, by file name."""
    shape = data.image_shape or (28, 28)
    before = _pretrained.load(config.pretrained, data).first_weights
    curves = {
        f"{name}, {part}": [100 * record[field] for record in found["epochs"]]
        for name, found in numbers["nets"].items()
        for part, field in (("training", "error"), ("held out", "held_out_error"))
        if field in found["epochs"][0]
    }
    filters = {
        "before": ("Filters before fine-tuning", before),
        "after": (
            "Filters after fine-tuning",
            params["pretrained"]["hidden_1"]["kernel"],
        ),
        "control": ("Filters of the control", params["control"]["hidden_1"]["kernel"]),
    }
    return {
        "errors": plotting.curves(
            curves, title="Errors of a pretrained net and of its control", ylabel="%"
        ),
        **{
            f"filters_{name}": plotting.filters(weights, shape, title=title)
            for name, (title, weights) in filters.items()
        },
    }


def report(results: dict[str, Any]) -> None:
    """The results in a few lines."""
    _finetune.say(results["nets"])


def main(arguments: list[str] | None = None) -> None:
    def load(config: Config) -> Dataset:
        return load_mnist(config.data.source, manual_dir=config.data.manual_dir)

    _run.main(
        "finetune_mnist",
        Config,
        arguments,
        load=load,
        check=check,
        run=run,
        draw_figures=draw_figures,
        report=report,
    )


if __name__ == "__main__":
    main()
