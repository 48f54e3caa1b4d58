"""Sparse binary data as lists of the visible units that are on."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key

from jboltz.checks import check_count, check_size
from jboltz.domains import as_numbers
from jboltz.errors import InvalidType, InvalidValue
from jboltz.ranges import shortened


@dataclasses.dataclass(frozen=True)
class FromIndices:
    """A `prepare` that turns rows of indices into binary states of `num_visible` units.

    A row has the indices of the units that are on, such as the words of a document, and
    −1 in places that are not used. The states are made on the device, inside the step,
    so that only indices are stored and copied from the host.

    Args:
      num_visible: the number of visible units.
    """

    num_visible: int

    def __post_init__(self) -> None:
        check_size(self, "num_visible")

    def __call__(
        self, rows: Integer[Array, "batch places"], key: Key[Array, ""]
    ) -> Float[Array, "batch visible"]:
        del key
        batch, visible = rows.shape[0], self.num_visible
        # Unused places set a unit after the last one, which is cut off.
        places = jnp.where(rows < 0, visible, rows)
        states = jnp.zeros((batch, visible + 1))
        return states.at[jnp.arange(batch)[:, None], places].set(1.0)[:, :visible]

    def check_rows(self, rows: Any) -> None:
        """Refuses rows that were not padded for `num_visible` units.

        Args:
          rows: all rows of the data.

        Raises:
          TypeError: they are no integers.
          ValueError: an index is not a unit, or they are no matrix.
        """
        array, remedy = as_numbers(rows, "data"), "make them by `pad_indices`"
        if array.dtype.kind not in "iu":
            raise InvalidType(
                f"`data` has dtype {array.dtype} but `FromIndices` needs rows of whole "
                f"numbers, the units that are on; {remedy}."
            )
        if array.ndim != 2:
            raise InvalidValue(
                f"`data` has shape {array.shape} but `FromIndices` needs one row of "
                f"indices per example; {remedy}."
            )
        low, high = array.min(initial=-1), array.max(initial=-1)
        if not -1 <= low <= high < self.num_visible:
            raise InvalidValue(
                f"`data` has indices from {low} to {high} but `FromIndices` with "
                f"{self.num_visible} visible units needs 0 to {self.num_visible - 1}, "
                f"and -1 in unused places; {remedy} with the same `num_visible`."
            )


def pad_indices(
    rows: Sequence[Sequence[int]], num_visible: int, *, num_places: int | None = None
) -> Integer[np.ndarray, "batch places"]:
    """Lists of the units that are on as int32 rows of one length, padded with −1.

    Args:
      rows: for each example the numbers of the units that are on.
      num_visible: the number of visible units.
      num_places: the length of a row; by default the length of the longest list.

    Raises:
      TypeError: an example is no list, or an index is no whole number.
      ValueError: an index is not a unit or there twice, or a list is longer than a row.
    """
    num_visible = check_count("num_visible", num_visible, at_least=1)
    try:
        lists = [list(row) for row in rows]
    except TypeError as error:
        raise InvalidType(
            f"`rows` is {shortened(rows)} but a list is needed for each example, of "
            "the units that are on; pass lists of numbers, such as `[[0, 3], [2]]`."
        ) from error
    longest = max(map(len, lists), default=0)
    if num_places is None:
        num_places = longest
    num_places = check_count("num_places", num_places, at_least=0)
    if longest > num_places:
        raise InvalidValue(
            f"`num_places` is {num_places} but a row has {longest} entries; make room "
            "for the longest."
        )
    padded = np.full((len(lists), num_places), -1, np.int32)
    for row, indices in zip(padded, lists, strict=True):
        if not all(map(_is_whole, indices)):
            raise InvalidType(
                f"`rows` holds {shortened(indices)} but a row holds the numbers of the "
                "units that are on; pass integers, of a row of Booleans "
                "`np.flatnonzero(row)`."
            )
        if indices and not 0 <= min(indices) <= max(indices) < num_visible:
            raise InvalidValue(
                f"`rows` holds {min(indices)} to {max(indices)} in one row but units "
                f"are numbered 0 to {num_visible - 1}; renumber them, or raise "
                "`num_visible`."
            )
        if len({*indices}) < len(indices):
            raise InvalidValue(
                f"`rows` holds {shortened(indices)} but a row names each unit that is "
                "on once; take `np.unique(row)`, and of a row that has 0 or 1 for "
                "every unit `np.flatnonzero(row)`."
            )
        row[: len(indices)] = indices
    return padded


def _is_whole(index: object) -> bool:
    return isinstance(index, int | np.integer) and not isinstance(index, bool)
