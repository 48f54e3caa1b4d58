"""Patches of a data set, whitened, in three parts."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import ArrayLike

from jboltz.data.checks import warn_unstandardized
from jboltz.data.dataset import Dataset
from jboltz.data.patches import (
    Whitening,
    extract_patches,
    fit_whitening,
    normalize_contrast,
    patch_places,
    whiten,
)

HELD_OUT = 10
"""One training image in this many, the last ones, is for validation."""

Contrast = Literal["unit", "raw"]
"""`unit` gives every patch mean 0 and the same contrast before whitening."""


@dataclasses.dataclass(frozen=True, eq=False)
class WhitenedPatches:
    """Whitened patches, (count, num_features) each, and how to undo the whitening."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    whitening: Whitening
    shape: tuple[int, int, int]  # of one patch
    images: dict[str, np.ndarray]  # of each patch, by part: the image it was cut from


def whitened_patches(
    data: Dataset,
    *,
    size: int,
    num_patches: int,
    num_components: int | None,
    epsilon: float,
    contrast: Contrast = "unit",
    seed: int,
) -> WhitenedPatches:
    """Patches of the training images but the last tenth, of that tenth, and of the test
    images; the whitening is fitted to the first.

    Args:
      size: height and width of a patch.
      num_patches: those to train on; a tenth as many for validation, and for the test.
      num_components: as of `fit_whitening`, and `epsilon` too.
      seed: part i is cut with the seed 3 `seed` + i.
    """
    assert data.image_shape is not None
    train = data.train.reshape(-1, *data.image_shape)
    test = data.test.reshape(-1, *data.image_shape)
    held_out, few = len(train) // HELD_OUT, num_patches // HELD_OUT
    sources = {
        "train": (train[:-held_out], num_patches),
        "validation": (train[-held_out:], few),
        "test": (test, few),
    }
    patches, images = {}, {}
    for index, (name, (source, count)) in enumerate(sources.items()):
        part = 3 * seed + index
        cut = extract_patches(source, count, size=size, seed=part)
        patches[name] = normalize_contrast(cut) if contrast == "unit" else cut
        images[name], _, _ = patch_places(source.shape[:3], count, size=size, seed=part)
    # The held-out images are the last of the training images.
    images["validation"] = images["validation"] + len(train) - held_out
    whitening = fit_whitening(patches["train"], epsilon, num_components=num_components)
    white = {name: whiten(whitening, x) for name, x in patches.items()}
    warn_unstandardized(white["train"], "whitened patches")
    shape = (size, size, data.image_shape[2])
    return WhitenedPatches(**white, whitening=whitening, shape=shape, images=images)


def as_pixels(patches: WhitenedPatches, directions: ArrayLike) -> np.ndarray:
    """Directions among whitened patches, (count, num_features), as differences of
    pixels."""
    return np.asarray(directions) @ patches.whitening.inverse
