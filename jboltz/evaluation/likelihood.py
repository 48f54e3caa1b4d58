"""The mean log-likelihood of examples, with errors and binarisation."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from jboltz.abilities import DataModel, LayeredModel
from jboltz.base import Domain, FreeEnergyModel, Params, State, record
from jboltz.checks import check_count, check_distribution, is_traced, require
from jboltz.errors import InvalidType, InvalidValue
from jboltz.evaluation.examples import Data, EvaluationData, as_examples
from jboltz.evaluation.log_estimate import LogEstimate, known, library_of
from jboltz.models.annealed import check_exact
from jboltz.products import full_precision

Number: TypeAlias = int | float | np.number | np.ndarray | Array

LogPartition: TypeAlias = Number | tuple[Number, Number, Number] | LogEstimate
"""log Z in nats: a number, a `LogEstimate`, or (estimate, lower, upper)."""


@record
class MeanLogLikelihood:
    """A mean over examples, in nats, with two kinds of error.

    `standard_error` is the error over draws of the examples. `lower` to `upper` is the
    interval of the mean for these examples, from the interval of log Z: they equal the
    mean if log Z is exact, and are NaN if it has no interval. Under `jit` and `vmap`
    the numbers are traced arrays.
    """

    quantity: str = struct.field(pytree_node=False)  # such as "log-likelihood"
    mean: Any
    standard_error: Any  # NaN for a single example
    lower: Any
    upper: Any
    num_examples: int = struct.field(pytree_node=False)
    binarisation: str = struct.field(pytree_node=False)  # of `EvaluationData`


def log_likelihood(
    model: FreeEnergyModel,
    params: Params,
    data: Data,
    log_partition: LogPartition,
    *,
    batch_size: int = 1000,
) -> MeanLogLikelihood:
    """The mean of log p(v) = −F(v) − log Z over examples, in nats.

    It is exact if `log_partition` is. Annealed importance sampling estimates log Z too
    low on average, and so the likelihood too high.

    Args:
      model: a model with a free energy.
      params: its parameters.
      data: states of the visible units, or `EvaluationData` from `binarise_once` or
        `binarise_by_threshold`.
      log_partition: log Z, from `model_log_partition` or
        `annealed_importance_sampling`.
      batch_size: the number of examples computed at a time.

    Raises:
      ValueError: data are gray for binary units; log Z is NaN or outside its bounds;
        parameters do not fit the model, are not finite, or have an infinite Z; draws of
        a unit do not follow its energy.

    Example:
      >>> from jboltz import RBM, Bernoulli, model_log_partition
      >>> rbm, data = RBM(Bernoulli(4), Bernoulli(3)), np.eye(4)
      >>> params = jax.tree.map(jnp.zeros_like, rbm.init(jax.random.key(0)))
      >>> log_z = model_log_partition(rbm, params)
      >>> round(float(log_likelihood(rbm, params, data, log_z).mean), 4)  # −4 log 2
      -2.7726
    """
    examples = as_examples(data, domain_of(model))
    check_distribution(model, params)
    if isinstance(model, LayeredModel):
        check_exact(model)
    return mean_over(
        "log-likelihood",
        lambda v: -model.free_energy(params, v),
        examples,
        log_partition,
        batch_size=batch_size,
    )


def domain_of(model: Any) -> Domain:
    """The domain of the data of `model`."""
    require(model, DataModel, "a likelihood of checked data")
    return model.domain


@full_precision
def per_example(
    function: Callable[[State], Array], values: State, *, batch_size: int
) -> Float[np.ndarray | Array, "examples ..."]:
    """`function` of each example, `batch_size` at a time: float64 on the host, or
    traced if the parameters are traced."""
    batch_size = check_count("batch_size", batch_size, at_least=1)
    return known(jax.lax.map(function, values, batch_size=batch_size))


def mean_over(
    quantity: str,
    function: Callable[[State], Float[Array, ""]],
    examples: EvaluationData,
    log_partition: LogPartition,
    *,
    batch_size: int,
) -> MeanLogLikelihood:
    """The mean of `function` over the examples, minus log Z."""
    values = per_example(function, examples.values, batch_size=batch_size)
    return summary(quantity, values, examples, log_partition)


def summary(
    quantity: str,
    values: Float[np.ndarray | Array, " examples"],
    examples: EvaluationData,
    log_partition: LogPartition,
) -> MeanLogLikelihood:
    """The mean of `values`, one per example, minus log Z."""
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


def gaussian_log_likelihood(
    train: Float[np.ndarray, "train features"],
    x: Float[np.ndarray, "examples features"],
) -> float:
    """The mean log-likelihood of `x`, in nats, under the full-covariance Gaussian
    fitted to `train` by maximum likelihood."""
    mean = train.mean(axis=0, dtype=np.float64)
    covariance = np.cov(train.T.astype(np.float64), ddof=0)
    factor = np.linalg.cholesky(covariance)
    z = np.linalg.solve(factor, (x - mean).T)
    log_det = 2 * np.log(np.diag(factor)).sum()
    return float(
        -0.5 * (len(mean) * np.log(2 * np.pi) + log_det + (z**2).sum(0).mean())
    )


def weighted_mean_and_error(
    values: Float[np.ndarray | Array, " examples"], weights: Array | np.ndarray | None
) -> tuple[Any, Any]:
    """Σ w x / Σ w, and its standard error √(n/(n − 1) Σ w²(x − m)²) / Σ w."""
    count = len(values)
    xp = library_of(values, weights)
    w = xp.ones_like(values) if weights is None else xp.asarray(weights, values.dtype)
    mean = xp.sum(w * values) / xp.sum(w)
    if count == 1:
        return _number(mean), float("nan")
    squares = xp.sum((w * (values - mean)) ** 2) * count / (count - 1)
    return _number(mean), _number(xp.sqrt(squares) / xp.sum(w))


def mean_with_error(
    values: Float[np.ndarray | Array, " examples"],
    weights: Array | np.ndarray | None = None,
) -> dict[str, float]:
    """`weighted_mean_and_error` by name: "mean" and "standard_error"."""
    mean, error = weighted_mean_and_error(values, weights)
    return {"mean": mean, "standard_error": error}


def _number(x):
    return x if is_traced(x) else float(x)


def _bounds(log_partition):
    if isinstance(log_partition, LogEstimate):
        z = log_partition
        log_partition = (z.value, z.lower, z.upper)
    parts = log_partition if isinstance(log_partition, tuple) else (log_partition,) * 3
    if len(parts) != 3 or not all(isinstance(x, Number) for x in parts):
        raise InvalidType(
            f"`log_partition` is {log_partition!r} but needs to be a number, a "
            "`LogEstimate`, or (estimate, lower, upper)."
        )
    estimate, lower, upper = (_number(x) for x in parts)
    if is_traced(parts):
        return estimate, lower, upper
    # Bounds may be infinite, or NaN if the estimate has no interval.
    if not np.isfinite(estimate) or lower > estimate or upper < estimate:
        raise InvalidValue(
            f"`log_partition` is {estimate}, between {lower} and {upper}, but needs a "
            "finite number, within its bounds: pass log Z, or (estimate, lower, upper)."
        )
    return estimate, lower, upper
