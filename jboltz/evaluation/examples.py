"""Examples to judge a model by, and how they came to be what its units can be.

A likelihood of binary units is one of binary data. How gray data were made binary
decides the number (by tens of nats on MNIST), so it is a part of every result.
"""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jboltz import random
from jboltz.base import Domain, Leaf, State, record
from jboltz.checks import is_traced


@record
class Examples:
    """States of the visible units, and what was done to the data to get them."""

    values: State  # (examples, *shape)
    binarisation: str = struct.field(pytree_node=False)
    weights: Leaf | None = None  # (examples,), or None: each example once


Data: TypeAlias = Any
"""`Examples`, or arrays that are states of the visible units as they stand."""


def threshold(data: Any, level: float = 0.5) -> Examples:
    """Gray values in [0, 1], or uint8 from 0 to 255: 1 where above `level`, else 0."""
    values = _gray(data) > level
    return Examples(
        values=values.astype(jnp.float32), binarisation=f"threshold {level}"
    )


def binarise_once(data: Any, seed: int) -> Examples:
    """Gray values in [0, 1], or uint8 from 0 to 255, as probabilities of one draw each.

    An example's draw depends on the seed and its place alone, not on how many follow.
    """
    p = _gray(data)
    values = random.uniform(jax.random.key(seed), p.shape) < p
    return Examples(
        values=values.astype(jnp.float32),
        binarisation=f"stochastic once, seed {seed}",
    )


def as_examples(data: Data, domain: Domain, name: str = "data") -> Examples:
    """`data` checked against the `domain` of a model; binary where that is binary.

    Traced data, under `jit`, are taken unseen, and named as such.

    Raises:
      TypeError: not numbers.
      ValueError: gray where the units are binary; not finite, or of no such unit;
        no examples, or weights that are not one for each.
    """
    if not isinstance(data, Examples):
        how = _check(data, domain, name)
        values = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), data)
        data = Examples(values=values, binarisation=how)
    else:
        _check(data.values, domain, name)
    counts = {len(x) for x in jax.tree.leaves(data.values)}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(
            f"`{name}` has {sorted(counts)} examples in its parts but a mean needs at "
            "least 1, and the same number in each part."
        )
    if data.weights is not None and not is_traced(data.weights):
        _check_weights(np.asarray(data.weights), counts.pop(), name)
    return data


def _gray(data):
    array = np.asarray(data)
    if array.dtype == np.uint8:
        return jnp.asarray(array, jnp.float32) / 255
    if array.dtype.kind not in "bf" or not ((array >= 0) & (array <= 1)).all():
        raise ValueError(
            f"`data` ({array.dtype}) has values outside [0, 1], or integers, but what "
            "is to be made binary are gray values in [0, 1] or uint8 from 0 to 255; "
            "scale them first."
        )
    return jnp.asarray(array, jnp.float32)


def _check(values, domain, name):
    """Refuses what is no state; says in a word what was done to make it binary."""
    if isinstance(domain, tuple):
        if not isinstance(values, tuple) or len(values) != len(domain):
            raise ValueError(
                f"`{name}` is one {type(values).__name__} but the model needs a tuple "
                f"of {len(domain)} arrays, of the domains {domain}."
            )
        parts = [
            _check(part, part_domain, f"{name}[{index}]")
            for index, (part, part_domain) in enumerate(
                zip(values, domain, strict=True)
            )
        ]
        return ", ".join(parts)
    if is_traced(values):
        return "not known, traced"
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"`{name}` has dtype {array.dtype} but a likelihood needs numbers."
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"`{name}` has NaN or infinite values but every value must be finite; drop "
            "those examples or fill the gaps."
        )
    if domain == "unit interval":
        _check_binary(array, name)
    elif domain == "spin":
        if not (np.abs(array) == 1).all():
            raise ValueError(
                f"`{name}` has other values than -1 and 1 but spins need these; make 0 "
                f"and 1 into them with `2 * {name} - 1`."
            )
    elif domain == "one-hot":
        if not (((array == 0) | (array == 1)).all() and (array.sum(-1) == 1).all()):
            raise ValueError(
                f"`{name}` is not one-hot along its last axis but categorical sites "
                f"are; use `np.eye(num_categories)[{name}]` on class numbers."
            )
    elif array.dtype == np.uint8:
        raise ValueError(
            f"`{name}` is uint8, pixels as stored, but a likelihood of real units is "
            "one in the units that the model was trained in; standardise them as then."
        )
    elif domain == "non-negative" and (array < 0).any():
        raise ValueError(
            f"`{name}` has values below 0 but the domain 'non-negative' is from 0 up."
        )
    return "already binary" if domain == "unit interval" else str(domain)


def _check_binary(array, name):
    if array.dtype == np.uint8 or not ((array == 0) | (array == 1)).all():
        raise ValueError(
            f"`{name}` ({array.dtype}, from {array.min()} to {array.max()}) is gray "
            "but a likelihood of binary units is one of values 0 and 1: exp(-F(v)) of "
            "a gray v is no probability. Binarise it first, `binarise_once(images, "
            "seed=0)` or `threshold(images)`, and compare only with numbers of the "
            "same binarisation (0 and 1 stored as uint8: pass `.astype(bool)`)."
        )


def _check_weights(weights, count, name):
    if weights.shape != (count,) or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(
            f"`{name}.weights` has shape {weights.shape} but {count} examples need one "
            "weight each, none below 0 and not all of them 0."
        )
