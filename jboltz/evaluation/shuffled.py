"""A control for a stack of RBMs: the same weights of each unit in random order."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import State
from jboltz.models.dbn import DBN, DBNParams
from jboltz.models.rbm import RBM, RBMParams
from jboltz.products import full_precision

_HALVINGS = 40
"""The number of halvings of the interval, down to the rounding of float32."""


@full_precision
def shuffle_units(
    dbn: DBN,
    params: DBNParams,
    data: Float[Array, "examples visible"],
    key: Key[Array, ""],
) -> DBNParams:
    """`params` with the weights of every unit permuted, and its mean activity kept.

    The values in each column of the weights are permuted, so their norm and sparsity
    stay. Hidden biases are changed so that each unit has the same mean of E[h_j | m] as
    before, where m are the means from `data` through the shuffled layers below. The
    result keeps how strong and how active units are, but not their filters.

    Layer l draws from `fold_in(key, l)`. Hidden units need one number each whose mean
    rises with the bias (Bernoulli, Gaussian).
    """
    below, shuffled_below, shuffled = data, data, []
    for index, (rbm, layer) in enumerate(zip(dbn.layers, params, strict=True)):
        up = jax.vmap(rbm.mean_hidden_state, in_axes=(None, 0))
        below = up(layer, below)
        weights = jax.random.permutation(
            random.fold_in(key, index), layer.weights, axis=0, independent=True
        )
        drawn = RBMParams(visible=layer.visible, hidden=layer.hidden, weights=weights)
        drawn = _as_active(rbm, drawn, shuffled_below, jnp.mean(below, axis=0))
        shuffled.append(drawn)
        shuffled_below = up(drawn, shuffled_below)
    return tuple(shuffled)


def _as_active(
    rbm: RBM, layer: RBMParams, data: State, target: Float[Array, " hidden"]
) -> RBMParams:
    """`layer` with hidden biases for which the mean states are `target`."""
    inputs = jax.vmap(rbm.hidden_inputs, in_axes=(None, 0))(layer, data)

    def mean(moved):
        unit = rbm.hidden.shift(layer.hidden, moved)
        return jnp.mean(jax.vmap(partial(rbm.hidden.mean_state, unit))(inputs), axis=0)

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        is_low = mean(middle) < target
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    # A bound on the difference of the shuffled and the learnt inputs.
    reach = 2 * jnp.max(jnp.abs(inputs), axis=0) + 50
    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (-reach, reach))
    hidden = rbm.hidden.shift(layer.hidden, (low + high) / 2)
    return RBMParams(visible=layer.visible, hidden=hidden, weights=layer.weights)
