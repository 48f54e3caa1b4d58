"""What else can be iterated: grain, tf.data, generators."""

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar

from jboltz.data.readers.protocol import Stream
from jboltz.errors import InvalidType


@dataclasses.dataclass(frozen=True)
class Batches:
    """Batches, or single examples, that come one after another.

    Args:
      select: the entry of a batch, a number or a name; by default the first of a
        tuple, and all of a dictionary.
      is_batched: whether an entry is a batch of examples, and not one example.
    """

    select: str | int | None = None
    is_batched: bool = True

    endings: ClassVar[tuple[str, ...]] = ()
    types: ClassVar[tuple[str, ...]] = ("grain", "tensorflow", "builtins.generator")

    def open(self, source: Any) -> Stream:
        name, what = type(source).__name__, "batches" if self.is_batched else "examples"
        if not isinstance(source, Iterable):
            raise InvalidType(
                f"`source` is of type {name} but a path, an array, a table or an "
                "iterable of batches is needed; convert it to one."
            )
        return Stream(source, f"the {what} of a {name}", self.select, self.is_batched)
