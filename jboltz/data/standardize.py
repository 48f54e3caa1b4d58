"""Features in units of their own location and scale, and back."""

import dataclasses
from typing import Any, Literal, get_args

import numpy as np

from jboltz.data.checks import check_values, feature_moments
from jboltz.data.dataset import Dataset
from jboltz.domains import Reals, as_numbers
from jboltz.errors import InvalidValue

Scaling = Literal["standard", "robust", "min-max"]
"""From each feature's mean and standard deviation, its median and interquartile range,
or its minimum and range."""


@dataclasses.dataclass(frozen=True, eq=False)
class Standardizer:
    """z = (x − location) / scale, feature by feature; made by `fit_standardizer`."""

    location: np.ndarray  #: (num_features,) float32, in the units of the data
    scale: np.ndarray  #: (num_features,) float32, positive, in the units of the data


def fit_standardizer(
    values: Any, *, scaling: Scaling = "standard", least_scale: float = 0.0
) -> Standardizer:
    """The location and the scale of every feature, by a `Scaling`.

    A feature without spread has scale 1: it is shifted to 0 and left alone. With
    "robust" that is every feature of which half the values agree, such as the pixels
    at MNIST's border. Fit on training data only. "min-max" suits units of numbers
    between 0 and 1; the others make numbers on both sides of 0, for `Gaussian` units.

    Args:
      values: (num_examples, num_features); uint8 is read as [0, 1].
      scaling: "robust" lets outliers not count, however large; "min-max" brings the
        values it was fitted on, and no others for certain, into [0, 1].
      least_scale: smaller scales are raised to it, in the units of the data, so that
        a feature that hardly varies is not blown up; then also where there is no
        spread.

    Raises:
      TypeError: not numbers.
      ValueError: wrong shape, nothing in it, NaN or infinite; no such scaling.

    Example:
      >>> data = np.array([[1.0, 7.0], [3.0, 7.0]])
      >>> standardize(fit_standardizer(data), data).tolist()
      [[-1.0, 0.0], [1.0, 0.0]]
    """
    check_values(values, domain=Reals(), name="values")
    array = as_numbers(values, "values")
    if scaling not in get_args(Scaling):
        raise InvalidValue(
            f"`scaling` is {scaling!r} but needs to be one of "
            f"{', '.join(map(repr, get_args(Scaling)))}."
        )
    if scaling == "standard":
        location, scale = feature_moments(array)
    else:
        percentiles = (25, 50, 75) if scaling == "robust" else (0, 0, 100)
        low, location, high = np.percentile(array, percentiles, axis=0)
        unit = 255 if array.dtype == np.uint8 else 1
        location, scale = location / unit, (high - low) / unit
    return Standardizer(
        location=location.astype(np.float32),
        scale=np.where(
            scale > 0, np.maximum(scale, least_scale), least_scale or 1.0
        ).astype(np.float32),
    )


def standardize(standardizer: Standardizer, x: Any) -> Any:
    """z = (x − location) / scale, feature by feature.

    Args:
      standardizer: the location and the scale, from `fit_standardizer`.
      x: (…, num_features), an array of NumPy or JAX. uint8 is read as [0, 1].

    Returns:
      z, in the shape of `x`, without units.

    Raises:
      ValueError: `x` has another number of features.
    """
    location, scale = _features(standardizer, x)
    return (as_real(x) - location) / scale


def unstandardize(standardizer: Standardizer, z: Any) -> Any:
    """x = z · scale + location, which undoes `standardize`.

    Args:
      standardizer: the location and the scale, from `fit_standardizer`.
      z: (…, num_features), an array of NumPy or JAX.

    Returns:
      x, in the shape of `z` and the units of the data. Data that were uint8 come back
      as numbers in [0, 1].

    Raises:
      ValueError: `z` has another number of features.
    """
    location, scale = _features(standardizer, z)
    return z * scale + location


def scale_pixels(data: Dataset, scaling: Scaling | None) -> Dataset:
    """Scales each pixel to the range [0, 1] that it has in the training images.

    Test images are scaled alike. A test pixel outside the training range is clipped.

    Args:
      data: a data set of images.
      scaling: "min-max", or None to return `data` as it is.

    Returns:
      The data set with float32 images.

    Raises:
      ValueError: another scaling, whose values are not in [0, 1].
    """
    if scaling is None:
        return data
    if scaling != "min-max":
        raise InvalidValue(
            f"`scaling` is {scaling!r} but pixels stay in [0, 1]; use 'min-max'."
        )
    fitted = fit_standardizer(data.train, scaling=scaling)
    train, test = (standardize(fitted, x).clip(0, 1) for x in (data.train, data.test))
    return dataclasses.replace(data, train=train, test=test)


def as_real(x: Any) -> Any:
    """uint8 as float32 in [0, 1], what else there is as it is; NumPy or JAX."""
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x


def _features(standardizer: Standardizer, x: Any) -> tuple[np.ndarray, np.ndarray]:
    """Location and scale with as many axes as `x`: JAX may be told not to broadcast
    ranks."""
    location, scale = standardizer.location, standardizer.scale
    if x.shape[-1:] != location.shape:
        raise InvalidValue(
            f"the array has shape {x.shape} but {len(location)} features were fitted; "
            "pass (…, num_features) with that many."
        )
    shape = (1,) * (x.ndim - 1) + location.shape
    return location.reshape(shape), scale.reshape(shape)
