"""Fine-tuning on MNIST, beside a net that was not pretrained.
python -m jboltz.experiments.finetune_mnist --pretrained runs/dbn_mnist

Reference: Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with
neural networks; Salakhutdinov & Hinton (2009), Deep Boltzmann machines.
"""

import dataclasses
from typing import ClassVar, Literal

from jboltz.ranges import Count, Rate
from jboltz.runs.config import answer
from jboltz.runs.families import FinetuneConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(FinetuneConfig):
    """Fine-tunes a pretrained network as a classifier, and trains its control."""

    PRESETS: ClassVar = {"small": {"epochs": 2}}

    preset: Literal["small"] | None = None
    """Values to begin with: `small` takes a minute. Flags win."""
    batch_size: Count = 128
    learning_rate: Rate = 0.003
    """First step size of Adam; it falls linearly to 0."""
    control_learning_rate: Rate = 0.003
    """First step size of the control; it falls linearly to 0 too."""


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "finetune_mnist")

import math
from typing import Any

import jax

from jboltz import plotting
from jboltz.base import Params
from jboltz.data import Dataset
from jboltz.runs import finetune, program
from jboltz.runs.pretrained import load_pretrained
from jboltz.runs.workdir import Workdir


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[dict[str, Params], dict[str, Any]]:
    """Trains both nets; returns their parameters and the numbers to record."""
    pretrained = load_pretrained(config.pretrained, data)
    parts, num_classes = finetune.split(config, data, pretrained)
    params, numbers = finetune.compare(
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
    shape = data.image_shape or (28, 28)
    before = load_pretrained(config.pretrained, data).first_weights
    after, control = (
        params[net]["hidden_1"]["kernel"] for net in ("pretrained", "control")
    )
    filters = {
        "before": ("Filters before fine-tuning", before),
        "after": ("Filters after fine-tuning", after),
        "control": ("Filters of the control", control),
    }
    return {
        "errors": draw_errors(numbers["nets"]),
        **{
            f"filters_{name}": plotting.filters(weights, shape, title=title)
            for name, (title, weights) in filters.items()
        },
    }


def draw_errors(nets: dict[str, Any]) -> Any:
    """A figure of the errors of each net: in training and on held-out digits after each
    epoch, and on the test digits, where they were read, after the last."""
    curves = {}
    for name, found in nets.items():
        epochs = found["epochs"]
        for part, field in (("training", "error"), ("held out", "held_out_error")):
            if field in epochs[0]:
                curves[f"{name}, {part}"] = [100 * record[field] for record in epochs]
        if "test" in found:
            before = [math.nan] * (len(epochs) - 1)
            curves[f"{name}, test"] = [*before, 100 * found["test"]["error"]]
    return plotting.curves(
        curves, title="Errors of a pretrained net and of its control", ylabel="%"
    )


def report(results: dict[str, Any]) -> None:
    finetune.say_errors(results["nets"])


PROGRAM = program.Program(
    name="finetune_mnist",
    config=Config,
    check=finetune.check,
    run=run,
    draw_figures=draw_figures,
    report=report,
)

if __name__ == "__main__":
    program.main(PROGRAM)
