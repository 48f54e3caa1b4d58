"""Data sets of Hugging Face."""

import dataclasses
from typing import Any, ClassVar

from jboltz.data.readers.protocol import Rows, Stream
from jboltz.errors import InvalidValue, import_extra


@dataclasses.dataclass(frozen=True)
class HuggingFace:
    """A `Dataset`, whose rows are looked up, or an `IterableDataset`."""

    endings: ClassVar[tuple[str, ...]] = ()
    types: ClassVar[tuple[str, ...]] = ("datasets",)

    def open(self, source: Any) -> Rows | Stream:
        datasets = import_extra("readers", "datasets", "Hugging Face")
        if isinstance(source, dict):
            raise InvalidValue(
                f"the data set has the splits {sorted(source)} but one is read; pass "
                f"`dataset[{sorted(source)[0]!r}]`."
            )
        rows = source.with_format("numpy")
        if isinstance(source, datasets.IterableDataset):
            return Stream(rows, "the examples of an IterableDataset", is_batched=False)
        return Rows(
            count=len(rows),
            take=lambda index: rows[index],
            note=f"a data set of {len(rows)} rows with the columns {rows.column_names}",
        )
