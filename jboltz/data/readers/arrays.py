"""Arrays: in memory, in files, and memory maps of files that are larger."""

import dataclasses
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jboltz.data.files import read_npz
from jboltz.data.readers.protocol import READ_TOGETHER, Rows, chosen
from jboltz.data.readers.sparse import Sparse
from jboltz.domains import as_numbers
from jboltz.errors import InvalidValue, import_extra


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
        with zipfile.ZipFile(source) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
        try:
            arrays = read_npz(source, names)
        except InvalidValue as error:
            raise InvalidValue(f"{source}: {error}.") from error
        if "indptr" in names:
            sparse = import_extra("readers", "scipy.sparse", source.name)
            return Sparse().open(sparse.load_npz(source))
        wide = [name for name, x in arrays.items() if x.ndim > 1]
        name = chosen(wide, self.select, source)
        return rows_of(arrays[name], f"array {name!r} of {source.name}")


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
