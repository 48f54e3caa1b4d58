"""The parameters of an RBM from arrays, whatever the convention of their energy."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from jboltz.base import Params, Unit
from jboltz.checks import check_number, check_params
from jboltz.errors import InvalidValue
from jboltz.models.rbm import RBM, RBMParams
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.biased import DiscreteUnit
from jboltz.units.gaussian import Gaussian, GaussianParams
from jboltz.units.spin import Spin

Given = ArrayLike | Mapping[str, ArrayLike]
"""The biases of a layer, or its parameters by name."""


@dataclasses.dataclass(frozen=True)
class Convention:
    """How another program writes its energy: p(v, h) ∝ exp(−β E(v, h)) with

        E(v, h) = ± (a·v + b·h + vᵀ W h),

    for Gaussian layers with ½ (x − μ)²/σ² in place of the bias.
    """

    beta: float = 1.0
    """The inverse temperature β."""
    sign: Literal["-", "+"] = "-"
    """The sign in front. A mean μ has no sign."""
    values: Literal["own", "0/1", "+1/-1"] = "own"
    """The values of binary units there. "own" are those of the units of the model; with
    others, Bernoulli units take the parameters of spins, and Spin units those of bits.
    """
    coupling: Literal["variance", "deviation", "plain"] = "variance"
    """What stands for a Gaussian x beside W: x/σ² as in Cho et al., x/σ as in
    Krizhevsky, or x."""


def params_from(
    rbm: RBM,
    weights: ArrayLike,
    visible: Given,
    hidden: Given,
    *,
    transpose: bool | None = None,
    convention: Convention = Convention(),
) -> RBMParams:
    """The parameters of `rbm` from arrays, as E(v, h) up to a constant.

    Args:
      weights: (visible, hidden); (*visible.shape, hidden) is flattened.
      visible, hidden: the biases, (n,), or (1, n) and (n, 1) as in MATLAB. Of a unit
        with several parameters a dictionary of them, by the names of its record, or
        without their `log_`. A `GaussianParams` may be given as `mean` or `bias` = μ/σ²
        and `variance`, `deviation` or `precision`. What is left out is as in `init`.
      transpose: whether `weights` are (hidden, visible). None: where only that fits.
      convention: of the energy that the arrays belong to.

    Raises:
      ValueError: shapes or names do not fit, or a variance is not positive.

    Example:
      >>> from jboltz import RBM, Bernoulli, Gaussian
      >>> rbm = RBM(Gaussian(3), Bernoulli(2))
      >>> W, sigma = np.ones((2, 3)), np.array([1.0, 2.0, 4.0])
      >>> visible = {"mean": np.zeros((1, 3)), "deviation": sigma}
      >>> params = params_from(rbm, W, visible, np.zeros((1, 2)))
      >>> params.weights.shape, params.visible.mean.shape
      ((3, 2), (3,))
    """
    beta = convention.beta
    check_number("convention.beta", beta, np.finfo(np.float32).tiny, 1e38)
    sign = 1.0 if convention.sign == "-" else -1.0
    units, offsets = (rbm.visible, rbm.hidden), []
    W, layers = sign * beta * _oriented(rbm, weights, transpose), []
    for axis, (unit, name, given) in enumerate(
        zip(units, ("visible", "hidden"), (visible, hidden), strict=True)
    ):
        params, slope, offset = _layer(unit, name, given, convention, sign)
        W = W * jnp.expand_dims(slope, 1 - axis)
        layers.append(params)
        offsets.append(offset)
    params = RBMParams(
        visible=rbm.visible.shift(layers[0], W @ offsets[1]),
        hidden=rbm.hidden.shift(layers[1], offsets[0] @ W),
        weights=W,
    )
    check_params(rbm, params, "the parameters")
    return params


def _oriented(rbm: RBM, weights: ArrayLike, transpose: bool | None) -> Array:
    W, need = jnp.asarray(weights, float), (rbm.visible.size, rbm.hidden.size)
    if W.shape == (*rbm.visible.shape, rbm.hidden.size):
        W = W.reshape(need)
    if transpose or (transpose is None and W.shape != need and W.T.shape == need):
        W = W.T
    if W.shape != need:
        raise InvalidValue(
            f"`weights` have shape {np.shape(weights)} but {rbm} has {need[0]} visible "
            f"and {need[1]} hidden ones, {need}; pass these"
            + (", or leave out `transpose`." if transpose is not None else ".")
        )
    return W


def _layer(
    unit: Unit, name: str, given: Given, convention: Convention, sign: float
) -> tuple[Params, Array, Array]:
    """The parameters of a layer, by what its weights are multiplied, and the offset of
    its values from those of `unit`, in their scale."""
    ones, beta = jnp.ones(unit.size), convention.beta
    if isinstance(unit, Gaussian):
        own = _gaussian(unit, name, given, sign)
        power = {"variance": 0.0, "deviation": 0.5, "plain": 1.0}[convention.coupling]
        log_variance = own.log_variance - math.log(beta)
        slope = jnp.exp(power * own.log_variance) / beta
        return GaussianParams(mean=own.mean, log_variance=log_variance), slope, 0 * ones
    own = _record(unit, name, given)
    if convention == Convention():
        return own, ones, 0 * ones
    if not isinstance(unit, DiscreteUnit):
        raise InvalidValue(
            f"`convention` is {convention} but it is not known how {unit} of `{name}` "
            "takes it; pass the parameters of jboltz's own energy."
        )
    scale, offset = 1.0, 0.0
    if isinstance(unit, Bernoulli) and convention.values == "+1/-1":
        scale, offset = 2.0, -1.0
    if isinstance(unit, Spin) and convention.values == "0/1":
        scale, offset = 0.5, 0.5
    factor = jnp.asarray(sign * beta * scale)
    own = unit.interpolate(own, unit.init(), factor)
    return own, scale * ones, offset / scale * ones


def _gaussian(unit: Gaussian, name: str, given: Given, sign: float) -> GaussianParams:
    if not isinstance(given, Mapping):
        raise InvalidValue(
            f"`{name}` is one array but {unit} has a mean and a variance; pass "
            "`{'mean': …}` for variance 1, `{'mean': …, 'deviation': …}`, or with "
            "'bias' for μ/σ²."
        )
    given = dict(given)
    if "deviation" in given:
        given["variance"] = np.square(np.asarray(given.pop("deviation"), float))
    if "precision" in given:
        given["variance"] = 1 / np.asarray(given.pop("precision"), float)
    bias = given.pop("bias", None)
    own = _record(unit, name, given)
    if bias is None:
        return own
    if "mean" in given:
        raise InvalidValue(f"`{name}` has a mean and a bias = μ/σ²; pass one of them.")
    bias = sign * _shaped(f"{name}['bias']", bias, (unit.size,))
    mean = bias * jnp.exp(own.log_variance)
    return GaussianParams(mean=mean, log_variance=own.log_variance)


def _record(unit: Unit, name: str, given: Given) -> Params:
    """The record of `unit`, with the arrays that are given in place of the first."""
    like = unit.init()
    fields = {field.name for field in dataclasses.fields(like)}
    if not isinstance(given, Mapping):
        if len(fields) > 1:
            raise InvalidValue(
                f"`{name}` is one array but {unit} has {', '.join(sorted(fields))}; "
                "pass a dictionary of them."
            )
        given = dict.fromkeys(fields, given)
    found = {}
    for key, value in given.items():
        field = key if key in fields else f"log_{key}"
        if field not in fields:
            raise InvalidValue(
                f"`{name}` has {key!r} but {unit} has {', '.join(sorted(fields))}; "
                "give these names, or those without `log_`."
            )
        shape = getattr(like, field).shape
        array = _shaped(f"{name}[{key!r}]", value, shape)
        if field != key and not (array > 0).all():
            raise InvalidValue(
                f"`{name}[{key!r}]` holds {array.min()} but needs to be positive "
                "everywhere; see that it is not a logarithm."
            )
        found[field] = array if field == key else jnp.log(array)
    return dataclasses.replace(like, **found)


def _shaped(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    array = jnp.asarray(value, float)
    if array.size != math.prod(shape) or array.ndim > max(2, len(shape)):
        raise InvalidValue(
            f"`{name}` has shape {array.shape} but shape {shape} is needed; see that "
            "visible and hidden ones are not exchanged."
        )
    return array.reshape(shape)
