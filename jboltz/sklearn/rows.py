"""Rows of data: in blocks, dense, and inside or outside of [0, 1]."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from scipy import sparse

from jboltz.checks import visible_domain

_ROUNDING = 1e-6  # of scaled features


def blocks(num_rows: int, length: int, rows_of) -> Iterator[tuple[Any, int]]:
    """Blocks of `length` rows, the last one filled with zeros, and how many are rows.

    Args:
      rows_of: (slice) -> a tree of arrays with one entry per row of the slice.
    """
    for first in range(0, num_rows, length):
        count = min(length, num_rows - first)
        rows = rows_of(slice(first, first + count))
        yield jax.tree.map(lambda x: _fill(x, length), rows), count


def _fill(x: Any, length: int) -> np.ndarray:
    filled = np.zeros((length, *x.shape[1:]), x.dtype)
    filled[: len(x)] = x
    return filled


def is_binary(model: Any) -> bool:
    """Whether the visible units of `model` are binary."""
    domain = visible_domain(model)
    return domain is not None and domain.is_binary


def is_outside(X: Any) -> np.ndarray:
    """Which rows have a value outside [0, 1]."""
    low, high = (to_dense(x).ravel() for x in (X.min(axis=1), X.max(axis=1)))
    return (low < -_ROUNDING) | (high > 1 + _ROUNDING)


def to_dense(X: Any) -> Any:
    return np.asarray(X.toarray() if sparse.issparse(X) else X, np.float32)
