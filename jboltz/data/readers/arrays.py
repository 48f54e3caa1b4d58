"""Arrays: in memory, in files of NumPy and HDF5, and those larger than memory."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jboltz.data.readers.protocol import READ_TOGETHER, Rows
from jboltz.data.readers.sparse import Sparse
from jboltz.domains import as_numbers
from jboltz.errors import InvalidValue, import_extra
from jboltz.files import read_npz


@dataclasses.dataclass(frozen=True)
class Arrays:
    """Arrays, nested lists, `.npy` files (as memory maps) and `.npz` files.

    Args:
      select: the array of an `.npz` file; by default the only one with rows.
    """

    select: str | None = None

    endings: ClassVar[tuple[str, ...]] = (".npy", ".npz")
    types: ClassVar[tuple[str, ...]] = ("numpy", "jax", "jaxlib", "builtins.list")

    def open(self, source: Any) -> Rows:
        if not isinstance(source, Path):
            is_array = isinstance(source, np.ndarray)
            return rows_of(source if is_array else as_numbers(source, "data"), "array")
        if source.suffix.lower() == ".npy":
            array = np.lib.format.open_memmap(source, mode="r")  # refuses objects
            return rows_of(array, source.name)
        try:
            arrays = read_npz(source)
        except InvalidValue as error:
            raise InvalidValue(f"{source}: {error}.") from error
        if "indptr" in arrays:
            sparse = import_extra("readers", "scipy.sparse", source.name)
            return Sparse().open(sparse.load_npz(source))
        name = _chosen(arrays, self.select, source)
        return rows_of(arrays[name], f"array {name!r} of {source.name}")


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
            source = arrays[_chosen(arrays, self.select, source.file.filename)]
        stored = source.chunks[0] if source.chunks else 1
        wanted = READ_TOGETHER * len(source) // max(1, source.nbytes)
        return dataclasses.replace(
            rows_of(source, f"array {source.name}"),
            take=lambda index: {"values": _at(source, index)},
            chunk=stored * max(1, wanted // stored),
        )


def rows_of(array: Any, what: str) -> Rows:
    """The rows of an array; those of a memory map are read in chunks."""
    if array.dtype.kind not in "biufUS":
        as_numbers(np.empty(0, array.dtype), what)
    if array.ndim < 2 or not array.size:
        raise InvalidValue(
            f"{what} has shape {array.shape} but needs at least one row, of at least "
            "one number, for each example; reshape it, or look at how it was made."
        )
    together = max(1, READ_TOGETHER * len(array) // array.nbytes)
    return Rows(
        count=len(array),
        take=lambda index: {"values": array[index]},
        note=f"{what}: {array.dtype} of shape {array.shape}",
        chunk=together if isinstance(array, np.memmap) else 1,
    )


def _at(source: Any, index: np.ndarray) -> np.ndarray:
    """The rows at `index`; neighbours are read by one slice."""
    runs = np.split(index, np.flatnonzero(np.diff(index) != 1) + 1)
    return np.concatenate([source[run[0] : run[-1] + 1] for run in runs])


def _chosen(arrays: dict[str, Any], select: str | None, where: Any) -> str:
    """The name that is selected, or that of the only array with rows."""
    names = [name for name, x in arrays.items() if x.ndim > 1]
    if select is None and len(names) == 1:
        return names[0]
    if select in names:
        return select
    raise InvalidValue(
        f"`select` is {select!r} but {where} has the arrays of rows {names}; pass a "
        "`reader` that selects one of these."
    )
