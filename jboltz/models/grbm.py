"""Gaussian–Bernoulli RBMs: the conventions of the literature, and changes of scale.

jboltz has v | h ~ N(μ + W h, σ²) and p(h = 1 | v) = σ(c + Wᵀ(v/σ²)), like Cho, Ilin &
Raiko (2011) and Liao et al. (2022). Other conventions differ by a change of parameters.
"""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from jboltz.errors import InvalidValue
from jboltz.models.rbm import RBMParams
from jboltz.products import full_product
from jboltz.units.bernoulli import BernoulliParams
from jboltz.units.gaussian import Gaussian, GaussianParams

Vector = Float[Array, " visible"]


def from_precision(
    precision: Vector,
    mean: Vector,
    hidden_bias: Float[Array, " hidden"],
    weights: Float[Array, "visible hidden"],
) -> RBMParams:
    """RBM parameters for E = ½ vᵀ(β ⊙ v) − (v ⊙ β)ᵀ(a + W h) − b·h: β = 1/σ², a = μ.

    This is the energy of Goodfellow, Bengio & Courville (2016), Deep Learning, section
    20.5.1, with a mean. It is lower by ½ Σ β a² than the energy of jboltz.

    Raises:
      ValueError: a precision is not positive.
    """
    _check_positive("precision", precision)
    return RBMParams(
        visible=GaussianParams(mean=mean, log_variance=-jnp.log(precision)),
        hidden=BernoulliParams(bias=hidden_bias),
        weights=weights,
    )


def to_precision(
    params: RBMParams,
) -> tuple[Vector, Vector, Float[Array, " hidden"], Float[Array, "visible hidden"]]:
    """The arguments of `from_precision` that give `params`."""
    precision = jnp.exp(-params.visible.log_variance)
    return precision, params.visible.mean, params.hidden.bias, params.weights


def from_krizhevsky(
    deviation: Vector,
    mean: Vector,
    hidden_bias: Float[Array, " hidden"],
    weights: Float[Array, "visible hidden"],
) -> RBMParams:
    """RBM parameters for E = ½ Σ (v − μ)²/σ² − (v/σ)ᵀ W h − b·h; W is in units of σ.

    Raises:
      ValueError: a standard deviation is not positive.

    Reference:
      Krizhevsky (2009), Learning multiple layers of features from tiny images; Hinton
      (2012), A practical guide to training restricted Boltzmann machines.
    """
    _check_positive("deviation", deviation)
    return RBMParams(
        visible=GaussianParams(mean=mean, log_variance=2 * jnp.log(deviation)),
        hidden=BernoulliParams(bias=hidden_bias),
        weights=deviation[:, None] * weights,
    )


def in_data_units(params: RBMParams, location: Vector, scale: Vector) -> RBMParams:
    """The parameters of an RBM of x = location + scale ⊙ v, given an RBM of v.

    An RBM trained on standardised data v then takes and samples the original data x.
    p(h | x) = p(h | v) and log p(x) = log p(v) − Σ log scale.

    Raises:
      ValueError: a scale is not positive.
    """
    _check_positive("scale", scale)
    visible = params.visible
    # a(x)ᵀ W′ = (v + location/scale)/σ² W, so the location adds a constant to the bias.
    activity = Gaussian(location.size).activity(visible, location / scale)
    return RBMParams(
        visible=GaussianParams(
            mean=location + scale * visible.mean,
            log_variance=visible.log_variance + 2 * jnp.log(scale),
        ),
        hidden=BernoulliParams(
            bias=params.hidden.bias - full_product(activity, params.weights)
        ),
        weights=scale[:, None] * params.weights,
    )


def _check_positive(name: str, x: Array) -> None:
    """Refuses values that are not positive; traced values pass."""
    if not isinstance(x, Tracer) and not (np.asarray(x) > 0).all():
        raise InvalidValue(
            f"`{name}` has the value {np.min(x)} but every {name} must be above 0."
        )
