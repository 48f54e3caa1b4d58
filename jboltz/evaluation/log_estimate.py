"""The logarithm of a mean of weights, with its error."""

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from jboltz.base import record
from jboltz.checks import is_traced
from jboltz.errors import InvalidType

LEAST_EFFECTIVE_SAMPLES = 10
"""Below, the spread of the weights says nothing of the error of their mean."""


@record
class LogEstimate:
    """The logarithm of a mean of weights, in float64 on the host.

    Under `jit` and `vmap` it is traced, in the type of the weights, and nobody is
    warned: look at `effective_samples`.

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
    log_weights, log_scale = known(log_weights), known(log_scale)
    w, peak = _shifted(log_weights)
    log_mean = library_of(w).log(w.mean(axis=-1))
    value = log_scale + peak + log_mean
    ess = w.sum(axis=-1) ** 2 / (w**2).sum(axis=-1)
    lower, upper = interval(value, relative_error(log_weights), ess)
    return LogEstimate(
        value=value,
        lower=lower,
        upper=upper,
        effective_samples=ess,
        log_weights=log_weights,
    )


def known(x: Any) -> Any:
    """`x` in float64 on the host, or as it is where it is traced.

    Raises:
      TypeError: `x` is complex, as of complex parameters.
    """
    if jnp.iscomplexobj(x):
        raise InvalidType(
            f"`params` are complex, and with them a result ({x.dtype}), but a "
            "likelihood needs real parameters; complex ones have energies and "
            "gradients only."
        )
    return x if is_traced(x) else np.asarray(x, np.float64)


def library_of(*arrays: Any) -> Any:
    """The array library that computes with them: jax.numpy where one is traced."""
    return jnp if is_traced(*arrays) else np


def relative_error(log_weights):
    """The standard error of the mean weight over the mean weight."""
    w, _ = _shifted(log_weights)
    return w.std(axis=-1, ddof=1) / w.shape[-1] ** 0.5 / w.mean(axis=-1)


def _shifted(log_weights):
    """Weights of which the largest is 1, and its logarithm."""
    peak = log_weights.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # ∞ − ∞: `checked` tells
        return library_of(log_weights).exp(log_weights - peak), peak[..., 0]


def interval(value, relative_error, effective_samples):
    """Three errors either way, where there are enough effective samples."""
    xp = library_of(value, relative_error, effective_samples)
    with np.errstate(divide="ignore"):
        low = xp.log(xp.maximum(1 - 3 * relative_error, 0))
    has = effective_samples >= LEAST_EFFECTIVE_SAMPLES
    lower = xp.where(has, value + low, np.nan)
    return lower, xp.where(has, value + xp.log1p(3 * relative_error), np.nan)


def checked(estimate: LogEstimate, remedy: str = "") -> LogEstimate:
    """`estimate`, with a warning where it has no interval; a traced one as it is.

    Args:
      remedy: what an estimate without an interval means to who asked for this one.
    """
    if is_traced(estimate):
        return estimate
    ess, value = np.atleast_1d(estimate.effective_samples), np.isfinite(estimate.value)
    num_chains, where = estimate.log_weights.shape[-1], ""
    if not value.all():
        where = f" at {np.sum(~value)} of {value.size} points" if value.ndim else ""
        warnings.warn(
            f"The log-weights of {np.sum(~np.isfinite(estimate.log_weights))} of "
            f"{estimate.log_weights.size} chains are not finite, but an estimate needs "
            f"all of them{where}: there is none; look for a model without a finite Z "
            "(ReLU units that excite each other), a base that does not fit its unit, "
            "or parameters that have diverged.",
            stacklevel=3,
        )
    elif (few := ess < LEAST_EFFECTIVE_SAMPLES).any():
        where = f" at {few.sum()} of {few.size} points" if few.size > 1 else ""
        warnings.warn(
            f"There are {ess.min():.1f} effective samples of {num_chains}, but an "
            f"interval needs {LEAST_EFFECTIVE_SAMPLES}: there is none{where}; take "
            f"more rungs, or more chains.{remedy}",
            stacklevel=3,
        )
    return estimate
