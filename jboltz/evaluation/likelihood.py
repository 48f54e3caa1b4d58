"""The mean log-likelihood of examples, and what it needs to be compared."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from jboltz.base import Domain, FreeEnergyModel, Params, State, record
from jboltz.evaluation.examples import Data, Examples, as_examples
from jboltz.evaluation.log_estimate import LogEstimate

Number: TypeAlias = float | np.floating | np.ndarray | Array

LogPartition: TypeAlias = Number | tuple[Number, Number, Number] | LogEstimate
"""log Z in nats; of an estimate that is not from jboltz, (estimate, lower, upper)."""


@record
class MeanLogLikelihood:
    """A mean over examples in nats, with what it depends on.

    There are two errors, of different kinds. `standard_error` is of the mean over
    examples, as if they were drawn afresh. `lower` to `upper` is where the mean is for
    these examples, given the interval of log Z: all alike where log Z is exact, and
    NaN where it has none.
    """

    quantity: str = struct.field(pytree_node=False)  # such as "log-likelihood"
    mean: float
    standard_error: float  # NaN of a single example
    lower: float
    upper: float
    num_examples: int
    binarisation: str = struct.field(pytree_node=False)  # of `Examples`


def log_likelihood(
    model: FreeEnergyModel,
    params: Params,
    data: Data,
    log_partition: LogPartition,
    *,
    batch_size: int = 1000,
) -> MeanLogLikelihood:
    """The mean of log p(v) = −F(v) − log Z.

    Exact if `log_partition` is. An estimate by annealed importance sampling is low on
    average, so the likelihood is then optimistic.

    Args:
      data: states of the visible units, or `Examples` (`binarise_once`, `threshold`).
      log_partition: as from `model_log_partition`, or from
        `annealed_importance_sampling`.
      batch_size: examples at a time.

    Raises:
      ValueError: gray data for binary units; a log Z that is NaN or outside its bounds.
    """
    return mean_over(
        "log-likelihood",
        lambda v: -model.free_energy(params, v),
        as_examples(data, domain_of(model)),
        log_partition,
        batch_size=batch_size,
    )


def domain_of(model: FreeEnergyModel) -> Domain:
    """What the data of `model` may be."""
    domain = getattr(model, "domain", None)
    if domain is None:
        raise TypeError(
            f"{type(model).__name__} has no `domain` but a likelihood needs to know "
            'what its data may be; give the model one, such as "real".'
        )
    return domain


def per_example(
    function: Callable[[State], Array], values: State, *, batch_size: int
) -> Float[np.ndarray, "examples ..."]:
    """`function` of each example, `batch_size` at a time, as float64 on the host."""
    if batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size} but needs to be at least 1.")
    out = jax.lax.map(function, values, batch_size=batch_size)
    return np.asarray(out, np.float64)


def mean_over(
    quantity: str,
    function: Callable[[State], Float[Array, ""]],
    examples: Examples,
    log_partition: LogPartition,
    *,
    batch_size: int,
) -> MeanLogLikelihood:
    """The mean of `function` over the examples, less log Z."""
    values = per_example(function, examples.values, batch_size=batch_size)
    return summary(quantity, values, examples, log_partition)


def summary(
    quantity: str,
    values: Float[np.ndarray, " examples"],
    examples: Examples,
    log_partition: LogPartition,
) -> MeanLogLikelihood:
    """The mean of one value an example, less log Z."""
    estimate, lower, upper = _bounds(log_partition)
    mean, error = weighted_mean_and_error(values, examples.weights)
    return MeanLogLikelihood(
        quantity=quantity,
        mean=mean - estimate,
        standard_error=error,
        lower=mean - upper,
        upper=mean - lower,
        num_examples=len(values),
        binarisation=examples.binarisation,
    )


def weighted_mean_and_error(
    values: Float[np.ndarray, " examples"], weights: Array | np.ndarray | None
) -> tuple[float, float]:
    """Σ w x / Σ w, and its standard error √(n/(n − 1) Σ w²(x − m)²) / Σ w."""
    count = len(values)
    w = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    mean = np.sum(w * values) / np.sum(w)
    if count == 1:
        return float(mean), float("nan")
    squares = np.sum((w * (values - mean)) ** 2) * count / (count - 1)
    return float(mean), float(np.sqrt(squares) / np.sum(w))


def _bounds(log_partition):
    if isinstance(log_partition, LogEstimate):
        z = log_partition
        log_partition = (z.value, z.lower, z.upper)
    parts = log_partition if isinstance(log_partition, tuple) else (log_partition,) * 3
    estimate, lower, upper = (float(x) for x in parts)
    # Bounds may be NaN, of an estimate without an interval, or infinite.
    if not np.isfinite(estimate) or lower > estimate or upper < estimate:
        raise ValueError(
            f"`log_partition` is {estimate}, between {lower} and {upper}, but needs a "
            "finite number, within its bounds: pass log Z, or (estimate, lower, upper)."
        )
    return estimate, lower, upper
