"""The logarithm of a mean of weights, with an interval."""

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from jboltz.base import record
from jboltz.checks import is_traced
from jboltz.errors import InvalidType

LEAST_EFFECTIVE_SAMPLES = 10
"""With fewer, the spread of the weights does not measure the error of their mean."""


@record
class LogEstimate:
    """The logarithm of a mean of weights, in float64 on the host.

    Under `jit` and `vmap` it is traced, in the dtype of the weights, and there are no
    warnings: check `effective_samples`.

    The interval has the logarithms of the mean ± three standard errors; `lower` is −∞
    if the mean minus three errors is not positive. With fewer than ten effective
    samples, (Σw)²/Σw², there is no interval, and both ends are NaN.
    """

    value: Any  # () nats, or (num_points,)
    lower: Any  # in the shape of `value`
    upper: Any  # in the shape of `value`
    effective_samples: Any  # in the shape of `value`
    log_weights: Any  # (…, num_chains)


def log_estimate(log_weights: ArrayLike, log_scale: ArrayLike) -> LogEstimate:
    """log_scale + log mean exp(log_weights), with the mean over the last axis."""
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
    """`x` in float64 on the host; a traced `x` is unchanged.

    Raises:
      TypeError: `x` is complex, because parameters are.
    """
    if jnp.iscomplexobj(x):
        raise InvalidType(
            f"`params` are complex, and with them a result ({x.dtype}), but a "
            "likelihood needs real parameters; complex ones have energies and "
            "gradients only."
        )
    return x if is_traced(x) else np.asarray(x, np.float64)


def library_of(*arrays: Any) -> Any:
    """The library to compute with: jax.numpy if an array is traced, else NumPy."""
    return jnp if is_traced(*arrays) else np


def relative_error(log_weights):
    """The standard error of the mean weight divided by the mean weight."""
    w, _ = _shifted(log_weights)
    return w.std(axis=-1, ddof=1) / w.shape[-1] ** 0.5 / w.mean(axis=-1)


def _shifted(log_weights):
    """Weights divided by the largest one, and the logarithm of the largest one."""
    peak = log_weights.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # `checked` warns of ∞ − ∞
        return library_of(log_weights).exp(log_weights - peak), peak[..., 0]


def interval(value, relative_error, effective_samples):
    """The interval of three errors; NaN where there are too few effective samples."""
    xp = library_of(value, relative_error, effective_samples)
    with np.errstate(divide="ignore"):
        low = xp.log(xp.maximum(1 - 3 * relative_error, 0))
    has = effective_samples >= LEAST_EFFECTIVE_SAMPLES
    lower = xp.where(has, value + low, np.nan)
    return lower, xp.where(has, value + xp.log1p(3 * relative_error), np.nan)


def checked(estimate: LogEstimate, remedy: str = "") -> LogEstimate:
    """Returns `estimate` and warns if it has no interval, unless it is traced.

    Args:
      remedy: a sentence to add to the warning of few effective samples.
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
            f"all of them, so there is none{where}; look for a model with infinite Z "
            "(ReLU units that excite each other), a base that does not fit its unit, "
            "or parameters that have diverged.",
            stacklevel=3,
        )
    elif (few := ess < LEAST_EFFECTIVE_SAMPLES).any():
        where = f" at {few.sum()} of {few.size} points" if few.size > 1 else ""
        warnings.warn(
            f"There are {ess.min():.1f} effective samples of {num_chains}, but an "
            f"interval needs {LEAST_EFFECTIVE_SAMPLES}, so there is none{where}; take "
            f"more rungs, or more chains.{remedy}",
            stacklevel=3,
        )
    return estimate
