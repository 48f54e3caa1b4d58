"""Examples to evaluate a model on, and how they were binarised.

Binary units have a likelihood of binary data only. The way in which gray data are made
binary changes it by tens of nats on MNIST, so every result names it.
"""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jboltz import random
from jboltz.base import Batch, Domain, Leaf, State, record
from jboltz.checks import admit, check_count, check_number, is_traced
from jboltz.domains import ArrayDomain
from jboltz.errors import InvalidValue


@record
class EvaluationData:
    """States of the visible units, and how the data were binarised."""

    values: State  #: (examples, *shape)
    binarisation: str = struct.field(pytree_node=False)  #: how, in words
    weights: Leaf | None = None  #: (examples,), or None: each example once


Data: TypeAlias = Any
"""`EvaluationData`, states of the visible units, or a `Batch` without gaps."""


def binarise_by_threshold(data: Any, level: float = 0.5) -> EvaluationData:
    """1 where `data`, in [0, 1] or uint8 from 0 to 255, are above `level`, else 0.

    Args:
      data: gray images, one per row.
      level: the threshold, as a share of the largest gray level.
    """
    check_number("level", level, 0, 1)
    values = _gray(data) > level
    return EvaluationData(
        values=values.astype(jnp.float32), binarisation=f"threshold {level}"
    )


def binarise_once(data: Any, seed: int) -> EvaluationData:
    """One binary draw whose means are `data`, in [0, 1] or uint8 from 0 to 255.

    The draw of an example depends on `seed` and its position only.

    Args:
      data: gray images, one per row.
      seed: the seed of the draw, at least 0.

    Example:
      >>> examples = binarise_once(np.full((2, 784), 0.5), seed=0)
      >>> examples.values.shape, examples.binarisation
      ((2, 784), 'stochastic once, seed 0')
    """
    seed, p = check_count("seed", seed, at_least=0), _gray(data)
    values = random.uniform(jax.random.key(seed), p.shape) < p
    return EvaluationData(
        values=values.astype(jnp.float32),
        binarisation=f"stochastic once, seed {seed}",
    )


def as_examples(data: Data, domain: Domain, name: str = "data") -> EvaluationData:
    """`data` checked against the `domain` of a model; traced data are not checked.

    Raises:
      TypeError: `data` are not numbers.
      ValueError: `data` are gray for binary units, not finite, outside the domain or
        empty, or have gaps, as any traced mask does, or there is not one weight per
        example.
    """
    weights = None
    if isinstance(data, Batch):
        masks = jax.tree.leaves(data.mask)
        if is_traced(masks) or not all(np.all(mask) for mask in masks):
            raise InvalidValue(
                f"`{name}.mask` marks gaps but a likelihood needs complete examples: "
                "p(v) of what was observed is a sum over all values of the gaps, which "
                "is as hard as log Z and another one for each example. Drop rows with "
                "gaps, or fill them by draws, `MissingDataEstimator(…).fill`."
            )
        data, weights = data.values, data.weights
    is_made = isinstance(data, EvaluationData)
    values = admit(name, data.values if is_made else data, domain)
    how = refuse_gray(name, values, domain)
    if is_made:
        data = EvaluationData(
            values=values, binarisation=data.binarisation, weights=data.weights
        )
    else:
        values = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), values)
        data = EvaluationData(values=values, binarisation=how, weights=weights)
    for leaf in jax.tree.leaves(data.values):
        if np.ndim(leaf) < 2:
            raise InvalidValue(
                f"`{name}` has shape {np.shape(leaf)} but one example per row is "
                f"needed, (num_examples, num_visible); pass `{name}[None]` if this is "
                "one example."
            )
    counts = {len(x) for x in jax.tree.leaves(data.values)}
    if len(counts) != 1 or 0 in counts:
        raise InvalidValue(
            f"`{name}` has {sorted(counts)} examples in its parts but a mean needs at "
            "least 1, and the same number in each part."
        )
    if data.weights is not None and not is_traced(data.weights):
        _check_weights(np.asarray(data.weights), counts.pop(), name)
    return data


def refuse_gray(name: str, values: State, domain: Domain | None) -> str:
    """Refuses gray values for binary units; returns a name for the binarisation."""
    leaves = zip(jax.tree.leaves(values), domain.leaves if domain else (), strict=False)
    return ", ".join([_check_exact(x, leaf, name) for x, leaf in leaves])


def _gray(data):
    array = np.asarray(data)
    if array.dtype == np.uint8:
        return jnp.asarray(array, jnp.float32) / 255
    if array.dtype.kind not in "bf" or not ((array >= 0) & (array <= 1)).all():
        raise InvalidValue(
            f"`data` ({array.dtype}) has values outside [0, 1], or integers, but only "
            "gray values in [0, 1] or uint8 from 0 to 255 can be binarised; scale them "
            "first."
        )
    return jnp.asarray(array, jnp.float32)


def _check_exact(values: Leaf, domain: ArrayDomain, name: str) -> str:
    if is_traced(values):
        return "not known, traced"
    if not domain.is_binary:
        return str(domain)
    array = np.asarray(values)
    if not ((array == 0) | (array == 1)).all():
        raise InvalidValue(
            f"`{name}` ({array.dtype}, from {array.min()} to {array.max()}) is gray "
            "but a likelihood of binary units needs the values 0 and 1: exp(-F(v)) of "
            "a gray v is no probability. Binarise it first, by `binarise_once` or "
            "`binarise_by_threshold`, and compare only with numbers of the same "
            "binarisation."
        )
    return "already binary"


def _check_weights(weights, count, name):
    if weights.shape != (count,) or not (weights >= 0).all() or not weights.sum() > 0:
        raise InvalidValue(
            f"`{name}.weights` has shape {weights.shape} but {count} examples need one "
            "weight each, none below 0 and not all of them 0."
        )
