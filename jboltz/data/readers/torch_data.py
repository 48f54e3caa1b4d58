"""PyTorch: tensors, data sets and loaders."""

import dataclasses
from typing import Any, ClassVar

from jboltz.data.readers.arrays import rows_of
from jboltz.data.readers.protocol import Rows, Stream, stacked
from jboltz.errors import import_extra


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
