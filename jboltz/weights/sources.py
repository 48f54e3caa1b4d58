"""Arrays in the files of NumPy, MATLAB, PyTorch and rbms; none is unpickled."""

import os
import pathlib
from textwrap import shorten
from typing import Any

from jboltz.errors import InvalidValue, MissingPackage, import_extra
from jboltz.files import read_npz
from jboltz.ranges import with_home


def arrays_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arrays by name in a file, by the end of its name: `.npz` of NumPy, `.mat` of
    MATLAB, `.pth` and `.pt`, to which PyTorch saved a `state_dict()`, and `.h5`, an
    archive of rbms, of whose training the last step is taken.

    Raises:
      ValueError: it is another file, is damaged, or holds what would be unpickled.
    """
    path = pathlib.Path(with_home("path", path))
    if path.suffix not in (".npz", ".mat", ".pth", ".pt", ".h5") or not path.is_file():
        raise InvalidValue(
            f"`path` is {path}, which is no file, or its name does not end in one of "
            ".npz, .mat, .pth, .pt, .h5; name one that does."
        )
    try:
        if path.suffix == ".npz":
            return read_npz(path)
        if path.suffix == ".mat":
            return import_extra("weights", "scipy.io", path.name).loadmat(path)
        if path.suffix == ".h5":
            h5py = import_extra("weights", "h5py", path.name)
            with h5py.File(path, "r") as file:
                return _last_step(file)
        torch = import_extra("weights", "torch", path.name)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.float().numpy() for name, tensor in state.items()}
    except MissingPackage:
        raise
    except Exception as error:  # Every library has errors of its own.
        raise InvalidValue(
            f"`path` is {path}, which is damaged or holds more than arrays "
            f"({shorten(repr(error), 200)}). Objects are not unpickled, as that can "
            "run anything; where it was made, write `torch.save(model.state_dict(), "
            "…)`, `np.savez(…)` or `save -v7`, and of rbms a BBRBM or PBRBM."
        ) from error


def _last_step(file: Any) -> dict[str, Any]:
    # The energy of the others does not have the variance that their samples have.
    if file["model_type"][()].decode() not in ("BBRBM", "PBRBM"):
        raise ValueError
    steps = [int(x.removeprefix("update_")) for x in file if x.startswith("update_")]
    return {name: x[()] for name, x in file[f"update_{max(steps)}/params"].items()}
