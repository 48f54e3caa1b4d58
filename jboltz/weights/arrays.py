"""The parameters of an RBM from arrays, whatever the convention of their energy."""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from jboltz.base import Params, Unit
from jboltz.checks import check_number, check_params, check_type
from jboltz.domains import as_numbers
from jboltz.errors import InvalidValue
from jboltz.models.rbm import RBM, RBMParams
from jboltz.products import full_product
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.biased import DiscreteUnit
from jboltz.units.gaussian import Gaussian
from jboltz.units.spin import Spin

Given = ArrayLike | Mapping[str, ArrayLike] | Params
"""The biases of a layer, its parameters by name, or its record."""

_POWERS = {"variance": 1.0, "deviation": 2.0, "precision": -1.0}
"""The variance is exp(power × log x), where x has this name."""


@dataclasses.dataclass(frozen=True)
class Convention:
    """How another program writes p(v, h) ∝ exp(−β E(v, h)), with

        E(v, h) = ± (a·v + b·h + vᵀ W h),

    where a Gaussian x has ½ (x − μ)²/σ² in place of the bias.
    """

    beta: float = 1.0
    """The inverse temperature β."""
    sign: int = -1
    """The sign in front, −1 or 1."""
    values: str = "own"
    """The values of binary units there: "0/1", "+1/-1", or "own", those of the units of
    the model. The parameters of one are converted to those of the other."""
    coupling: str = "variance"
    """What stands for a Gaussian x beside W: by "variance" x/σ² (Cho et al.), by
    "deviation" x/σ (Krizhevsky), and "plain" x itself."""

    def __post_init__(self) -> None:
        check_number("beta", self.beta, 1e-30, 1e30)
        for name, known in (
            ("sign", (-1, 1)),
            ("values", ("own", "0/1", "+1/-1")),
            ("coupling", ("variance", "deviation", "plain")),
        ):
            if getattr(self, name) not in known:
                raise InvalidValue(
                    f"`{name}` is {getattr(self, name)!r} but is one of {known}."
                )


USUAL = Convention()


def params_from(
    rbm: RBM,
    weights: ArrayLike,
    visible: Given,
    hidden: Given,
    *,
    transpose: bool | None = None,
    convention: Convention = USUAL,
) -> RBMParams:
    """Makes parameters of `rbm` from arrays: their energy is kept, up to a constant.

    Args:
      rbm: the model that gets the parameters. Its units say how to read the arrays.
      weights: (num_visible, num_hidden). Weights of softmax units may also have one
        axis of sites and one of categories in place of the first.
      visible, hidden: the parameters of each layer. An array, (n,), or (1, n) as in
        MATLAB, has the biases, or the means of Gaussian units. A dictionary has arrays
        by the names of the unit's record; for Gaussian units it may have `bias` = μ/σ²
        in place of the mean, and one of `variance`, `deviation` and `precision`.
        Parameters that are left out are as in `init`. The record itself may be passed
        too.
      transpose: whether `weights` are (num_hidden, num_visible). None transposes them
        where they fit in no other way.
      convention: how the other program writes the energy of its arrays.

    Returns:
      The parameters, in JAX's default precision.

    Raises:
      ValueError: shapes or names do not fit, a variance is not positive, a number is
        not finite, or `convention` cannot be converted for these units.
      TypeError: an array does not hold real numbers.

    Example:
      >>> from jboltz import RBM, Bernoulli, Gaussian
      >>> rbm = RBM(Gaussian(3), Bernoulli(2))
      >>> visible = {"mean": np.zeros((1, 3)), "deviation": np.array([1.0, 2.0, 4.0])}
      >>> params = params_from(rbm, np.ones((2, 3)), visible, np.zeros((1, 2)))
      >>> params.weights.shape, params.visible.mean.shape
      ((3, 2), (3,))
    """
    check_type("rbm", rbm, RBM, "pass `RBM(visible, hidden)`")
    check_type(
        "convention", convention, Convention, "pass such as `Convention(sign=1)`"
    )
    W = -convention.sign * convention.beta * _oriented(rbm, weights, transpose)
    a, rows, v_offset = _layer(rbm.visible, "visible", visible, convention)
    b, columns, h_offset = _layer(rbm.hidden, "hidden", hidden, convention)
    W = rows[:, None] * jnp.asarray(W, float) * columns[None]
    params = RBMParams(
        visible=rbm.visible.shift(a, full_product(W, h_offset)),
        hidden=rbm.hidden.shift(b, full_product(v_offset, W)),
        weights=W,
    )
    check_params(rbm, params)
    return params


def _oriented(rbm: RBM, weights: ArrayLike, transpose: bool | None) -> np.ndarray:
    W = as_numbers(weights, "weights").astype(np.float64)
    need = (rbm.visible.size, rbm.hidden.size)
    if W.shape == (*rbm.visible.shape, rbm.hidden.size):
        W = W.reshape(need)
    if transpose or (transpose is None and W.shape != need):
        W = W.T
    if W.shape != need:
        raise InvalidValue(
            f"`weights` have shape {np.shape(weights)} but {rbm} needs {need}, or "
            f"{need[::-1]} with `transpose`; see that they are of this model."
        )
    return W


def _layer(
    unit: Unit, name: str, given: Given, convention: Convention
) -> tuple[Params, Array, Array]:
    """The parameters of a layer, by what its weights are multiplied, and where the zero
    of the other program's values lies, on the scale of those of `unit`."""
    ones = jnp.ones(unit.size)
    if isinstance(unit, Gaussian):
        is_named = isinstance(given, Mapping)
        own = _record(unit, name, _renamed(name, given) if is_named else given)
        mean, variance = own.mean, jnp.exp(own.log_variance)
        if is_named and "bias" in given:
            mean = -convention.sign * variance * mean
        log_variance = own.log_variance - math.log(convention.beta)
        own = dataclasses.replace(own, mean=mean, log_variance=log_variance)
        power = {"variance": 0.0, "deviation": 0.5, "plain": 1.0}[convention.coupling]
        return own, variance**power / convention.beta, 0 * ones
    own, scale, offset = _record(unit, name, given), 1.0, 0.0
    if isinstance(unit, Bernoulli) and convention.values == "+1/-1":
        scale, offset = 2.0, -0.5
    if isinstance(unit, Spin) and convention.values == "0/1":
        scale, offset = 0.5, 1.0
    factor = -convention.sign * convention.beta * scale
    if factor != 1:
        if not isinstance(unit, DiscreteUnit):
            raise InvalidValue(
                f"`{name}` are {unit}, whose parameters are not converted from "
                f"{convention}; pass those of jboltz's own energy."
            )
        own = unit.interpolate(own, unit.init(), jnp.asarray(factor))
    return own, scale * ones, offset * ones


def _renamed(name: str, given: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
    """The parameters of a Gaussian layer, by the names of its record."""
    found: dict[str, ArrayLike] = {}
    for key, value in given.items():
        field = "mean" if key == "bias" else key
        if key in _POWERS:
            field = "log_variance"
            x = as_numbers(value, name).astype(np.float64)
            if not (x > 0).all():
                raise InvalidValue(
                    f"`{name}` holds {x.min()} for {key!r}, which needs to be above 0; "
                    "pass a logarithm as 'log_variance'."
                )
            value = _POWERS[key] * np.log(x)
        if field in found:
            raise InvalidValue(
                f"`{name}` has {', '.join(given)}, which give its {field} twice; give "
                "one of them."
            )
        found[field] = value
    return found


def _record(unit: Unit, name: str, given: Given) -> Params:
    """The record of `unit` with the arrays that are given, by their names."""
    like = unit.init()
    if isinstance(given, type(like)):
        return given
    fields, found = vars(like), {}
    if not isinstance(given, Mapping):
        given = {next(iter(fields)): given}
    given = {str(key): value for key, value in given.items()}
    for key, value in given.items():
        array, need = as_numbers(value, name), fields.get(key)
        if not isinstance(need, jax.Array):
            raise InvalidValue(
                f"`{name}` has {', '.join(given)} but {unit} has {', '.join(fields)}; "
                f"give arrays by these names, or the record {type(like).__name__}."
            )
        if array.size != need.size or array.ndim > need.ndim + 1:
            raise InvalidValue(
                f"`{name}` has shape {array.shape} for {key!r} but {unit} needs "
                f"{need.shape}; see that the layers are not exchanged."
            )
        found[key] = jnp.asarray(array.reshape(need.shape), float)
    return dataclasses.replace(like, **found)
