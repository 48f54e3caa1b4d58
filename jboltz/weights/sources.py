"""Arrays in the files of NumPy, MATLAB, PyTorch and rbms; none is unpickled."""

import importlib
import os
import pathlib
import pickle
from typing import Any

import numpy as np

from jboltz.errors import InvalidValue, MissingPackage

Path = str | os.PathLike[str]


def arrays_of(path: Path) -> dict[str, Any]:
    """The arrays by name in a file, by the end of its name: `.npz` of NumPy, `.mat` of
    MATLAB, `.pth` and `.pt`, to which PyTorch saved a `state_dict()`, and `.h5`, an
    archive of rbms, of whose training the last step is taken.

    Raises:
      ValueError: it is another file, is damaged, or holds what would be unpickled.
    """
    path = pathlib.Path(path).expanduser()
    readers = {".npz": _npz, ".mat": _mat, ".pth": _pth, ".pt": _pth, ".h5": _h5}
    if path.suffix not in readers or not path.is_file():
        raise InvalidValue(
            f"`path` is {path}, which is no file, or its name does not end in one of "
            f"{', '.join(readers)}; name one that does."
        )
    try:
        return readers[path.suffix](path)
    except MissingPackage:
        raise
    except Exception as error:  # Every library has errors of its own.
        raise InvalidValue(
            f"`path` is {path}, which is damaged or holds more than arrays ({error}). "
            "Objects are not unpickled, as that can run anything; where it was made, "
            "write `torch.save(model.state_dict(), …)`, `np.savez(…)` or `save -v7`."
        ) from error


def _npz(path: pathlib.Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _mat(path: pathlib.Path) -> dict[str, Any]:
    return library("scipy.io").loadmat(path)


def _pth(path: pathlib.Path) -> dict[str, Any]:
    try:
        state = library("torch").load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # It advises to run anything.
        raise InvalidValue("objects of Python") from error
    return {name: tensor.float().numpy() for name, tensor in state.items()}


def _h5(path: pathlib.Path) -> dict[str, Any]:
    with library("h5py").File(path, "r") as file:
        kind = file["model_type"][()].decode()
        # The energy of the others does not have the variance that their samples have.
        if kind not in ("BBRBM", "PBRBM"):
            raise InvalidValue(f"a {kind} and no BBRBM or PBRBM")
        steps = [x for x in file if x.startswith("update_")]
        last = max(steps, key=lambda name: int(name.removeprefix("update_")))
        return {name: array[()] for name, array in file[f"{last}/params"].items()}


def library(name: str) -> Any:
    """A module of a package that is needed here alone."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(
            f"Weights from elsewhere need {name.split('.')[0]}, which cannot be "
            f"imported ({error}); install it with: pip install 'jboltz[weights]'"
        ) from error
