"""Patches of a data set, whitened, in three parts."""

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from jboltz.data.checks import warn_unstandardized
from jboltz.data.dataset import Dataset, hold_out
from jboltz.data.patches import (
    Whitening,
    extract_patches,
    fit_whitening,
    normalize_contrast,
    whiten,
)
from jboltz.errors import InvalidValue
from jboltz.ranges import Count, Patches, Scale

HELD_OUT = 10
"""One training image in this many, the last ones, is for validation."""

Contrast = Literal["unit", "raw"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchSpec:
    """Which patches are cut, and how they are whitened."""

    patch_size: Count = 8
    """Height and width of a patch, in pixels."""
    num_patches: Patches = 100_000
    """Training patches; a tenth as many for validation, and for the test."""
    contrast: Contrast = "unit"
    """`unit` gives every patch mean 0 and the same contrast before whitening."""
    num_components: Count = 100
    """Principal directions that are kept, each with variance 1."""
    epsilon: Scale = 1e-6
    """Added to the variance of every direction before it is made 1."""


@dataclasses.dataclass(frozen=True, eq=False)
class WhitenedPatches:
    """Whitened patches, (count, num_features) each, and how to undo the whitening."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    whitening: Whitening
    shape: tuple[int, int, int]  # of one patch
    images: dict[str, np.ndarray]  # of each patch, by part: the image it was cut from


def whitened_patches(data: Dataset, spec: PatchSpec, seed: int) -> WhitenedPatches:
    """Patches of the training images but the last tenth, of that tenth, and of the test
    images; the whitening is fitted to the first. Part i has the seed 3 `seed` + i."""
    if data.image_shape is None:
        raise InvalidValue(
            "`data.image_shape` is None but patches are cut from images; give the "
            "data set the shape of one image."
        )
    held = hold_out(data, len(data.train) // HELD_OUT)
    few = spec.num_patches // HELD_OUT
    sources = {
        "train": (held.train, spec.num_patches),
        "validation": (held.test, few),
        "test": (data.test, few),
    }
    patches, images = {}, {}
    for index, (name, (source, count)) in enumerate(sources.items()):
        source = source.reshape(-1, *data.image_shape)
        cut, (images[name], _, _) = extract_patches(
            source, count, size=spec.patch_size, seed=3 * seed + index
        )
        patches[name] = normalize_contrast(cut) if spec.contrast == "unit" else cut
    # The held-out images are the last of the training images.
    images["validation"] = images["validation"] + len(held.train)
    whitening = fit_whitening(
        patches["train"], spec.epsilon, num_components=spec.num_components
    )
    white = {name: whiten(whitening, x) for name, x in patches.items()}
    warn_unstandardized(white["train"], "whitened patches")
    shape = (spec.patch_size, spec.patch_size, data.image_shape[2])
    return WhitenedPatches(**white, whitening=whitening, shape=shape, images=images)


def as_pixels(patches: WhitenedPatches, directions: ArrayLike) -> np.ndarray:
    """Directions among whitened patches, (count, num_features), as differences of
    pixels."""
    return np.asarray(directions) @ patches.whitening.inverse
