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
from typing import ClassVar, Literal

from jboltz.ranges import Count, CountFromZero, Rate, ShareBelowOne
from jboltz.runs.config import answer
from jboltz.runs.families import NetConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(NetConfig):
    """Trains convolutional nets on a pretrained network's codes, and their controls."""

    PRESETS: ClassVar = {"small": {"epochs": 2, "num_labels": 5000}}

    GROUPS: ClassVar = {
        "model": ("forms", "channels", "num_dense"),
        "data": ("num_labels",),
    }

    preset: Literal["small"] | None = None
    """Values to begin with: `small` takes a minute. Flags win."""
    pretrained: pathlib.Path = pathlib.Path("runs/dbn_square")
    """Workdir of a finished run of dbn_mnist or rbm_mnist; `map` needs a square number
    of units in its top layer, as in `dbn_mnist --layers 784 500 400`."""
    forms: tuple[Literal["map", "joined"], ...] = ("map", "joined")
    """`map`: the net sees the code as an image. `joined`: the net sees the pixels, and
    its output layer also the code."""
    num_labels: CountFromZero = 0
    """Labelled training images, equally many of each class; 0 takes all that are not
    held out."""
    epochs: Count = 8
    learning_rate: Rate = 0.002
    """First step size of Adam, for every net; it falls linearly to 0."""
    channels: tuple[Count, Count] = (8, 16)
    """Units of the two convolutions, of 5 × 5 and 3 × 3."""
    num_dense: Count = 128
    """Units of the dense layer below the output layer."""
    dropout: ShareBelowOne = 0.25
    """Share of the inputs of the output layer that are left out, in training: units of
    the dense layer and of the code."""


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "hybrid_mnist")

from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Key

from jboltz import plotting, random
from jboltz.base import Params
from jboltz.data import Dataset, balanced_subset, hold_out
from jboltz.errors import InvalidValue
from jboltz.learning.pretrain import unit_interval
from jboltz.models.dbn import DBN
from jboltz.nets.finetune import LabelledExamples
from jboltz.nets.hybrid import (
    CodeScaler,
    ConvNet,
    ImageAndCodeNet,
    encode,
    fit_code_scaler,
    square_side,
)
from jboltz.runs import checks, finetune, program
from jboltz.runs.pretrained import Pretrained, dbn_of, load_pretrained, refuse_scaling
from jboltz.runs.progress import say
from jboltz.runs.workdir import Workdir


class Net(NamedTuple):
    """A net to train, and the kind of network whose codes it is given."""

    module: nn.Module
    form: Literal["pixels", "map", "joined"]
    codes: Literal["pretrained", "untrained"] | None


def check(config: Config, data: Dataset) -> None:
    if config.held_out == 0:
        raise InvalidValue("`held_out` is 0 but some images have to choose the epoch.")
    if not config.forms or len(set(config.forms)) < len(config.forms):
        raise InvalidValue(
            f"`forms` is {config.forms} but needs `map`, `joined` or both, once each."
        )
    pixels, (first, second) = data.train.shape[1], config.channels
    weights = first * second * 9 + second * config.num_dense * (pixels // 16)
    images = config.batch_size * first * pixels
    checks.images(config, data, channels=3 * weights + images)
    checks.held_out(config.held_out, config.batch_size, data)
    checks.labels(data)
    made_by = (
        "dbn_mnist --layers 784 500 400 --epochs 10 --learning-rate 0.05 "
        "--batch-size 100"
    )
    pretrained = load_pretrained(config.pretrained, data, made_by=made_by)
    refuse_scaling(pretrained)
    dbn = dbn_of(pretrained)
    parts, num_classes = split(config, data, pretrained)
    if config.batch_size > len(parts["train"].labels):
        raise InvalidValue(
            f"`batch_size` is {config.batch_size} but `num_labels` is "
            f"{config.num_labels}; take batches of at most that many."
        )
    make_nets(config, data, dbn, num_classes)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[Params, dict[str, Any]]:
    """Trains every net; returns the parameters and the numbers to record."""
    pretrained = load_pretrained(config.pretrained, data)
    dbn = dbn_of(pretrained)
    # The same keys for every net: they begin alike, and see the same order.
    key_untrained, key_weights, key_train = random.split(jax.random.key(config.seed), 3)
    parts, num_classes = split(config, data, pretrained)
    weights = {"pretrained": pretrained.params, "untrained": dbn.init(key_untrained)}
    coders = {
        name: fit_code_scaler(dbn, x, parts["train"].images)
        for name, x in weights.items()
    }
    params, numbers = {}, {}
    for name, net in make_nets(config, data, dbn, num_classes).items():
        seen = {k: seen_by(net, dbn, coders, part) for k, part in parts.items()}
        start = glorot(net, seen["train"], key_weights)
        params[name], numbers[name] = finetune.train(
            config,
            workdir,
            name,
            net.module,
            start,
            seen,
            key_train,
            learning_rate=config.learning_rate,
        )
    return {"nets": params, "coders": coders}, {
        "num_labels": len(parts["train"].labels),
        "nets": numbers,
        "pretraining": pretrained.run,
    }


def split(
    config: Config, data: Dataset, pretrained: Pretrained
) -> tuple[finetune.Examples, int]:
    """The examples to train on, to choose the epoch by and to test on; the number of
    classes."""
    parts, num_classes = finetune.split(config, data, pretrained)
    if config.num_labels:
        labels = np.asarray(parts["train"].labels)
        chosen = balanced_subset(labels, config.num_labels, config.seed)
        parts["train"] = jax.tree.map(itemgetter(chosen), parts["train"])
    return parts, num_classes


def make_nets(
    config: Config, data: Dataset, dbn: DBN, num_classes: int
) -> dict[str, Net]:
    """Every net by its name, the one on the pixels alone first.

    Raises:
      ValueError: the pixels or the code make no image that a `ConvNet` takes.
    """

    def convnet(image_shape: tuple[int, ...]) -> ConvNet:
        net = ConvNet(
            image_shape,
            num_classes,
            config.channels,
            num_dense=config.num_dense,
            dropout=config.dropout,
        )
        net.check()
        return net

    on_pixels = convnet(data.image_shape or (28, 28))
    found = {"pixels": Net(on_pixels, "pixels", None)}
    for form in config.forms:
        if form == "map":
            side = square_side(dbn.layers[-1].hidden.size)
            module = convnet((side, side))
        else:
            module = ImageAndCodeNet(on_pixels)
        for codes in ("pretrained", "untrained"):
            found[f"{form}_{codes}"] = Net(module, form, codes)
    return found


def seen_by(
    net: Net, dbn: DBN, coders: dict[str, CodeScaler], part: LabelledExamples
) -> LabelledExamples:
    """The examples as the net sees them; codes are computed once, before training."""
    if net.codes is None:
        return part
    codes = encode(dbn, coders[net.codes], part.images)
    if net.form == "map":
        return LabelledExamples(images=codes, labels=part.labels)
    return LabelledExamples(images=part.images, labels=part.labels, above=(codes,))


def glorot(net: Net, part: LabelledExamples, key: Key[Array, ""]) -> Params:
    """Glorot weights. With one key they are equal for the codes of both networks."""
    example = jax.tree.map(lambda x: x[0].astype("float32"), part)
    return net.module.init(key, example.images, example.above)["params"]


def draw_figures(
    config: Config, data: Dataset, params: Params, numbers: dict[str, Any]
) -> dict[str, Any]:
    figures = {}
    for form in config.forms:
        names = {
            "convolutional net on the pixels": "pixels",
            "hybrid": f"{form}_pretrained",
            "hybrid, not pretrained": f"{form}_untrained",
        }
        curves = {
            label: [100 * x["held_out_error"] for x in numbers["nets"][name]["epochs"]]
            for label, name in names.items()
        }
        figures[f"errors_{form}"] = plotting.curves(
            curves,
            title=f"Held-out errors of the form “{form}” and of its controls",
            ylabel="%",
        )
    if "map" in config.forms:
        figures["maps"] = plotting.states(
            maps(config, data, params["coders"]),
            data.image_shape or (28, 28),
            title="Digits and the maps of their codes\n(gray: a unit's mean)",
        )
    return figures


def maps(
    config: Config, data: Dataset, coders: dict[str, CodeScaler]
) -> dict[str, Array]:
    """A digit of each class and its codes, of which 0 to 1 shows −3 to 3 scales."""
    dbn = dbn_of(load_pretrained(config.pretrained, data))
    if not config.read_test:
        data = hold_out(data, config.held_out)
    labels = np.asarray(data.test_labels)
    first = np.unique(labels, return_index=True)[1]
    digits = unit_interval(jnp.asarray(data.test[first]))
    codes = {
        name: jnp.clip(0.5 + encode(dbn, coder, digits) / 6, 0, 1)
        for name, coder in coders.items()
    }
    return {"digit": digits, **codes}


def report(results: dict[str, Any]) -> None:
    say(f"{results['num_labels']} labelled images")
    finetune.say_errors(results["nets"])
    counts = {name: net["num_parameters"] for name, net in results["nets"].items()}
    say(f"parameters: {', '.join(f'{k} {x}' for k, x in counts.items())}")


PROGRAM = program.Program(
    name="hybrid_mnist",
    config=Config,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
)

if __name__ == "__main__":
    program.main(PROGRAM)
