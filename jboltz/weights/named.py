"""RBMs and DBNs from arrays by their usual names, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from jboltz.base import Params
from jboltz.errors import InvalidValue
from jboltz.models.dbn import DBN
from jboltz.models.rbm import RBM, RBMParams
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.gaussian import Gaussian
from jboltz.weights.arrays import Convention, params_from

STYLES = {
    "learnergy": ("W", "a", "b"),
    "rbms": ("weight_matrix", "vbias", "hbias"),
    "hinton": ("vishid", "visbiases", "hidbiases"),
}
"""The names of weights, visible and hidden biases in other programs, all of which have
weights (visible, hidden)."""

_MATLAB = (
    ("vishid", "visbiases", "hidbiases"),
    ("vishid", "visbiases", "hidrecbiases"),
    ("hidpen", "hidbiases", "penbiases"),
    ("hidpen", "hidgenbiases", "penrecbiases"),
    ("hidpen2", "hidgenbiases2", "penrecbiases2"),
    ("hidtop", "topgenbiases", "toprecbiases"),
)
"""Of the programs of Hinton and Salakhutdinov, bottom first."""

_WEIGHTS = ("W", "w", "weight", "weights", "weight_matrix")
_BIASES = (
    *(("a", "b"), ("mu", "b"), ("b", "c"), ("vbias", "hbias"), ("v_bias", "h_bias")),
    *(("bias_v", "bias_h"), ("visible_bias", "hidden_bias"), ("b_v", "b_h")),
    *(("bv", "bh"), ("vb", "hb"), ("v", "h"), ("bias_visible", "bias_hidden")),
)
_NAMES = _MATLAB + tuple((w, *biases) for w in _WEIGHTS for biases in _BIASES)
_SPREADS = {"sigma": "deviation", "log_var": "log_variance", "variance": "variance"}
"""What stands beside the biases of Gaussian visible units."""


def from_arrays(
    arrays: Mapping[str, ArrayLike],
    *,
    rbm: RBM | None = None,
    names: tuple[str, str, str] | None = None,
    transpose: bool | None = None,
    convention: Convention = Convention(),
) -> tuple[RBM | DBN, Params]:
    """An RBM and its parameters from arrays by name; of several RBMs, a DBN.

    Names may have prefixes, as `layers.0.W`, and a `_` in front. Known are `STYLES`, the
    layers of Hinton's autoencoder (`vishid`, `hidpen`, …), `vbias` and `hbias`, `v_bias`
    and `h_bias`, `vb` and `hb`, `b` and `c`, … beside `W` or `weights`. With `sigma`,
    `log_var` or `mu` the visible units are Gaussian.

    Args:
      rbm: the model. None: of Bernoulli units, as many as there are biases.
      names: of the weights, the visible and the hidden biases, where others are meant.
      transpose: whether the weights are (hidden, visible). None: by their shape; square
        ones need to be told.
      convention: of the energy, as for `params_from`.

    Raises:
      ValueError: no such names, or shapes that do not fit.

    Example:
      >>> arrays = {"W": np.ones((2, 3)), "vb": np.zeros(3), "hb": np.zeros(2)}
      >>> from_arrays(arrays)[0]
      RBM(visible=Bernoulli(size=3), hidden=Bernoulli(size=2))
    """
    groups: dict[str, dict[str, ArrayLike]] = {}
    for key, array in arrays.items():
        prefix, _, last = key.rpartition(".")
        groups.setdefault(prefix, {})[last.removeprefix("_")] = array
    known = (names,) if names else _NAMES
    found = [
        _read(group, found, rbm, transpose, convention)
        for group in groups.values()
        for found in _roles(group, known)
    ]
    if not found:
        raise InvalidValue(
            f"`arrays` have the names {', '.join(arrays)}, in which weights, visible and "
            "hidden biases are not recognised; say which are meant, "
            "`names=('W', 'a', 'b')`."
        )
    return found[0] if len(found) == 1 else stack(found)


def stack(rbms: Sequence[tuple[RBM, RBMParams]]) -> tuple[DBN, tuple[RBMParams, ...]]:
    """The DBN of RBMs with their parameters, bottom first.

    Raises:
      ValueError: the hidden units of one are not the visible units of the next.
    """
    layers, params = zip(*rbms, strict=True)
    return DBN(layers), params


def to_arrays(
    rbm: RBM,
    params: RBMParams,
    *,
    names: str | tuple[str, str, str] = "learnergy",
    transpose: bool = False,
) -> dict[str, np.ndarray]:
    """The arrays of an RBM by the names of another program; the inverse of
    `from_arrays`.

    Biases have the style of that program: (1, n) for "hinton", whose dictionary
    `scipy.io.savemat` takes. A Gaussian visible layer is a mean, beside `sigma`.

    Args:
      names: a key of `STYLES`, or the names of weights, visible and hidden biases.
      transpose: write the weights as (hidden, visible).

    Raises:
      ValueError: a unit with other parameters than these.
    """
    roles = STYLES[names] if isinstance(names, str) else names
    weights = params.weights.T if transpose else params.weights
    arrays = {roles[0]: weights}
    if isinstance(rbm.visible, Gaussian):
        arrays[roles[1]] = params.visible.mean
        arrays["sigma"] = jnp.exp(0.5 * params.visible.log_variance)
    else:
        arrays[roles[1]] = _bias(rbm.visible, params.visible)
    arrays[roles[2]] = _bias(rbm.hidden, params.hidden)
    found = {name: np.array(array) for name, array in arrays.items()}
    if names == "hinton":
        return {name: np.atleast_2d(array) for name, array in found.items()}
    return found


def _bias(unit: Any, params: Params) -> ArrayLike:
    if {*vars(params)} != {"bias"}:
        raise InvalidValue(
            f"The RBM has the layer {unit}, whose parameters are more than a bias and "
            "have no usual names; write it by `jboltz.save`."
        )
    return params.bias


def _roles(group: Mapping[str, ArrayLike], known: Any) -> list[tuple[str, str, str]]:
    """The names of the RBMs in a group: all of MATLAB's, or the first that are there."""
    found = [names for names in known if {*names} <= group.keys()]
    matlab = [names for names in found if names in _MATLAB]
    return matlab or found[:1]


def _read(
    group: Mapping[str, ArrayLike],
    names: tuple[str, str, str],
    rbm: RBM | None,
    transpose: bool | None,
    convention: Convention,
) -> tuple[RBM, RBMParams]:
    weights, visible, hidden = (group[name] for name in names)
    spread = {_SPREADS[key]: group[key] for key in _SPREADS if key in group}
    if rbm is None:
        sizes = np.size(visible), np.size(hidden)
        is_real = bool(spread) or names[1] == "mu"
        unit = Gaussian(sizes[0]) if is_real else Bernoulli(sizes[0])
        top = Gaussian if names[0] == "hidtop" else Bernoulli
        rbm = RBM(unit, top(sizes[1]))
    layers = [
        {"mean": bias} if isinstance(unit, Gaussian) else bias
        for unit, bias in ((rbm.visible, visible), (rbm.hidden, hidden))
    ]
    if spread:
        layers[0] = {"mean": visible, **spread}
    shape, is_told = np.shape(weights), transpose is not None or names in _MATLAB
    if len(shape) == 2 and shape[0] == shape[1] and not is_told:
        raise InvalidValue(
            f"`arrays` have square weights {names[0]!r}, {shape}, which do not show "
            "which axis is that of the hidden units; say `transpose=False` for "
            "(visible, hidden), or `transpose=True`."
        )
    params = params_from(
        rbm, weights, *layers, transpose=transpose, convention=convention
    )
    return rbm, params
