"""Parameters that say the same in another way."""

import jax.numpy as jnp

from jboltz.base import Leaf, Params, Unit
from jboltz.models.rbm import RBM, RBMParams
from jboltz.units.softmax import Softmax, SoftmaxParams


def zero_sum_gauge(model: RBM, params: RBMParams) -> RBMParams:
    """The same p(v, h), with weights and biases of one-hot units that sum to zero.

    The categories of a site sum to one, so what all of them have in common in the
    weights acts as a bias of the other layer, and in the biases not at all:

      W'_skj = W_skj − m_sj,  c'_j = c_j + Σ_s m_sj,  b'_sk = b_sk − n_s

    with m and n the means over the categories k. The energy changes by a constant.
    Layers that are no `Softmax` keep their own gauge.
    """
    visible, hidden, weights = _center(
        model.visible, params.visible, model.hidden, params.hidden, params.weights
    )
    hidden, visible, transposed = _center(
        model.hidden, hidden, model.visible, visible, weights.T
    )
    return RBMParams(visible=visible, hidden=hidden, weights=transposed.T)


def _center(
    unit: Unit, params: Params, other: Unit, other_params: Params, weights: Leaf
) -> tuple[Params, Params, Leaf]:
    """`weights` has the activity of `unit` along its first axis."""
    if not isinstance(unit, Softmax):
        return params, other_params, weights
    by_site = weights.reshape(*unit.shape, other.size)
    common = by_site.mean(axis=1, keepdims=True)
    bias = params.bias - params.bias.mean(axis=1, keepdims=True)
    return (
        SoftmaxParams(bias=bias),
        other.shift(other_params, jnp.sum(common, axis=(0, 1))),
        (by_site - common).reshape(weights.shape),
    )
