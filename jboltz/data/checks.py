"""Checks of data before a model sees them, once and on the host.

Values under `jit` are not checked by the library, so a NaN or a pixel of 255 where a
probability is meant would train to the end without a word. This is the gate.
"""

import warnings
from typing import Any

import numpy as np

from jboltz.domains import ArrayDomain, UnitInterval, as_numbers
from jboltz.errors import InvalidValue

GRAY = UnitInterval()


def check_values(
    values: Any, *, domain: ArrayDomain = GRAY, name: str = "data"
) -> None:
    """`values` is (num_examples, num_features), finite and inside `domain`, or raise.

    One-hot values are (num_examples, sites, num_categories), each site a single 1 among
    zeros. Images as stored, uint8 from 0 to 255, are accepted in every interval: the
    compiled step divides them by 255. In the unit interval other integers, and bools,
    may only be 0 and 1: a larger integer is an image of the wrong type or a category,
    and the two need different things.

    Takes one pass over the memory and no copy.

    Args:
      values: anything `np.asarray` takes.
      domain: that of the visible unit.
      name: what the messages call `values`.

    Raises:
      TypeError: not numbers.
      ValueError: wrong shape, nothing in it, NaN or infinite, outside the domain.
    """
    array = as_numbers(values, name)
    need, remedy = (
        "(num_examples, num_features)",
        f"flatten images with `{name}.reshape(len({name}), -1)`, and make one example "
        f"a batch with `{name}[None]`",
    )
    if domain.site_axes:
        need, remedy = "(num_examples, sites, num_categories)", domain.advice(name)
    if array.ndim != 2 + domain.site_axes:
        raise InvalidValue(
            f"`{name}` has shape {array.shape} but data of the domain '{domain}' must "
            f"be {need}; {remedy}."
        )
    if array.size == 0:
        raise InvalidValue(
            f"`{name}` is empty, shape {array.shape}, but at least one example with "
            "one feature is needed; look at how it was loaded or filtered."
        )
    domain.check(array, name)


# Data suit a layer that starts as N(0, 1) where nothing is a whole unit off centre, no
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
