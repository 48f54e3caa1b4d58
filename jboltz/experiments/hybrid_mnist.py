r"""Codes of a pretrained network in a convolutional net, on MNIST, with their controls.
python -m jboltz.experiments.dbn_mnist --layers 784 500 400 --epochs 10 \
    --learning-rate 0.05 --batch-size 100 --workdir runs/dbn_square
python -m jboltz.experiments.hybrid_mnist --pretrained runs/dbn_square

Beside them the same net on the pixels alone, and the same hybrids on codes of the same
network with untrained weights. The units of a code have no order: neighbours in its map
have nothing in common, which is not what a convolution is for.

Reference: the hybrid of the blog that goes with the PyTorch notes, whose map of a code
this is; LeCun, Bottou, Bengio & Haffner (1998), Gradient-based learning applied to
document recognition, for the convolutional net.
"""

import dataclasses
import pathlib
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jboltz import plotting, random
from jboltz.base import Params
from jboltz.data import Dataset, load_mnist
from jboltz.experiments import (
    _checks,
    _config,
    _finetune,
    _hybrid,
    _pretrained,
    _run,
)
from jboltz.experiments._workdir import Workdir
from jboltz.nets.hybrid import CodeScaler, encode, fit_code_scaler


@dataclasses.dataclass(frozen=True)
class Config:
    """Trains convolutional nets on a pretrained network's codes, and their controls."""

    PRESETS: ClassVar = {"small": {"epochs": 2, "num_labels": 5000}}

    workdir: pathlib.Path = pathlib.Path("runs/hybrid_mnist")
    """Folder for checkpoints, figures and results; an interrupted run goes on there."""
    preset: Literal["small"] | None = None
    """Values to begin with: `small` takes a minute. Flags win."""
    pretrained: pathlib.Path = pathlib.Path("runs/dbn_square")
    """Workdir of a finished run of dbn_mnist or rbm_mnist; `map` needs a square number
    of units at its top, as of `dbn_mnist --layers 784 500 400`."""
    forms: tuple[Literal["map", "joined"], ...] = ("map", "joined")
    """`map`: the code is the image that the net sees. `joined`: the net sees the
    pixels, and its head the code too."""
    num_labels: int = 0
    """Training images whose class is known, as many of each class; 0 for all but those
    held out."""
    epochs: int = 8
    """Epochs of each net; that with the fewest held-out errors is kept."""
    batch_size: int = 100
    """Examples an update; the last batch of an epoch may be shorter."""
    learning_rate: float = 0.002
    """First step size of Adam, for every net; it falls linearly to 0."""
    channels: tuple[int, int] = (8, 16)
    """Units of the two convolutions, of 5 × 5 and 3 × 3."""
    num_dense: int = 128
    """Units of the dense layer below the head."""
    dropout: float = 0.25
    """Share left out of what the head sees: the dense layer's units, and the code's."""
    weight_decay: float = 0.0
    """Decoupled, as a factor of the learning rate."""
    max_norm: float = 0.0
    """Largest norm of the weights that arrive at a unit; 0 does not bound it."""
    held_out: int = 10_000
    """Training images, the last ones, whose errors choose the epoch."""
    read_test: bool = True
    """Read the test set, once, at the end; --no-read-test while choosing settings."""
    seed: int = 0
    """Decides initial weights, the untrained network, labels, order and what is left
    out."""
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
        pretraining of a DBN on these data.
    """
    _checks.at_least(
        config,
        {"epochs": 1, "batch_size": 1, "held_out": 1, "num_labels": 0, "num_dense": 1}
        | {"weight_decay": 0, "max_norm": 0, "dropout": 0},
    )
    if config.dropout >= 1:
        raise ValueError(f"`dropout` is {config.dropout} but needs to be below 1.")
    if min(config.channels) < 1:
        raise ValueError(
            f"`channels` is {config.channels} but a convolution needs at least 1."
        )
    if not config.forms or len(set(config.forms)) < len(config.forms):
        raise ValueError(
            f"`forms` is {config.forms} but needs `map`, `joined` or both, once each."
        )
    _checks.rates(config, "learning_rate")
    _checks.seed(config)
    _checks.values(config, data)
    _checks.held_out(config, data)
    _checks.labels(data)
    pretrained = _pretrained.load(config.pretrained, data)
    dbn = _hybrid.dbn_of(pretrained)
    parts, num_classes = _hybrid.split(config, data, pretrained)
    if config.batch_size > len(parts["train"].labels):
        raise ValueError(
            f"`batch_size` is {config.batch_size} but `num_labels` is "
            f"{config.num_labels}; take batches of at most that many."
        )
    _hybrid.nets(config, data, dbn, num_classes)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[Params, dict[str, Any]]:
    """Trains every net; returns the parameters and the numbers to record."""
    pretrained = _pretrained.load(config.pretrained, data)
    dbn = _hybrid.dbn_of(pretrained)
    # The same keys for every net: they begin alike, and see the same order.
    key_untrained, key_weights, key_train = random.split(jax.random.key(config.seed), 3)
    parts, num_classes = _hybrid.split(config, data, pretrained)
    coders = {
        codes: fit_code_scaler(dbn, params, parts["train"].images)
        for codes, params in (
            ("pretrained", pretrained.params),
            ("untrained", dbn.init(key_untrained)),
        )
    }
    params, numbers = {}, {}
    for name, net in _hybrid.nets(config, data, dbn, num_classes).items():
        seen = {k: _hybrid.given(net, dbn, coders, part) for k, part in parts.items()}
        start = _hybrid.start(net, seen["train"], key_weights)
        params[name], numbers[name] = _finetune.train(
            config,
            workdir,
            name,
            net.module,
            start,
            seen,
            key_train,
            config.learning_rate,
            dict.fromkeys(start, 1.0),
        )
    return {"nets": params, "coders": coders}, {
        "num_labels": len(parts["train"].labels),
        "nets": numbers,
        "pretraining": pretrained.run,
    }


def draw_figures(
    config: Config, data: Dataset, params: Params, numbers: dict[str, Any]
) -> dict[str, Any]:
    """The figures of a run, by file name."""
    curves = {
        name: [100 * record["held_out_error"] for record in found["epochs"]]
        for name, found in numbers["nets"].items()
    }
    figures = {
        f"errors_{form}": plotting.curves(
            {
                "convolutional net on the pixels": curves["pixels"],
                "hybrid": curves[f"{form}_pretrained"],
                "hybrid, not pretrained": curves[f"{form}_untrained"],
            },
            title=f"Held-out errors of the form “{form}” and of its controls",
            ylabel="%",
        )
        for form in config.forms
    }
    if "map" in config.forms:
        figures["maps"] = plotting.states(
            maps(config, data, params["coders"]),
            data.image_shape or (28, 28),
            title="Digits and the maps of their codes\n(gray: a unit's mean)",
        )
    return figures


def maps(
    config: Config, data: Dataset, coders: dict[str, CodeScaler]
) -> dict[str, np.ndarray]:
    """A digit of each class and its codes, 3 scales around the mean in [0, 1]."""
    dbn = _hybrid.dbn_of(_pretrained.load(config.pretrained, data))
    images, labels = data.train[-config.held_out :], data.train_labels
    labels = np.asarray(labels)[-config.held_out :]
    if config.read_test:
        images, labels = data.test, np.asarray(data.test_labels)
    digits = images[np.unique(labels, return_index=True)[1]]
    codes = {
        name: np.clip(0.5 + encode(dbn, coder, jnp.asarray(digits)) / 6, 0, 1)
        for name, coder in coders.items()
    }
    scale = 255 if digits.dtype == np.uint8 else 1
    return {"digit": digits / scale, **codes}


def report(results: dict[str, Any]) -> None:
    """The results in a few lines."""
    _run.say(f"{results['num_labels']} labelled images")
    _finetune.say(results["nets"])
    counts = {name: net["num_parameters"] for name, net in results["nets"].items()}
    _run.say(f"parameters: {', '.join(f'{k} {x}' for k, x in counts.items())}")


def main(arguments: list[str] | None = None) -> None:
    def load(config: Config) -> Dataset:
        return load_mnist(config.data.source, manual_dir=config.data.manual_dir)

    _run.main(
        "hybrid_mnist",
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
