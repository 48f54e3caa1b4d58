"""How good samples are, beside as many real images: a table for any program."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jboltz.evaluation.generation import (
    adversarial_accuracy,
    diversity,
    nearest_distance,
    precision_recall,
    sharpness,
)
from jboltz.experiments import _run

REAL = "test images"
"""What a perfect model would score."""

COLUMNS = {
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "adversarial_accuracy": "adversary",
    "pairwise_distance": "apart",
    "total_variance": "variance",
    "nearest_training": "nearest",
    "laplacian_variance": "laplacian",
    "tenengrad": "tenengrad",
    "saturation": "saturation",
}
"""Each number, and what it is called above its column."""

Table = dict[str, dict[str, float]]


def spread(images: Any, count: int) -> Any:
    """`count` of the images, evenly spaced.

    The first ones would not do: neighbours in MNIST are often by one writer, and the
    first half of its test set is the cleaner one.
    """
    return images[:: len(images) // count][:count]


def quality(
    train: Float[Array, "train pixels"],
    test: Float[Array, "test pixels"],
    samples: dict[str, Float[Array, "_ pixels"]],
    image_shape: tuple[int, ...],
    *,
    num_neighbours: int = 5,
) -> Table:
    """The numbers of `evaluation.generation` of each set of samples, below those of
    the test images.

    Every set is as large as `test` and is judged against the same training images: as
    many of them, `spread`, or all for the distance to the nearest.

    Raises:
      ValueError: sets of different sizes, or too few training images.
    """
    sets = {REAL: test, **samples}
    for name, images in sets.items():
        if len(images) != len(test):
            raise ValueError(
                f"There are {len(images)} of {name} but {len(test)} test images; the "
                "numbers depend on how many: take as many of each."
            )
    if len(train) < len(test):
        raise ValueError(
            f"There are {len(train)} training images but {len(test)} test images; take "
            "at most as many of these."
        )
    return {
        name: jax.tree.map(
            float, _judge(train, images, image_shape, num_neighbours=num_neighbours)
        )
        for name, images in sets.items()
    }


@partial(jax.jit, static_argnames=("image_shape", "num_neighbours"))
def _judge(train, images, image_shape, *, num_neighbours):
    real = spread(train, len(images))
    return {
        **precision_recall(real, images, num_neighbours=num_neighbours),
        **adversarial_accuracy(real, images),
        **diversity(images),
        "nearest_training": jnp.mean(nearest_distance(images, train)),
        **sharpness(images.reshape(-1, *image_shape)),
    }


def say(table: Table) -> None:
    """One line a set, below one of what the columns are."""
    width = max(map(len, table))
    _run.say(" " * width + "".join(f"{x:>11}" for x in COLUMNS.values()))
    for name, found in table.items():
        numbers = "".join(f"{found[key]:11.4g}" for key in COLUMNS)
        _run.say(f"{name:>{width}}{numbers}")
