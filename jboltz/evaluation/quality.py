"""A table of the quality of samples, beside an equal number of test images."""

from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jboltz.errors import InvalidValue
from jboltz.evaluation.generation import (
    adversarial_accuracy,
    diversity,
    nearest_distance,
    precision_recall,
    sharpness,
)

REAL = "test images"
"""The name of the test images in the table; a perfect model has their numbers."""

QualityTable: TypeAlias = dict[str, dict[str, float]]


def spread(images: Any, count: int) -> Any:
    """`count` of the images, evenly spaced.

    The first images of MNIST are not representative: neighbours are often by one
    writer, and the first half of the test set is cleaner.
    """
    return images[:: len(images) // count][:count]


def sample_quality(
    train: Float[Array, "train pixels"],
    test: Float[Array, "test pixels"],
    samples: dict[str, Float[Array, "_ pixels"]],
    image_shape: tuple[int, ...],
) -> QualityTable:
    """The numbers of `evaluation.generation` for test images and each set of samples.

    Every set is as large as `test` and is compared with an equal number of training
    images, chosen by `spread`. `nearest_training` is a mean over all training images.

    Raises:
      ValueError: the sets differ in size, or there are too few training images.
    """
    sets = {REAL: test, **samples}
    for name, images in sets.items():
        if len(images) != len(test):
            raise InvalidValue(
                f"There are {len(images)} of {name} but {len(test)} test images, and "
                "the numbers depend on the count; take equally many of each."
            )
    if len(train) < len(test):
        raise InvalidValue(
            f"There are {len(train)} training images but {len(test)} test images; take "
            "at most as many test images."
        )
    return {
        name: jax.tree.map(float, _scores(train, images, image_shape))
        for name, images in sets.items()
    }


@partial(jax.jit, static_argnames="image_shape")
def _scores(train, images, image_shape):
    real = spread(train, len(images))
    return {
        **precision_recall(real, images),
        **adversarial_accuracy(real, images),
        **diversity(images),
        "nearest_training": jnp.mean(nearest_distance(images, train)),
        **sharpness(images.reshape(-1, *image_shape)),
    }
