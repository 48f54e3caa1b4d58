"""Data sets and loaders of PyTorch and Hugging Face, and what else can be iterated."""

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar

from jboltz.data.readers.arrays import rows_of
from jboltz.data.readers.protocol import Rows, Stream, stacked
from jboltz.errors import InvalidType, InvalidValue, import_extra


@dataclasses.dataclass(frozen=True)
class Torch:
    """A tensor, a `Dataset`, whose examples are looked up, or a `DataLoader`.

    Args:
      select: the entry of an example or batch, a number or a name; by default the
        first of a tuple, and all of a dictionary.
    """

    select: str | int | None = None

    endings: ClassVar[tuple[str, ...]] = ()
    types: ClassVar[tuple[str, ...]] = ("torch",)

    def open(self, source: Any) -> Rows | Stream:
        torch = import_extra("readers", "torch", "PyTorch")
        name = type(source).__name__
        if isinstance(source, torch.Tensor):
            return rows_of(source.detach().cpu().numpy(), "a tensor")
        if isinstance(source, torch.utils.data.DataLoader):
            is_batched = source.batch_sampler is not None
            return Stream(source, f"the batches of a {name}", self.select, is_batched)
        if isinstance(source, torch.utils.data.IterableDataset):
            return Stream(source, f"the examples of a {name}", self.select, False)
        return Rows(
            count=len(source),
            take=lambda index: stacked([source[int(i)] for i in index], self.select),
            note=f"a {name} of {len(source)} examples",
        )


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
