"""A warning about hidden units whose means are the same for all examples."""

import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz import random
from jboltz.abilities import CentrableModel, HiddenMeanModel
from jboltz.base import Batch, Params, State
from jboltz.learning.rows import take_rows
from jboltz.learning.step import Prepare

SAMPLE_SIZE = 256
"""The number of examples that are checked. Their hidden means are a thousandth of the
matrix products of an epoch of CD-1 on 60 000 examples."""

SPREAD = 1e-3
"""Means that differ by less count as constant. Binary units with initial weights from
N(0, 0.01²) differ by 0.1 on sparse text with 40 words of 2 000."""


def warn_if_constant(
    model: Any,
    params: Params,
    data: Batch,
    index: Any,
    prepare: Prepare,
    key: Key[Array, ""],
    where: str,
) -> bool:
    """Warns if most hidden means are the same for all examples; returns whether it did.

    It checks models with known hidden means (for a `CentrableModel`, of one pass
    upwards) on complete data whose examples differ.

    Args:
      model: the trained model; None if unknown.
      index: (batches, …), the rows of `data` in each batch.
      where: the time in training, for the message.
    """
    if not isinstance(model, HiddenMeanModel | CentrableModel) or data.mask is not None:
        return False
    spreads = _spreads(model, params, data, index, prepare, key)
    values, hidden = map(np.asarray, spreads)
    constant, total = int(np.sum(hidden < SPREAD)), hidden.size
    if not np.any(values) or 2 * constant <= total:
        return False
    warnings.warn(
        f"{constant} of {total} hidden units are constant after {where}: their means "
        f"differ by less than {SPREAD} between examples, so they do not depend on the "
        "data; start from `model.init(key, data=…)`, whose visible units are fitted to "
        "the data, or lower the learning rate.",
        stacklevel=3,
    )
    return True


@partial(jax.jit, static_argnames="model")
def _spreads(model, params, data, index, prepare, key):
    """The range over examples of each number of the data, and of each hidden mean."""

    def means_given(v):
        if isinstance(model, HiddenMeanModel):
            return model.mean_hidden_state(params, v)
        return model.mean_activities(params, v)[1:]

    def extremes(batch):
        number, rows = batch
        values = prepare(take_rows(data, rows).values, random.fold_in(key, number))
        values = jax.tree.map(lambda x: x[:SAMPLE_SIZE], values)
        means = jax.vmap(means_given)(values)
        rows = [_as_rows(values), _as_rows(means)]
        return [(jnp.min(x, axis=0), jnp.max(x, axis=0)) for x in rows]

    found = jax.lax.map(extremes, (jnp.arange(len(index)), index))
    return [
        jnp.max(highest, axis=0) - jnp.min(lowest, axis=0) for lowest, highest in found
    ]


def _as_rows(states: State) -> Array:
    """The states as rows of a matrix."""
    leaves = jax.tree.leaves(states)
    return jnp.concatenate([x.reshape(x.shape[0], -1) for x in leaves], axis=1)
