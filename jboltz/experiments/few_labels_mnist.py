"""What pretraining is worth when labels are few, on MNIST.
python -m jboltz.experiments.few_labels_mnist --pretrained runs/dbn_mnist

Reference: Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with
neural networks; Erhan et al. (2010), Why does unsupervised pre-training help deep
learning?
"""

import dataclasses
from typing import ClassVar, Literal

from jboltz.ranges import Count, CountFromZero, Rate
from jboltz.runs.config import answer
from jboltz.runs.families import FinetuneConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(FinetuneConfig):
    """Fine-tunes a pretrained network on few labels and on many, beside a control."""

    PRESETS: ClassVar = {"small": {"num_labels": [100, 1000], "epochs": 5}}

    GROUPS: ClassVar = {"data": ("num_labels",)}

    preset: Literal["small"] | None = None
    """Values to begin with: `small` takes a minute. Flags win."""
    num_labels: tuple[CountFromZero, ...] = (100, 1000, 10_000, 60_000)
    """Numbers of labelled training images, equally many of each class; the seed chooses
    the images."""
    epochs: Count = 30
    """Epochs of each net, of at least 10 000 rows: fewer labelled images are repeated.
    The net after the last epoch is kept, unless images are held out."""
    learning_rates: tuple[Rate, ...] = (0.001,)
    """First step sizes of Adam, which fall linearly to 0: one for each number of
    labels, or one for all."""
    control_learning_rates: tuple[Rate, ...] = (0.001,)
    """First step sizes of the control, given in the same way."""
    held_out: CountFromZero | None = 0
    """Number of training images, the last ones, that no net is trained on and whose
    errors choose the epoch; for choosing settings."""


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "few_labels_mnist")

from operator import itemgetter
from typing import Any

import jax
import numpy as np

from jboltz import plotting, random
from jboltz.base import Params
from jboltz.data import Dataset, balanced_subset, hold_out
from jboltz.errors import InvalidValue
from jboltz.runs import finetune, program
from jboltz.runs.pretrained import load_pretrained
from jboltz.runs.progress import say
from jboltz.runs.workdir import Workdir

ROWS_PER_EPOCH = 10_000
"""Fewer labelled images are repeated within an epoch, up to about this number of rows,
so that few labels do not mean few updates."""


def check(config: Config, data: Dataset) -> None:
    for name in ("learning_rates", "control_learning_rates"):
        values = getattr(config, name)
        if len(values) not in (1, len(config.num_labels)):
            raise InvalidValue(
                f"`{name}` is {values} but there are {len(config.num_labels)} numbers "
                "of labels; give one for all, or one for each."
            )
    if not config.num_labels or len(set(config.num_labels)) < len(config.num_labels):
        raise InvalidValue(
            f"`num_labels` is {config.num_labels} but needs one or more numbers, each "
            "once."
        )
    finetune.check(config, data)
    if config.held_out != 0:
        data = hold_out(data, config.held_out)
    labels = np.asarray(data.train_labels)
    for count in config.num_labels:
        balanced_subset(labels, count, config.seed)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[dict[str, dict[str, Params]], dict[str, Any]]:
    """Trains both nets on every number of labels; returns their parameters, by that
    number, and the numbers to record."""
    pretrained = load_pretrained(config.pretrained, data)
    parts, num_classes = finetune.split(config, data, pretrained)
    given = parts["train"]
    params, numbers = {}, {}
    rates = zip(
        each(config, config.learning_rates),
        each(config, config.control_learning_rates),
        strict=True,
    )
    for index, (count, both) in enumerate(zip(config.num_labels, rates, strict=True)):
        rows = balanced_subset(np.asarray(given.labels), count, config.seed)
        rows = np.tile(rows, -(-ROWS_PER_EPOCH // count))
        params[str(count)], numbers[str(count)] = finetune.compare(
            config,
            pretrained,
            parts | {"train": jax.tree.map(itemgetter(rows), given)},
            num_classes,
            workdir,
            random.fold_in(jax.random.key(config.seed), index),
            learning_rates=both,
            stage=f"_{count}",
        )
    return params, {"num_labels": numbers, "pretraining": pretrained.run}


def each(config: Config, rates: tuple[float, ...]) -> tuple[float, ...]:
    """One rate for each number of labels."""
    return rates * len(config.num_labels) if len(rates) == 1 else rates


def draw_figures(
    config: Config,
    data: Dataset,
    params: dict[str, dict[str, Params]],
    numbers: dict[str, Any],
) -> dict[str, Any]:
    judged = "test" if config.read_test else "held out"
    panels, curves = {}, {}
    for count, nets in numbers["num_labels"].items():
        bars = panels[f"{count} labels"] = {}
        for name, found in nets.items():
            error, sd = _error(found)
            bars[name] = tuple(100 * x for x in (error, error - sd, error + sd))
            curves[f"{name}, {count}"] = [record["loss"] for record in found["epochs"]]
    return {
        "errors": plotting.bars(
            panels, title=f"Errors with few labels and many ({judged})", xlabel="%"
        ),
        "losses": plotting.curves(
            curves, title="Cross-entropy on what has labels", ylabel="nats"
        ),
    }


def _error(found: dict[str, Any]) -> tuple[float, float]:
    """The share of wrong answers, and its standard error where there is one."""
    if "test" in found:
        return found["test"]["error"], found["test"]["standard_error"]
    return found["held_out_error"], 0.0


def report(results: dict[str, Any]) -> None:
    for count, nets in results["num_labels"].items():
        say(f"{count} labels:")
        finetune.say_errors(nets)


PROGRAM = program.Program(
    name="few_labels_mnist",
    config=Config,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
)

if __name__ == "__main__":
    program.main(PROGRAM)
