"""Parameters in the files and objects of other libraries; none is unpickled."""

import importlib
import os
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from jboltz.base import Params
from jboltz.errors import InvalidType, InvalidValue, MissingPackage
from jboltz.models.dbn import DBN
from jboltz.models.rbm import RBM, RBMParams
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.softmax import Softmax
from jboltz.weights.arrays import Convention, params_from
from jboltz.weights.named import STYLES, from_arrays, to_arrays

Path = str | os.PathLike[str]


def from_torch(
    state_dict: Mapping[str, Any],
    *,
    rbm: RBM | None = None,
    names: tuple[str, str, str] | None = None,
    transpose: bool | None = None,
    convention: Convention = Convention(),
) -> tuple[RBM | DBN, Params]:
    """`from_arrays` of the `state_dict()` of a module, on any device."""
    arrays = {
        key: value.detach().cpu().float().numpy() for key, value in state_dict.items()
    }
    return from_arrays(
        arrays, rbm=rbm, names=names, transpose=transpose, convention=convention
    )


def to_torch(
    rbm: RBM,
    params: RBMParams,
    *,
    names: str | tuple[str, str, str] = "learnergy",
    transpose: bool = False,
) -> dict[str, Any]:
    """`to_arrays` as tensors, for `module.load_state_dict`."""
    torch = _library("torch")
    arrays = to_arrays(rbm, params, names=names, transpose=transpose)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def from_learnergy(
    path: Path, *, rbm: RBM | None = None, convention: Convention = Convention()
) -> tuple[RBM | DBN, Params]:
    """An RBM that `torch.save(model.state_dict(), path)` left.

    The biases of learnergy's GaussianRBM are means, of variance 1, which the file does
    not show: name the model, `rbm=RBM(Gaussian(784), Bernoulli(128))`. Its DBN keeps no
    layers in its `state_dict`: save those of `dbn.models` and `stack` them.

    Raises:
      ValueError: the file holds more than tensors, such as a pickled model.
    """
    torch = _library("torch")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InvalidValue(
            f"`path` is {path}, which is damaged or holds more than tensors, and is not "
            "unpickled, since that may run anything; in the program that wrote it, "
            "`torch.save(model.state_dict(), path)`."
        ) from error
    return from_torch(state, rbm=rbm, transpose=False, convention=convention)


def from_sklearn(estimator: Any) -> tuple[RBM, RBMParams]:
    """The RBM of a fitted `sklearn.neural_network.BernoulliRBM`."""
    try:
        W, a = estimator.components_, estimator.intercept_visible_
        b = estimator.intercept_hidden_
    except AttributeError as error:
        raise InvalidType(
            f"`estimator` is {estimator!r} but a fitted BernoulliRBM is needed "
            f"({error}); call its `fit` first."
        ) from error
    rbm = RBM(Bernoulli(np.size(a)), Bernoulli(np.size(b)))
    return rbm, params_from(rbm, W, a, b, transpose=True)


def to_sklearn(rbm: RBM, params: RBMParams) -> Any:
    """A fitted `sklearn.neural_network.BernoulliRBM`."""
    if not (isinstance(rbm.visible, Bernoulli) and isinstance(rbm.hidden, Bernoulli)):
        raise InvalidValue(
            f"`rbm` is {rbm} but scikit-learn has binary units alone; write it by "
            "`jboltz.save`."
        )
    estimator = _library("sklearn.neural_network").BernoulliRBM(rbm.hidden.size)
    names = ("components_", "intercept_visible_", "intercept_hidden_")
    for name, array in to_arrays(rbm, params, names=names, transpose=True).items():
        setattr(estimator, name, array)
    estimator.n_features_in_ = rbm.visible.size
    return estimator


def from_rbms(path: Path, *, update: int | None = None) -> tuple[RBM, RBMParams]:
    """A Bernoulli–Bernoulli or Potts–Bernoulli RBM in an HDF5 archive of rbms.

    Args:
      update: the training step; None: the last one in the archive.

    Raises:
      ValueError: it is no such archive, or has no such update or another model.
    """
    try:
        with _library("h5py").File(path, "r") as file:
            kind = file["model_type"][()].decode()
            steps = [int(x[7:]) for x in file if x.startswith("update_")]
            step = max(steps) if update is None else update
            params = {k: x[()] for k, x in file[f"update_{step}/params"].items()}
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise InvalidValue(
            f"`path` is {path}, which holds no model of rbms, or not at update {update} "
            f"({error}); name an archive that `rbms train` wrote and a step in it."
        ) from error
    if kind not in ("BBRBM", "PBRBM"):
        raise InvalidValue(
            f"`path` is {path}, a {kind}, but BBRBM and PBRBM are read; give its arrays "
            "to `params_from`, with the variances that its samples have."
        )
    W, a, b = (params[name] for name in STYLES["rbms"])
    visible = Softmax(*a.shape) if kind == "PBRBM" else Bernoulli(len(a))
    rbm = RBM(visible, Bernoulli(len(b)))
    return rbm, params_from(rbm, W, a, b, transpose=False)


def from_matlab(
    path: Path, *, rbm: RBM | None = None, convention: Convention = Convention()
) -> tuple[RBM | DBN, Params]:
    """`from_arrays` of a `.mat` file, by the names of Hinton's and Salakhutdinov's
    programs, whose weights are (visible, hidden) and biases (1, n)."""
    try:
        arrays = _library("scipy.io").loadmat(path)
    except (NotImplementedError, ValueError, TypeError) as error:
        raise InvalidValue(
            f"`path` is {path}, which is no MATLAB file, is damaged or of version 7.3 "
            f"({error}); in MATLAB, `save NAME -v7`."
        ) from error
    own = {key: x for key, x in arrays.items() if not key.startswith("__")}
    return from_arrays(own, rbm=rbm, transpose=False, convention=convention)


def from_npz(
    path: Path,
    *,
    rbm: RBM | None = None,
    names: tuple[str, str, str] | None = None,
    transpose: bool | None = None,
    convention: Convention = Convention(),
) -> tuple[RBM | DBN, Params]:
    """`from_arrays` of a NumPy archive of `np.savez`."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InvalidValue(
            f"`path` is {path}, which is no `.npz` of arrays of numbers ({error}); "
            "write one by `np.savez(path, W=W, a=a, b=b)`."
        ) from error
    return from_arrays(
        arrays, rbm=rbm, names=names, transpose=transpose, convention=convention
    )


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(
            f"These weights need {name.split('.')[0]}, which cannot be imported "
            f"({error}); install it with: pip install 'jboltz[weights]'"
        ) from error
