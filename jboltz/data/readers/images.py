"""A folder of images, each read when it is asked for."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jboltz.data.readers.protocol import Rows
from jboltz.errors import InvalidValue, import_extra

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")


@dataclasses.dataclass(frozen=True)
class Images:
    """All images in a folder and the folders in it, by name; gray, or in colour.

    Args:
      size: (height, width) to resize to; by default all images need one size.
    """

    size: tuple[int, int] | None = None

    endings: ClassVar[tuple[str, ...]] = ("/",)
    types: ClassVar[tuple[str, ...]] = ()

    def open(self, source: Any) -> Rows:
        pillow = import_extra("readers", "PIL.Image", "a folder of images")
        paths = sorted(x for x in source.rglob("*") if x.suffix.lower() in PICTURES)
        if not paths:
            raise InvalidValue(
                f"{source} holds no file that ends in {', '.join(PICTURES)}; pass the "
                "folder with the images."
            )
        heads = [_head(pillow, path) for path in paths]
        first = heads[0][0]
        for path, (size, _) in zip(paths, heads, strict=True):
            if size != first and self.size is None:
                raise InvalidValue(
                    f"{path} is {size} and {paths[0]} is {first}, (height, width), but "
                    "all images need one size; pass `reader=Images(size=…)`."
                )
        height, width = self.size or first
        mode = "L" if all(is_gray for _, is_gray in heads) else "RGB"

        def decoded(path):
            with pillow.open(path) as image:
                return np.asarray(image.convert(mode).resize((width, height)))

        return Rows(
            count=len(paths),
            take=lambda index: {"pixels": np.stack([decoded(paths[i]) for i in index])},
            note=f"{len(paths)} images of {height}×{width}, {mode}",
        )


def _head(pillow: Any, path: Path) -> tuple[tuple[int, int], bool]:
    """(height, width) of an image, and whether it is gray; no pixel is read."""
    try:
        with pillow.open(path) as image:
            return image.size[::-1], image.mode in ("1", "L", "LA")
    except Exception as error:  # Pillow raises errors of many kinds.
        raise InvalidValue(
            f"{path} is no image that Pillow reads ({error}); take it out of there."
        ) from error
