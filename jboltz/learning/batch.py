"""Weighted means over the examples of a batch, and their gradients."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jboltz.abilities import DataModel
from jboltz.base import Batch, Metrics, Params, State
from jboltz.checks import cast_states
from jboltz.errors import InvalidType, InvalidValue


def weighted_mean(
    x: Float[Array, "batch ..."], weights: Float[Array, " batch"] | None
) -> Float[Array, ""]:
    """Σ w x / Σ w, or without weights the mean, where x is the mean of an example.

    It has the dtype of `x`, and is 0 if all weights are 0.
    """
    if weights is None:
        return jnp.mean(x)
    total = jnp.sum(weights)
    each = jnp.mean(x, axis=tuple(range(1, x.ndim)))
    mean = jnp.sum(weights * each) / jnp.where(total > 0, total, 1)
    return mean.astype(x.dtype)


def mean_squared_error(
    x: State, y: State, weights: Float[Array, " batch"] | None
) -> Float[Array, ""]:
    """mean((x − y)²); for states of several arrays, the mean over the arrays."""
    errors = jax.tree.map(lambda x, y: weighted_mean((x - y) ** 2, weights), x, y)
    return jnp.mean(jnp.stack(jax.tree.leaves(errors)))


def complete(batch: Batch, params: Params) -> Batch:
    """The batch in the dtype of `params`.

    Raises:
      ValueError: the batch has a mask of missing entries.
    """
    refuse_mask(batch)
    return Batch(values=cast_states(batch.values, params), weights=batch.weights)


def mask_of(model: Any, batch: Batch) -> State:
    """`batch.mask` in the shape of the examples; it may have one entry per site.

    Raises:
      TypeError: the mask is not Boolean.
      ValueError: the mask has another shape.
    """
    check_mask(batch.mask)
    masks, examples = jax.tree.leaves(batch.mask), jax.tree.leaves(batch.values)
    if isinstance(model, DataModel) and len(masks) == len(examples):
        triples = zip(model.domain.leaves, masks, examples, strict=True)
        masks = [domain.spread(mask, x.shape) for domain, mask, x in triples]
    shapes = [[x.shape for x in leaves] for leaves in (masks, examples)]
    if shapes[0] != shapes[1]:
        raise InvalidValue(
            f"`batch.mask` has shape {shapes[0]} but the examples have "
            f"{shapes[1]}; pass a mask in the shape of the examples."
        )
    return jax.tree.unflatten(jax.tree.structure(batch.values), masks)


def check_mask(mask: State | None) -> None:
    """Refuses the mask of a batch that is not Boolean."""
    for leaf in jax.tree.leaves(mask):
        dtype = getattr(leaf, "dtype", type(leaf).__name__)
        if dtype != jnp.bool_:
            raise InvalidType(
                f"`mask` has dtype {dtype} but needs bool, True at what was observed; "
                "pass `mask.astype(bool)`."
            )


def refuse_mask(batch: Batch) -> None:
    """Refuses a batch with missing entries, and bare arrays."""
    if not isinstance(batch, Batch):
        raise InvalidType(
            f"`batch` is an object of {type(batch).__name__} but an estimator needs a "
            "`Batch`; pass `Batch(values=…)`."
        )
    if batch.mask is not None:
        raise InvalidValue(
            "`batch.mask` marks missing entries but this estimator needs complete "
            "examples; put `MissingDataEstimator` around it, or drop those rows."
        )


def mean_gradient(
    loss: Callable[..., tuple[Float[Array, ""], Metrics]],
    params: Params,
    examples: tuple[Any, ...],
    weights: Float[Array, " batch"] | None,
) -> tuple[Params, Metrics]:
    """The gradient of the weighted mean over examples of `loss`.

    Args:
      loss: (params, *example) → the loss of one example, and its metrics.
      examples: the arguments of `loss` after `params`, one example per leading index.

    Returns:
      The gradient, and the weighted mean of every metric.
    """

    def mean_loss(params):
        in_axes = (None, *(0 for _ in examples))
        losses, metrics = jax.vmap(loss, in_axes=in_axes)(params, *examples)
        means = {name: weighted_mean(x, weights) for name, x in metrics.items()}
        return weighted_mean(losses, weights), means

    return jax.grad(mean_loss, has_aux=True)(params)
