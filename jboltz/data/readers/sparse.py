"""Sparse matrices: of scipy, and in Matrix Market files."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jboltz.data.readers.protocol import Rows
from jboltz.errors import InvalidValue, import_extra
from jboltz.files import MOST_BYTES


@dataclasses.dataclass(frozen=True)
class Sparse:
    """A sparse matrix with one example per row; a row is dense once it is read.

    Args:
      absent_is_missing: whether entries that are not stored are gaps, such as films
        without a rating. By default they are zeros.
    """

    absent_is_missing: bool = False

    endings: ClassVar[tuple[str, ...]] = (".mtx", ".mtx.gz")
    types: ClassVar[tuple[str, ...]] = ("scipy.sparse",)

    def open(self, source: Any) -> Rows:
        if isinstance(source, Path):
            matrix_market = import_extra("readers", "scipy.io", source.name)
            _check_shape(matrix_market.mminfo(source)[:2])
            with warnings.catch_warnings():
                # Newer versions warn of another default type; both become an array.
                warnings.simplefilter("ignore", DeprecationWarning)
                source = matrix_market.mmread(source)
        _check_shape(source.shape)
        sparse = import_extra("readers", "scipy.sparse", "a sparse matrix")
        matrix = sparse.csr_array(source)

        def take(index):
            rows = matrix[index]
            if not self.absent_is_missing:
                return {"values": rows.toarray()}
            stored = np.zeros(rows.shape, bool)
            stored[rows.tocoo().coords] = True
            return {"values": np.ma.MaskedArray(rows.toarray(), ~stored)}

        others = "gaps" if self.absent_is_missing else "zeros"
        return Rows(
            count=matrix.shape[0],
            take=take,
            note=f"a sparse matrix: {matrix.dtype} of shape {matrix.shape}, "
            f"{matrix.nnz} entries, the others are {others}",
        )


def _check_shape(shape: tuple[int, ...]) -> None:
    """Refuses a matrix that is empty, or of which a row or a list with one number per
    row is too large for the memory."""
    if len(shape) != 2 or 0 in shape or 8 * max(shape) > MOST_BYTES:
        raise InvalidValue(
            f"the matrix has shape {shape} but needs at least one row of at least one "
            f"number, and at most {MOST_BYTES // 8} of each; look at how it was made."
        )
