"""HDF5: arrays that may be larger than memory."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jboltz.data.readers.arrays import rows_of
from jboltz.data.readers.protocol import READ_TOGETHER, Rows, chosen
from jboltz.errors import import_extra


@dataclasses.dataclass(frozen=True)
class HDF5:
    """An array of an HDF5 file, read in the chunks in which it is stored.

    Args:
      select: its name, such as "group/images"; by default the only one with rows.
    """

    select: str | None = None

    endings: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    types: ClassVar[tuple[str, ...]] = ("h5py",)

    def open(self, source: Any) -> Rows:
        h5py = import_extra("readers", "h5py", "HDF5")
        if isinstance(source, Path):
            source = h5py.File(source, "r")
        if isinstance(source, h5py.Group):
            names: list[str] = []
            source.visit(names.append)
            items = {name: source[name] for name in names}
            arrays = {k: x for k, x in items.items() if isinstance(x, h5py.Dataset)}
            wide = [name for name, x in arrays.items() if x.ndim > 1]
            source = arrays[chosen(wide, self.select, source.file.filename)]
        stored = source.chunks[0] if source.chunks else 1
        wanted = READ_TOGETHER * len(source) // max(1, source.nbytes)
        return dataclasses.replace(
            rows_of(source, f"array {source.name}"),
            take=lambda index: {"values": _at(source, index)},
            chunk=stored * max(1, wanted // stored),
        )


def _at(source: Any, index: np.ndarray) -> np.ndarray:
    """The rows at `index`; neighbours are read by one slice."""
    runs = np.split(index, np.flatnonzero(np.diff(index) != 1) + 1)
    return np.concatenate([source[run[0] : run[-1] + 1] for run in runs])
