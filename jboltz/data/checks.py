"""What data must look like before a model sees them, checked once on the host.

Values under `jit` are not checked by the library, so a NaN or a pixel of 255 where a
probability is meant would train to the end without a word. This is the gate.
"""

import math
import warnings
from typing import Any

import numpy as np

_FLOAT32_MAX = float(np.finfo(np.float32).max)

DOMAINS = {
    "unit interval": (0.0, 1.0),
    "non-negative": (0.0, _FLOAT32_MAX),
    "real": (-_FLOAT32_MAX, _FLOAT32_MAX),
    "spin": (-1.0, 1.0),
    "one-hot": (0.0, 1.0),
}
"""Smallest and largest value of each domain; the names are those of `Unit.domain`."""


def check_values(
    values: Any, *, domain: str, num_features: int | None = None, name: str = "data"
) -> None:
    """`values` is (num_examples, num_features), finite and inside `domain`, or raise.

    Images as stored, uint8 from 0 to 255, are accepted in every interval: the compiled
    step divides them by 255. In the unit interval other integers, and bools, may only
    be 0 and 1: a larger integer is an image of the wrong type or a category, and the
    two need different things. Spins are exactly −1 or 1. One-hot values are
    (num_examples, sites, num_categories), each site a single 1 among zeros.

    Takes one pass over the memory for each of minimum and maximum, and no copy.

    Args:
      values: anything `np.asarray` takes.
      domain: "unit interval", "non-negative", "real", "spin" or "one-hot".
      num_features: the numbers an example that a model needs, when there is one.
      name: what the messages call `values`.

    Raises:
      TypeError: not numbers.
      ValueError: wrong shape, nothing in it, NaN or infinite, outside the domain.
    """
    if domain not in DOMAINS:
        raise ValueError(
            f"`domain` is {domain!r} but data are checked against one of "
            f"{', '.join(map(repr, DOMAINS))}; pass the `domain` of the visible unit."
        )
    array = as_numbers(values, name)
    _check_shape(array, domain, num_features, name)
    # NaN and infinities survive min and max, so the sound case needs no other pass.
    with np.errstate(invalid="ignore"):
        low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        _raise_not_finite(array.reshape(len(array), -1), name)
    if domain == "spin":
        return _check_spins(array, name)
    if domain == "one-hot":
        return _check_one_hot(array, name)
    if array.dtype == np.uint8:
        if domain == "unit interval" and high == 1:
            raise ValueError(
                f"`{name}` is uint8 with the values 0 and 1 only, but uint8 is read as "
                "pixels from 0 to 255, which would make every image black; pass binary "
                f"data as bool: `{name}.astype(bool)`."
            )
        return
    smallest, largest = DOMAINS[domain]
    if low < smallest or high > largest:
        bounds = "[0, 1]" if domain == "unit interval" else f"[{smallest}, {largest}]"
        raise ValueError(
            f"`{name}` ({array.dtype}) has values from {low} to {high} but the "
            f"domain {domain!r} is {bounds}; {_how_to_scale(array, low, high, name)}."
        )


def as_numbers(values: Any, name: str) -> np.ndarray:
    """`values` as a NumPy array of a numeric type, without a copy where possible.

    Raises:
      TypeError: strings, objects, complex numbers, dates.
      ValueError: rows of different lengths.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"`{name}` cannot be read as one array ({error}) but every example needs "
            "the same number of features; pad or drop the odd ones."
        ) from error
    # `can_cast` and not `dtype.kind`: JAX's bfloat16 is of kind "V" to NumPy.
    is_number = array.dtype.kind in "biuf" or np.can_cast(array.dtype, np.float32)
    if not is_number:
        raise TypeError(
            f"`{name}` has dtype {array.dtype} (from {type(values).__name__}) but "
            "Boltzmann machines need numbers; convert it to float32, to bool, or to "
            "uint8 for images from 0 to 255."
        )
    return array


def _check_shape(
    array: np.ndarray, domain: str, num_features: int | None, name: str
) -> None:
    if domain == "one-hot" and array.ndim != 3:
        raise ValueError(
            f"`{name}` has shape {array.shape} but one-hot data must be (num_examples, "
            f"sites, num_categories); use `np.eye(num_categories)[{name}]` on class "
            f"numbers (num_examples, sites), `{name}.reshape(len({name}), -1, "
            "num_categories)` on flat rows."
        )
    if domain != "one-hot" and array.ndim != 2:
        raise ValueError(
            f"`{name}` has shape {array.shape} but must be (num_examples, "
            f"num_features); flatten images with `{name}.reshape(len({name}), -1)`, "
            f"and make one example a batch with `{name}[None]`."
        )
    if array.size == 0:
        raise ValueError(
            f"`{name}` is empty, shape {array.shape}, but at least one example with "
            "one feature is needed; look at how it was loaded or filtered."
        )
    width = math.prod(array.shape[1:])
    if num_features is not None and width != num_features:
        raise ValueError(
            f"`{name}` has {width} features but {num_features} are needed; "
            "build the model for the width of the data, or reshape the data."
        )


def _raise_not_finite(array: np.ndarray, name: str) -> None:
    finite = np.isfinite(array)
    count = finite.size - np.count_nonzero(finite)
    row, column = divmod(int(np.argmin(finite)), array.shape[1])
    raise ValueError(
        f"`{name}` has {count} NaN or infinite values, the first in row {row}, column "
        f"{column}, but every value must be finite; drop those examples or fill the "
        "gaps."
    )


def _check_spins(array: np.ndarray, name: str) -> None:
    is_spin = (array == 1) | (array == -1)
    if not is_spin.all():
        row, column = divmod(int(np.argmin(is_spin)), array.shape[1])
        raise ValueError(
            f"`{name}` ({array.dtype}) has the value {array[row, column]} in row "
            f"{row}, column {column}, but spins are exactly -1 or 1; make 0 and 1 into "
            f"spins by `2.0 * {name} - 1`."
        )


def _check_one_hot(array: np.ndarray, name: str) -> None:
    if array.dtype == np.uint8:
        raise ValueError(
            f"`{name}` is uint8, which is read as pixels from 0 to 255, but one-hot "
            f"values are 0 and 1; pass them as bool: `{name}.astype(bool)`."
        )
    is_one_hot = (np.count_nonzero(array, axis=2) == 1) & (array.max(axis=2) == 1)
    if not is_one_hot.all():
        row, site = divmod(int(np.argmin(is_one_hot)), array.shape[1])
        raise ValueError(
            f"`{name}` has {array[row, site].tolist()} in row {row}, site {site}, but "
            "one-hot needs a single 1 among zeros; make class numbers one-hot by "
            "`np.eye(num_categories)[numbers]`."
        )


def _how_to_scale(array: np.ndarray, low: float, high: float, name: str) -> str:
    if -1e-6 < low and high < 1 + 1e-6:
        return f"this is a rounding error, so clip it: `{name}.clip(0, 1)`"
    if low >= 0 and high <= 255:
        if array.dtype.kind in "iu":
            return (
                f"for images from 0 to 255 pass `{name}.astype(np.uint8)`, else scale "
                "to floats in [0, 1]"
            )
        return f"divide by the largest possible value, for 8-bit images `{name} / 255`"
    return "shift and scale it, for example (x - x.min()) / (x.max() - x.min())"


# Of data in the units of a layer of N(0, 1): nothing is a whole unit off centre, no
# feature is 3 times as wide, and the typical one is not 3 times as narrow. Rare
# features are narrow in sound data too (those that "robust" leaves alone).
_MAX_MEAN = 1.0
_MAX_DEVIATION = 3.0
_MIN_TYPICAL_DEVIATION = 1 / 3


def warn_unstandardized(values: Any, name: str = "data") -> None:
    """A `UserWarning` if features are far from mean 0 and standard deviation 1.

    Real units start at variance 1, and one learning rate is to suit all of them: raw
    pixels or measurements train badly, in silence. For training data in the domain
    "real", after `check_values`; uint8 is read as [0, 1].

    Warns if some |mean| > 1, some standard deviation > 3, or their median < 1/3
    among the features that are not constant.
    """
    mean, deviation = feature_moments(as_numbers(values, name))
    varying = deviation[deviation > 0]
    if (
        np.abs(mean).max() > _MAX_MEAN
        or deviation.max() > _MAX_DEVIATION
        or (varying.size and np.median(varying) < _MIN_TYPICAL_DEVIATION)
    ):
        warnings.warn(
            f"`{name}` has features with means from {mean.min():.3g} to "
            f"{mean.max():.3g} and standard deviations from {deviation.min():.3g} to "
            f"{deviation.max():.3g}, but real units train best with means near 0 and "
            "standard deviations near 1; standardize it: `standardize("
            f"fit_standardizer({name}), {name})` of `jboltz.data`.",
            stacklevel=2,
        )


def feature_moments(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per feature, float64; exactly 0 where constant.

    Of uint8 as [0, 1]. A block of rows at a time, so that a float64 copy of images
    that fill the memory is never made.
    """
    mean = array.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(array), 4096):
        squares += np.square(array[start : start + 4096] - mean).sum(axis=0)
    is_constant = array.min(axis=0) == array.max(axis=0)
    deviation = np.where(is_constant, 0.0, np.sqrt(squares / len(array)))
    unit = 255.0 if array.dtype == np.uint8 else 1.0
    return mean / unit, deviation / unit
