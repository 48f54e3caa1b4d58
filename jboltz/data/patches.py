"""Patches of images, their contrast, and whitening by PCA."""

import dataclasses
import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from jboltz.data.checks import feature_moments, warn_unstandardized
from jboltz.data.dataset import Dataset, hold_out
from jboltz.data.standardize import as_real
from jboltz.errors import InvalidValue
from jboltz.ranges import Count, Patches, Scale

HELD_OUT = 10
"""One training image in this many, the last ones, is for validation."""

Contrast = Literal["unit", "raw"]


def extract_patches(
    images: np.ndarray, num_patches: int, *, size: int, seed: int
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Squares cut at random, float32 (num_patches, size · size · C) in [0, 1], and
    the image, top row and left column of each.

    Image, row and column are uniform and independent, with replacement; a patch is
    flattened like its image, the colours of a pixel side by side. The same seed gives
    the same patches for ever: positions are raw Philox words, whose bits NumPy keeps.

    Args:
      images: (N, H, W, C) uint8, for a `Dataset`
        `data.train.reshape(-1, *data.image_shape)`.
      size: height and width of a patch.
      seed: not negative.

    Raises:
      ValueError: another shape or type, no patches, or larger ones than the images.

    Example:
      >>> images = np.zeros((5, 32, 32, 3), np.uint8)
      >>> patches, (image, row, column) = extract_patches(images, 7, size=8, seed=0)
      >>> patches.shape, bool(image.max() < 5 and row.max() <= 24)
      ((7, 192), True)
    """
    if images.ndim != 4 or images.dtype != np.uint8 or images.size == 0:
        raise InvalidValue(
            f"`images` is {images.dtype} of shape {images.shape} but patches are cut "
            "from uint8 of shape (N, H, W, C); reshape flat images to `(-1, "
            "*image_shape)`, and give grey ones a last axis with `images[..., None]`."
        )
    count, height, width, _ = images.shape
    if not 1 <= size <= min(height, width):
        raise InvalidValue(
            f"`size` is {size} but the images are {height} by {width}; pass a number "
            f"from 1 to {min(height, width)}."
        )
    if num_patches < 1:
        raise InvalidValue(
            f"`num_patches` is {num_patches} but at least 1 is needed; pass a positive "
            "number."
        )
    shape = (count, height - size + 1, width - size + 1)
    words = np.random.Philox(seed).random_raw(num_patches)
    # The remainder is uniform to within shape / 2⁶⁴. `math.prod` and not NumPy's: with
    # its signed integer the words would become floats and lose their last bits.
    image, row, column = np.unravel_index(
        (words % math.prod(shape)).astype(np.int64), shape
    )
    # (N, rows, columns, C, size, size), a view: no patch is copied that is not chosen.
    windows = np.lib.stride_tricks.sliding_window_view(
        images, (size, size), axis=(1, 2)
    )
    patches = np.moveaxis(windows[image, row, column], 1, -1)
    return as_real(patches.reshape(num_patches, -1)), (image, row, column)


def normalize_contrast(patches: np.ndarray) -> np.ndarray:
    """(x − mean) / √(variance + ε) of each patch, over all its pixels and colours.

    ε keeps flat patches from becoming noise; it is 10 for pixels from 0 to 255.

    Args:
      patches: (num_patches, num_features), in [0, 1].

    Reference:
      Coates, Lee & Ng (2011), An Analysis of Single-Layer Networks in Unsupervised
      Feature Learning; there, before whitening with ε = 0.1.
    """
    centred = patches - patches.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + 10 / 255**2)


@dataclasses.dataclass(frozen=True, eq=False)
class Whitening:
    """z = (x − mean) · matrix and x ≈ z · inverse + mean; made by `fit_whitening`."""

    mean: np.ndarray  # (num_features,) float32
    matrix: np.ndarray  # (num_features, num_components) float32
    inverse: np.ndarray  # (num_components, num_features) float32


def fit_whitening(
    patches: np.ndarray, epsilon: float, num_components: int
) -> Whitening:
    """PCA: W = V_k (D_k + ε)^{−1/2}, where the covariance of `patches` is V D Vᵀ.

    The result has the coordinates along the k directions of largest variance; what lies
    in the others is lost. Their variances become d / (d + ε), so that directions with
    d ≪ ε, in images noise, fade instead of being blown up.

    Args:
      patches: (num_patches, num_features), training data only.
      epsilon: positive, a variance in the units of the patches.
      num_components: k.

    Raises:
      ValueError: `epsilon` is not positive, or there are fewer directions than k.
    """
    if not epsilon > 0:
        raise InvalidValue(
            f"`epsilon` is {epsilon} but directions without variance need a positive "
            "one; pass a small fraction of the variance of a pixel."
        )
    mean, _ = feature_moments(patches)
    if not 1 <= num_components <= len(mean):
        raise InvalidValue(
            f"`num_components` is {num_components} but patches of {len(mean)} "
            f"numbers have 1 to {len(mean)} directions."
        )
    covariance = np.zeros((len(mean), len(mean)))
    # In blocks, as a float64 copy of a million patches would fill the memory.
    for start in range(0, len(patches), 65536):
        centred = patches[start : start + 65536] - mean
        covariance += centred.T @ centred / len(patches)
    variances, directions = np.linalg.eigh(covariance)
    # eigh sorts from small to large.
    chosen = slice(len(mean) - num_components, None)
    directions = directions[:, chosen][:, ::-1]
    # Rounding alone makes an eigenvalue of a covariance negative.
    deviations = np.sqrt(np.maximum(variances[chosen][::-1], 0) + epsilon)
    return Whitening(
        mean=mean.astype(np.float32),
        matrix=(directions / deviations).astype(np.float32),
        inverse=(directions * deviations).T.astype(np.float32, order="C"),
    )


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
    """Whitened patches, and how to undo the whitening; made by `whitened_patches`.

    Args:
      train: (num_patches, num_components) float32.
      validation: (num_patches // 10, num_components) float32.
      test: (num_patches // 10, num_components) float32.
      whitening: the whitening, fitted to the training patches.
      shape: (height, width, colours) of a patch of pixels.
      images: for "train", "validation" and "test" the numbers of the images that the
        patches were cut from, (patches,), among the training or the test images.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    whitening: Whitening
    shape: tuple[int, int, int]
    images: dict[str, np.ndarray]


def whitened_patches(data: Dataset, spec: PatchSpec, seed: int) -> WhitenedPatches:
    """Cuts patches from images at random, and whitens them by PCA.

    The last tenth of the training images gives the validation patches, the others give
    the training patches, and the test images give the test patches. The whitening is
    fitted to the training patches. Part i of the three has the seed 3 `seed` + i.

    Args:
      data: a data set of uint8 images of shape (height, width, colours).
      spec: which patches are cut, and how they are whitened.
      seed: the seed of the places of the patches, at least 0.

    Raises:
      ValueError: the examples are not such images, there are fewer than 10 training
        images, a patch is larger than an image, or `spec` asks for more components than
        a patch has numbers.
    """
    if seed < 0:
        raise InvalidValue(f"`seed` is {seed} but needs to be at least 0; pass one.")
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
    whitening = fit_whitening(patches["train"], spec.epsilon, spec.num_components)
    white = {
        name: (x - whitening.mean) @ whitening.matrix for name, x in patches.items()
    }
    warn_unstandardized(white["train"], "whitened patches")
    shape = (spec.patch_size, spec.patch_size, data.image_shape[2])
    return WhitenedPatches(**white, whitening=whitening, shape=shape, images=images)


def as_pixels(patches: WhitenedPatches, directions: ArrayLike) -> np.ndarray:
    """Directions among whitened patches, (count, num_features), as differences of
    pixels."""
    return np.asarray(directions) @ patches.whitening.inverse
