"""RBMs and DBNs from arrays by their usual names, and back."""

import os
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jboltz.base import Params
from jboltz.checks import check_params, check_type
from jboltz.domains import as_numbers
from jboltz.errors import InvalidValue, import_extra
from jboltz.models.dbn import DBN
from jboltz.models.rbm import RBM, RBMParams
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.gaussian import Gaussian
from jboltz.units.softmax import Softmax
from jboltz.weights.arrays import USUAL, Convention, params_from
from jboltz.weights.sources import arrays_of

Names = tuple[str, str, str]
"""The names of the weights, of the visible biases and of the hidden biases."""

STYLES: dict[str, Names] = {
    "learnergy": ("W", "a", "b"),
    "rbms": ("weight_matrix", "vbias", "hbias"),
    "scikit-learn": ("components_", "intercept_visible_", "intercept_hidden_"),
    "hinton": ("vishid", "visbiases", "hidbiases"),
}
"""The names in other programs."""

# The layers in the programs of Hinton and Salakhutdinov, from the bottom up, with
# biases (1, n). The hidden units of the last one are linear.
_LAYERS: tuple[Names, ...] = (
    STYLES["hinton"],
    ("vishid", "visbiases", "hidrecbiases"),
    ("hidpen", "hidgenbiases", "penrecbiases"),
    ("hidpen2", "hidgenbiases2", "penrecbiases2"),
    ("hidtop", "topgenbiases", "toprecbiases"),
)
# Whether the weights are (hidden, visible), where the names tell.
_TRANSPOSED = dict.fromkeys((*_LAYERS, STYLES["rbms"]), False)
_TRANSPOSED[STYLES["scikit-learn"]] = True

_BIASES = (
    ("a", "b"),
    ("mu", "b"),
    ("b", "c"),
    ("vbias", "hbias"),
    ("v_bias", "h_bias"),
    ("bias_v", "bias_h"),
    ("visible_bias", "hidden_bias"),
    ("b_v", "b_h"),
    ("bv", "bh"),
    ("vb", "hb"),
    ("bias_visible", "bias_hidden"),
)
_WEIGHTS = ("W", "w", "weight", "weights", "weight_matrix")
_USUAL = [STYLES["scikit-learn"]]
_USUAL += [(W, visible, hidden) for W in _WEIGHTS for visible, hidden in _BIASES]
# What else a layer of Gaussian visible units has.
_SPREADS = {"sigma": "deviation", "log_var": "log_variance", "variance": "variance"}


def read(
    source: Any,
    *,
    rbm: RBM | None = None,
    names: Names | None = None,
    transpose: bool | None = None,
    convention: Convention = USUAL,
) -> tuple[RBM | DBN, Params]:
    """An RBM and its parameters from elsewhere; where they are several, a DBN.

    Names may have a prefix, as `layers.0.W`, or begin with `_`. Known are those of
    `STYLES`, of Hinton's autoencoder, and W or `weights` beside `b` and `c`, `vbias`
    and `hbias`, `v_bias` and `h_bias` or `vb` and `hb`. With `sigma`, `log_var` or `mu`
    the visible units are Gaussian, and with (sites, categories) of biases `Softmax`.

    learnergy's GaussianRBM has means of variance 1 as biases, which its arrays do not
    show: name the `rbm`. Its DBN leaves no layers in a `state_dict`: take that of each
    of `dbn.models`, and pass a list of them.

    Args:
      source: a dictionary of arrays or tensors; a fitted BernoulliRBM of scikit-learn;
        a file whose name ends in .npz, .mat, .pth, .pt or .h5 (an archive of rbms); or
        a list of these, from the bottom up.
      rbm: the model. None: of Bernoulli units, as many as there are biases.
      names: of the weights, the visible and the hidden biases.
      transpose: whether the weights are (hidden, visible). None: as the names tell, or
        where only that fits; of square weights by other names it has to be said.
      convention: of the energy, as for `params_from`.

    Raises:
      ValueError: no such names, shapes that do not fit, or a file of something else.

    Example:
      >>> arrays = {"W": np.ones((2, 3)), "vb": np.zeros(3), "hb": np.zeros(2)}
      >>> read(arrays)[0]
      RBM(visible=Bernoulli(size=3), hidden=Bernoulli(size=2))
    """
    names = None if names is None else _check_names(names)
    found = []
    for each in source if isinstance(source, list | tuple) else [source]:
        arrays = arrays_of(each) if isinstance(each, str | os.PathLike) else each
        if not isinstance(arrays, Mapping):
            arrays = getattr(arrays, "__dict__", {})
        layers = _layers(arrays, names)
        if not layers:
            has = ", ".join(map(str, arrays)) or "nothing"
            raise InvalidValue(
                f"`source` has {has}, among which weights, visible and hidden biases "
                "are not recognised; say which they are by `names=('W', 'a', 'b')`, "
                "pass the `state_dict()` of a net, or fit the estimator first."
            )
        found += [_read(*layer, rbm, transpose, convention) for layer in layers]
    if len(found) == 1:
        return found[0]
    return DBN(tuple(rbm for rbm, _ in found)), tuple(params for _, params in found)


def to_arrays(
    rbm: RBM, params: RBMParams, *, names: str | Names, transpose: bool | None = None
) -> dict[str, np.ndarray]:
    """The arrays of an RBM by the names of another program, as `read` takes them.

    Args:
      rbm: the model.
      params: its parameters.
      names: one of `STYLES`, or your own names of the weights, the visible and the
        hidden biases. The biases of "hinton" are (1, n), for `scipy.io.savemat`. For
        Gaussian visible units the visible biases are the means, and `sigma` is added.
      transpose: whether the weights shall be (num_hidden, num_visible). None does what
        the other program does, and keeps (num_visible, num_hidden) for your own names.

    Returns:
      NumPy arrays by their names.

    Raises:
      ValueError: `names` is not one of `STYLES`; or a layer has other parameters than a
        bias, which have no usual names.
    """
    check_type("rbm", rbm, RBM, "write other models by `jboltz.save`")
    check_params(rbm, params)
    roles = _check_names(STYLES.get(names, names) if isinstance(names, str) else names)
    is_turned = _TRANSPOSED.get(roles, False) if transpose is None else transpose
    found = {roles[0]: params.weights.T if is_turned else params.weights}
    visible, hidden = vars(params.visible), vars(params.hidden)
    if isinstance(rbm.visible, Gaussian):
        found["sigma"] = jnp.exp(0.5 * params.visible.log_variance)
        visible = {"bias": params.visible.mean}
    for name, fields in zip(roles[1:], (visible, hidden), strict=True):
        if {*fields} != {"bias"}:
            raise InvalidValue(
                f"`rbm` is {rbm}, with a layer of {', '.join(fields)}, which have no "
                "usual names; write it by `jboltz.save`."
            )
        found[name] = fields["bias"]
    shape = np.atleast_2d if roles in _LAYERS else np.asarray
    return {name: np.array(shape(array)) for name, array in found.items()}


def to_sklearn(rbm: RBM, params: RBMParams) -> Any:
    """Makes a fitted `sklearn.neural_network.BernoulliRBM`.

    Args:
      rbm: a model with Bernoulli units in both layers.
      params: its parameters.

    Raises:
      ValueError: a layer of `rbm` has other units.
      ImportError: scikit-learn is not installed.
    """
    check_type("rbm", rbm, RBM, "write other models by `jboltz.save`")
    if not (isinstance(rbm.visible, Bernoulli) and isinstance(rbm.hidden, Bernoulli)):
        raise InvalidValue(
            f"`rbm` is {rbm} but scikit-learn has Bernoulli units alone; write it by "
            "`jboltz.save`."
        )
    library = import_extra("weights", "sklearn.neural_network", "`to_sklearn`")
    estimator = library.BernoulliRBM(rbm.hidden.size)
    vars(estimator).update(to_arrays(rbm, params, names="scikit-learn"))
    estimator.n_features_in_ = rbm.visible.size
    return estimator


def _check_names(names: Any) -> Names:
    """Refuses what is not three different texts."""
    is_names = isinstance(names, list | tuple) and len({*map(str, names)}) == 3
    if not is_names or not all(isinstance(name, str) for name in names):
        raise InvalidValue(
            f"`names` is {names!r} but three different names are needed, of the "
            "weights, the visible and the hidden biases; pass `('W', 'a', 'b')`, or to "
            f"`to_arrays` one of {', '.join(STYLES)}."
        )
    return tuple(names)


def _layers(
    arrays: Mapping[str, Any], names: Names | None
) -> list[tuple[dict[str, Any], Names]]:
    """The RBMs among arrays: these by their last names, and what their roles are."""
    groups: dict[str, dict[str, Any]] = {}
    for key, array in arrays.items():
        prefix, _, last = str(key).rpartition(".")
        groups.setdefault(prefix, {})[last if names else last.lstrip("_")] = array
    found = []
    for group in groups.values():
        known = ([names], []) if names else (_LAYERS, _USUAL)
        layers, others = ([x for x in table if {*x} <= group.keys()] for table in known)
        # A file of MATLAB has several layers; of other names the first ones count.
        found += [(group, roles) for roles in layers or others[:1]]
    return found


def _read(
    group: Mapping[str, Any],
    names: Names,
    rbm: RBM | None,
    transpose: bool | None,
    convention: Convention,
) -> tuple[RBM, RBMParams]:
    W, a, b = (as_numbers(group[name], name) for name in names)
    spread = {key: group[name] for name, key in _SPREADS.items() if name in group}
    if rbm is None:
        visible = Softmax(*W.shape[:2]) if W.ndim == 3 else Bernoulli(a.size)
        if spread or names[1] == "mu":
            visible = Gaussian(a.size)
        hidden = Gaussian if names[0] == "hidtop" else Bernoulli
        rbm = RBM(visible, hidden(b.size))
    if transpose is None:
        transpose = _TRANSPOSED.get(names)
    if transpose is None and W.ndim == 2 and W.shape[0] == W.shape[1]:
        raise InvalidValue(
            f"`source` has square weights {names[0]!r}, {W.shape}, which do not show "
            "the axis of the hidden units; say `transpose=False` if they are (visible, "
            "hidden), and else `transpose=True`."
        )
    layer = {"mean": a, **spread} if spread else a
    params = params_from(rbm, W, layer, b, transpose=transpose, convention=convention)
    return rbm, params
