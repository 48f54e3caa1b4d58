"""The logarithm of a mean of weights, with its error."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import ArrayLike

from jboltz.base import record

LEAST_EFFECTIVE_SAMPLES = 10
"""Below, the spread of the weights says nothing of the error of their mean."""


@record
class LogEstimate:
    """The logarithm of a mean of weights, in float64 on the host.

    The interval is that of three standard errors of the mean, then taken to logarithms:
    an end is infinite where the mean less three errors is not positive. With fewer than
    ten effective samples, (Σw)²/Σw², there is none: both ends are NaN. (With more, the
    error of one mean is less than a third of it; those of a path add up.)
    """

    value: Any  # () nats, or one a test point
    lower: Any  # as value
    upper: Any  # as value
    effective_samples: Any  # as value
    log_weights: Any  # (…, num_chains)


def log_estimate(log_weights: ArrayLike, log_scale: ArrayLike) -> LogEstimate:
    """log of exp(log_scale) · mean of exp(log_weights) over the last axis."""
    log_weights = np.asarray(log_weights, np.float64)
    peak = log_weights.max(axis=-1, keepdims=True)
    w = np.exp(log_weights - peak)
    value = np.asarray(log_scale, np.float64) + peak[..., 0] + np.log(w.mean(axis=-1))
    ess = w.sum(axis=-1) ** 2 / (w**2).sum(axis=-1)
    lower, upper = interval(value, relative_error(log_weights), ess)
    return LogEstimate(
        value=value,
        lower=lower,
        upper=upper,
        effective_samples=ess,
        log_weights=log_weights,
    )


def relative_error(log_weights):
    """The standard error of the mean weight over the mean weight."""
    w = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    return w.std(axis=-1, ddof=1) / np.sqrt(w.shape[-1]) / w.mean(axis=-1)


def interval(value, relative_error, effective_samples):
    with np.errstate(divide="ignore"):
        low = np.log(np.maximum(1 - 3 * relative_error, 0))
    has = effective_samples >= LEAST_EFFECTIVE_SAMPLES
    lower = np.where(has, value + low, np.nan)
    return lower, np.where(has, value + np.log1p(3 * relative_error), np.nan)


def checked(estimate):
    least = np.min(estimate.effective_samples)
    if least < LEAST_EFFECTIVE_SAMPLES:
        warnings.warn(
            f"There are {least:.1f} effective samples of "
            f"{estimate.log_weights.shape[-1]}, but an interval needs "
            f"{LEAST_EFFECTIVE_SAMPLES}: there is none; take more rungs, or more "
            "chains.",
            stacklevel=3,
        )
    return estimate
