"""What the fields of a configuration may be, by their names, in every program."""

import dataclasses
from typing import Any

import numpy as np

from jboltz.errors import InvalidValue


@dataclasses.dataclass(frozen=True)
class Range:
    """From `least` to `most`, both allowed unless the range is open."""

    least: int | float
    most: int | float
    is_open: bool = False  # `most` itself is not allowed

    def __contains__(self, value: int | float) -> bool:
        below = value < self.most if self.is_open else value <= self.most
        return self.least <= value and below

    def __str__(self) -> str:
        least, most = (format(x, ".10g") for x in (self.least, self.most))
        return f"at least {least} and {'below' if self.is_open else 'at most'} {most}"


NAMES = (
    (
        Range(1, 1_000_000),
        "epochs batch_size num_hidden layers hidden num_dense "
        "channels num_components patch_size num_chains clamped_points raise_points "
        "bound_images num_weights repetitions num_examples up_down_epochs mesh.data "
        "mesh.model sweep.num_hidden sweep.batch_sizes sweep.num_chains",
    ),
    (Range(0, 1_000_000), "pretrain_epochs num_labels held_out"),
    (Range(2, 1_000_000), "annealed_chains raise_chains num_replicas"),
    (Range(4, 10_000_000), "tempering_steps"),
    (Range(6, 1_000_000), "num_samples"),
    (Range(100, 100_000_000), "num_patches"),
    (Range(1, 100_000), "num_steps max_sweeps up_down_steps"),
    (Range(1, 10_000_000), "sample_steps num_sweeps"),
    # A key is made of 32 bits.
    (Range(0, 2**32, is_open=True), "seed"),
    # Weights start near 0.01 and gradients are near 1: in single precision a smaller
    # rate moves no weight, and nothing stays finite at a larger one.
    (
        Range(1e-9, 1e3),
        "learning_rate learning_rates control_learning_rate "
        "control_learning_rates pretrain_learning_rate variance_learning_rate "
        "up_down_learning_rate",
    ),
    (Range(1e-12, 1e6), "clip weight_scale deviation kappa relative_precision epsilon"),
    (Range(0, 1e6), "weight_decay max_norm rates discriminative sparsity_strengths"),
    # exp of more leaves single precision.
    (Range(-80, 80), "hidden_bias spike_bias log_variance_range"),
    # Each of a ladder's three segments needs a step; 1 000 is 14.5 million rungs.
    (Range(1 / 500, 1000), "ladder_scale raise_ladders"),
    (Range(0, 1000), "ladder_check"),
    (Range(0, 1), "offset_rate tolerance least_scale"),
    (Range(0, 1, is_open=True), "dropout momentum"),
    (Range(1e-6, 1, is_open=True), "sparsity_targets"),
    (Range(1e-6, 86_400), "sweep.seconds sweep.budget"),
)
RANGES = {name: limits for limits, names in NAMES for name in names.split()}
"""The ranges of fields, and of every number in those that are tuples."""


def flat_fields(config: Any, prefix: str = "") -> dict[str, Any]:
    """The fields of a configuration and of the records in it, by dotted names."""
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= flat_fields(value, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = value
    return found


def check_ranges(config: Any) -> None:
    """Every number is finite, and a field that is named in `RANGES` is in its range.

    Raises:
      ValueError: one is not.
    """
    for name, value in flat_fields(config).items():
        values = value if isinstance(value, tuple) else (value,)
        numbers = [x for x in values if isinstance(x, int | float)]
        limits = RANGES.get(name)
        what = "every number in it" if isinstance(value, tuple) else "it"
        if limits and not all(number in limits for number in numbers):
            raise InvalidValue(
                f"`{name}` is {shortened(value)} but {what} needs to be {limits}."
            )
        if not all(_is_finite(number) for number in numbers):
            raise InvalidValue(
                f"`{name}` is {shortened(value)} but {what} needs to be finite, in "
                "single precision."
            )


def shortened(value: Any) -> str:
    """`value` as text that fits into a message."""
    text = str(value)
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"


def _is_finite(number: int | float) -> bool:
    largest = 2**63 - 1 if isinstance(number, int) else float(np.finfo(np.float32).max)
    return abs(number) <= largest  # not so for NaN
