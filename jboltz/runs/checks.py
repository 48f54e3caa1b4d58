"""What every program refuses before it writes anything; `ranges` comes before.

Each function raises a `ValueError` that names the field.
"""

import itertools
import math
from collections.abc import Mapping

from jboltz.data import Dataset, check_values, hold_out
from jboltz.errors import InvalidValue
from jboltz.ranges import flat_fields, shortened
from jboltz.runs import machine
from jboltz.runs.config import RunConfig, TrainingConfig
from jboltz.runs.progress import say


def at_most(config: RunConfig, most: Mapping[str, int]) -> None:
    """Each named field asks for no more images than there are."""
    for name, count in most.items():
        if getattr(config, name) > count:
            raise InvalidValue(
                f"`{name}` is {getattr(config, name)} but there are {count} images to "
                "take; take at most that many."
            )


def memory(config: RunConfig, data: Dataset, **others: int) -> None:
    """What the fields of the configuration surely need fits into the memory.

    Args:
      others: numbers in single precision that a field makes the program hold, for
        fields that only this program has.
    """
    floats = _num_floats(config, data) | others
    needs = {name: 4 * x for name, x in floats.items()}
    total, available = sum(needs.values()), machine.memory_bytes()
    if total > available:
        largest = max(needs, key=needs.__getitem__)
        value = shortened(flat_fields(config)[largest][0])
        raise InvalidValue(
            f"`{largest}` is {value}, which needs {needs[largest] / 1e9:,.1f} GB; all "
            f"fields together need at least {total / 1e9:,.1f} GB, but there are "
            f"{available / 1e9:,.1f} GB; make it smaller."
        )


def _num_floats(config: RunConfig, data: Dataset) -> dict[str, int]:
    """Numbers in single precision, at least, that each field makes a program hold.

    Weights count three times, for their gradient and their update.
    """
    fields = {name: value for name, (value, _) in flat_fields(config).items()}
    pixels = data.train.shape[1]
    width = fields.get("num_components", pixels)
    needs, units = {}, width
    for name in fields.keys() & {"layers", "num_hidden", "hidden"}:
        above = fields[name] if isinstance(fields[name], tuple) else (fields[name],)
        # The layers of digits begin with the pixels, those of patches above them.
        sizes = above if above[:1] == (width,) else (width, *above)
        needs[name] = 3 * sum(a * b for a, b in itertools.pairwise(sizes))
        units += sum(sizes[1:])

    def product(*names: str) -> int:
        return math.prod(fields.get(name, 0) for name in names)

    for name in "batch_size num_chains num_samples num_weights annealed_chains".split():
        needs[name] = units * product(name)
    needs["num_replicas"] = units * product("num_replicas", "annealed_chains")
    needs["tempering_steps"] = product("tempering_steps", "annealed_chains")
    needs["raise_points"] = units * product("raise_points", "raise_chains")
    # Patches as they were cut, of equal contrast, and whitened.
    needs["num_patches"] = 9 * product("num_patches", "patch_size", "patch_size")
    return needs


def layers(sizes: tuple[int, ...], data: Dataset) -> None:
    """`layers` begins with the pixels and has a hidden layer."""
    if not 2 <= len(sizes) <= 100:
        raise InvalidValue(
            f"`layers` is {shortened(sizes)} but needs two or more sizes, and at most "
            "100: the pixels, then one or more hidden layers."
        )
    if sizes[0] != data.train.shape[1]:
        raise InvalidValue(
            f"`layers` begins with {sizes[0]} units but the images of "
            f"{data.name} have {data.train.shape[1]} pixels; begin with "
            f"{data.train.shape[1]}."
        )


def images(config: TrainingConfig, data: Dataset, **others: int) -> None:
    """The images are gray or binary, make at least one batch, and fit into the memory.

    Args:
      others: as in `memory`.
    """
    check_values(data.train, name="training images")
    check_values(data.test, name="test images")
    if config.batch_size > len(data.train):
        raise InvalidValue(
            f"`batch_size` is {config.batch_size} but there are {len(data.train)} "
            "training images; take at most that many."
        )
    memory(config, data, **others)


def held_out(asked: int | None, batch_size: int, data: Dataset) -> None:
    """What `held_out` leaves to train on is a batch or more; says how many it is where
    that was not asked.
    """
    if asked == 0:
        return
    held = hold_out(data, asked)
    count, num_train = len(held.test), len(data.train)
    if len(held.train) < batch_size:
        raise InvalidValue(
            f"`held_out` is {count} but of {num_train} training images "
            f"that leaves no batch of {batch_size}; hold out fewer."
        )
    if asked is None:
        say(f"Held out: the last {count} of {num_train} training images.")


def labels(data: Dataset) -> None:
    """Every image has a class."""
    for name in ("train_labels", "test_labels"):
        if getattr(data, name) is None:
            raise InvalidValue(
                f"{data.name} has no `{name}` but a classifier needs the class of "
                "every image; load a labelled source."
            )
