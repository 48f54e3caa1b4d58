"""What the words of a configuration may be, said with each field, as its type."""

from typing import Literal, TypeAlias

Features: TypeAlias = Literal["means", "samples", "probabilities"]
"""How data pass through a layer, see `jboltz.learning.pretrain.LayerFeatures`."""

Precision: TypeAlias = Literal["float32", "tensorfloat32", "bfloat16"]
"""The precision of the products in training; sums and parameters stay float32."""
