"""Other parameters of the same distribution."""

import jax.numpy as jnp

from jboltz.base import Leaf, Params, Unit
from jboltz.models.rbm import RBM, RBMParams
from jboltz.units.softmax import Softmax, SoftmaxParams


def zero_sum_gauge(model: RBM, params: RBMParams) -> RBMParams:
    """Parameters of the same p(v, h) whose sums over the categories of a site are zero.

    The state of a site sums to one. The mean over its categories acts as a bias of the
    other layer in the weights, and has no effect in the biases. It is moved there:

      W'_skj = W_skj − m_sj,  c'_j = c_j + Σ_s m_sj,  b'_sk = b_sk − n_s

    where m and n are the means over the categories k. The energy changes by a constant.
    Layers that are not `Softmax` stay as they are, except for this bias.
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
    """Centres `unit`, whose activity is along the first axis of `weights`."""
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
