"""Linear probes, which predict the class of an example from its code."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer

from jboltz.errors import InvalidValue

PENALTIES = tuple(10.0**k for k in range(-5, 3))
"""The values of λ to choose from, for codes with variance 1. The smallest hardly
penalises, the largest leaves about a hundredth of each coefficient."""


@dataclasses.dataclass(frozen=True, eq=False)
class LinearProbe:
    """A ridge regression of one-hot classes on codes; made by `fit_linear_probe`."""

    mean: np.ndarray  # (code,) of the training codes
    scale: np.ndarray  # (code,) standard deviations of the codes, ∞ for constant units
    weights: np.ndarray  # (code, classes), for standardised codes
    bias: np.ndarray  # (classes,) the shares of the classes
    penalty: float  # the chosen λ


def fit_linear_probe(
    codes: Float[np.ndarray, "examples code"],
    labels: Integer[np.ndarray, " examples"],
    held_out_codes: Float[np.ndarray, "held_out code"],
    held_out_labels: Integer[np.ndarray, " held_out"],
    *,
    num_classes: int,
    penalties: Sequence[float] = PENALTIES,
) -> LinearProbe:
    """The probe with the least Σ |y − b − z·W|² / N + λ |W|², where z are standardised.

    The solution is exact for each λ. The λ with the fewest errors on the held-out
    examples is chosen, the largest of several. Constant units are left out.

    Raises:
      ValueError: a label is out of range, or `penalties` is empty or has a negative
        number.
    """
    for name, given in (("labels", labels), ("held_out_labels", held_out_labels)):
        if len(given) and not 0 <= np.min(given) <= np.max(given) < num_classes:
            raise InvalidValue(
                f"`{name}` are from {np.min(given)} to {np.max(given)} but there are "
                f"`num_classes` {num_classes}: they must be from 0 to "
                f"{num_classes - 1}."
            )
    if not penalties or not all(penalty >= 0 for penalty in penalties):
        raise InvalidValue(
            f"`penalties` is {penalties} but needs one or more numbers of at least 0."
        )
    x = np.asarray(codes, np.float64)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, np.inf)
    z = (x - mean) / scale
    y = np.eye(num_classes)[labels]
    values, directions = np.linalg.eigh(z.T @ z / len(z))
    # Rounding may make eigenvalues negative; without a penalty they must not be 0.
    values = np.maximum(values, 1e-12)
    projected = directions.T @ (z.T @ (y - y.mean(axis=0)) / len(z))
    probes = [
        LinearProbe(
            mean=mean,
            scale=scale,
            weights=directions @ (projected / (values + penalty)[:, None]),
            bias=y.mean(axis=0),
            penalty=float(penalty),
        )
        for penalty in sorted(penalties, reverse=True)
    ]
    errors = [
        np.mean(predict(probe, held_out_codes) != held_out_labels) for probe in probes
    ]
    return probes[int(np.argmin(errors))]


def predict(
    probe: LinearProbe, codes: Float[np.ndarray, "examples code"]
) -> Integer[np.ndarray, " examples"]:
    """The likeliest class of each code."""
    z = (np.asarray(codes, np.float64) - probe.mean) / probe.scale
    return np.argmax(z @ probe.weights + probe.bias, axis=1)
