"""Sparse binary data as lists of the visible units that are on."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key

from jboltz.checks import check_size
from jboltz.errors import InvalidType, InvalidValue


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


def pad_indices(
    rows: Sequence[Sequence[int]], num_visible: int, *, num_places: int | None = None
) -> Integer[np.ndarray, "batch places"]:
    """Lists of the units that are on as int32 rows of one length, padded with −1.

    Args:
      rows: for each example the numbers of the units that are on.
      num_visible: the number of visible units.
      num_places: the length of a row; by default the length of the longest list.

    Raises:
      ValueError: an index is not a unit, or a list is longer than a row.
    """
    longest = max(map(len, rows), default=0)
    num_places = longest if num_places is None else num_places
    if longest > num_places:
        raise InvalidValue(
            f"`num_places` is {num_places} but a row has {longest} entries; make room "
            "for the longest."
        )
    padded = np.full((len(rows), num_places), -1, np.int32)
    for row, indices in zip(padded, rows, strict=True):
        if not all(isinstance(index, int | np.integer) for index in indices):
            raise InvalidType(
                f"`rows` holds {list(indices)} but a row holds the numbers of the "
                "units that are on; pass integers."
            )
        row[: len(indices)] = indices
        if len(indices) and not 0 <= min(indices) <= max(indices) < num_visible:
            raise InvalidValue(
                f"`rows` holds {min(indices)} to {max(indices)} in one row but units "
                f"are numbered 0 to {num_visible - 1}; renumber them, or raise "
                "`num_visible`."
            )
    return padded
