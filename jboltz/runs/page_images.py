"""The figures of a run's page: what they show, in words, and files that are light."""

import base64
import io
from typing import NamedTuple

from PIL import Image

BUDGET = 1_000_000
"""Bytes of all pictures of a page together. As text they are a third longer, and a page
with them is below 1.5 MB."""

WIDTHS = (1600, 1200, 900, 600, 400)
"""Pixels of the widest picture, from the first on that is within the budget."""


class Picture(NamedTuple):
    name: str
    words: str  #: what it shows
    source: str  #: a data URL


def pictures(figures: dict[str, bytes]) -> list[Picture]:
    """The figures of a page: first the samples, then the others by name.

    Together they are no larger than `BUDGET` where that can be had: heavier ones are
    made smaller and become WebP files.

    Args:
      figures: PNG files by name.
    """
    names = sorted(figures, key=lambda name: ("samples" not in name, name))
    light, kind = [figures[name] for name in names], "png"
    for width in WIDTHS:
        if sum(map(len, light)) <= BUDGET:
            break
        light, kind = [_webp(figures[name], width) for name in names], "webp"
    return [
        Picture(
            name.replace("_", " "),
            _words(figures[name]),
            f"data:image/{kind};base64,{base64.b64encode(file).decode()}",
        )
        for name, file in zip(names, light, strict=True)
    ]


def _webp(png: bytes, width: int) -> bytes:
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        small = picture.convert("RGB")
        small.thumbnail((width, 4 * width))
        small.save(file, format="WEBP", quality=80)
    return file.getvalue()


def _words(png: bytes) -> str:
    """What `jboltz.plotting.encode` wrote into the file; "" if it did not."""
    with Image.open(io.BytesIO(png)) as picture:
        return str(picture.info.get("Description", ""))
