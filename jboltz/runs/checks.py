"""What every program refuses before it writes anything."""

from collections.abc import Mapping

import numpy as np

from jboltz.data import Dataset, check_values
from jboltz.errors import InvalidValue
from jboltz.runs.config import RunConfig, TrainingConfig


def at_least(config: RunConfig, least: Mapping[str, int]) -> None:
    """Each named field has at least this value.

    Raises:
      ValueError: one has less.
    """
    for name, minimum in least.items():
        value = getattr(config, name)
        if not value >= minimum:
            raise InvalidValue(
                f"`{name}` is {value} but needs to be at least {minimum}."
            )


def rates(config: RunConfig, *names: str) -> None:
    """Each named field is a step size, or several, that single precision can hold.

    Raises:
      ValueError: one is not.
    """
    for name in names:
        value = getattr(config, name)
        values = value if isinstance(value, tuple) else (value,)
        if not all(0 < x <= float(np.finfo(np.float32).max) for x in values):
            raise InvalidValue(
                f"`{name}` is {value} but needs to be a finite number above 0, in "
                "single precision."
            )


def seed(config: RunConfig) -> None:
    """`seed` makes a key.

    Raises:
      ValueError: it is negative or has more than 32 bits.
    """
    at_least(config, {"seed": 0})
    if config.seed >= 2**32:
        raise InvalidValue(f"`seed` is {config.seed} but needs to be below 2**32.")


def layers(sizes: tuple[int, ...], data: Dataset) -> None:
    """`layers` begins with the pixels and has a hidden layer.

    Raises:
      ValueError: it has fewer than two, an empty one, or another first one.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise InvalidValue(
            f"`layers` is {sizes} but needs two or more sizes of at least 1: "
            "the pixels, then one or more hidden layers."
        )
    if sizes[0] != data.train.shape[1]:
        raise InvalidValue(
            f"`layers` begins with {sizes[0]} units but the images of "
            f"{data.name} have {data.train.shape[1]} pixels; begin with "
            f"{data.train.shape[1]}."
        )


def values(config: TrainingConfig, data: Dataset) -> None:
    """The images are gray or binary, and make at least one batch.

    Raises:
      ValueError: they are not.
    """
    check_values(data.train, name="training images")
    check_values(data.test, name="test images")
    if config.batch_size > len(data.train):
        raise InvalidValue(
            f"`batch_size` is {config.batch_size} but there are {len(data.train)} "
            "training images; take at most that many."
        )


def held_out(count: int, batch_size: int, data: Dataset) -> None:
    """What `held_out`, a `count`, leaves to train on is a batch or more.

    Raises:
      ValueError: it leaves less.
    """
    if count > len(data.train) - batch_size:
        raise InvalidValue(
            f"`held_out` is {count} but of {len(data.train)} training images "
            f"that leaves no batch of {batch_size}; hold out fewer."
        )


def labels(data: Dataset) -> None:
    """Every image has a class.

    Raises:
      ValueError: there are no labels.
    """
    for name in ("train_labels", "test_labels"):
        if getattr(data, name) is None:
            raise InvalidValue(
                f"{data.name} has no `{name}` but a classifier needs the class of "
                "every image; load a labelled source."
            )
