"""The IDX format of MNIST's files, and whether a file is the one that was published."""

import dataclasses
import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """A file as its publisher describes it."""

    url: str
    size: int  # bytes, compressed
    sha256: str  # hex, of the compressed bytes

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


def read_idx(path: Path, published: PublishedFile) -> np.ndarray:
    """The uint8 array in a gzipped IDX file, which is bit for bit the published one.

    Read once: what is checked is what is returned, even if another process replaces
    the file meanwhile.

    Raises:
      OSError: missing or not readable.
      ValueError: damaged, cut short, another format or another file.
    """
    try:
        compressed = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise OSError(
            f"{path} cannot be read ({error.strerror}), but it must be a file that you "
            "may read; change its permissions or fetch it again."
        ) from error
    num_axes = 3 if "images" in published.name else 1
    try:
        array = _parse(compressed, num_axes)
        _check_published(compressed, published)
    except ValueError as error:
        raise ValueError(
            f"{path} {error}; delete it and fetch it again from {published.url}."
        ) from error
    return array


def _parse(compressed: bytes, num_axes: int) -> np.ndarray:
    """IDX: 0, 0, 8 for uint8, the number of axes, their lengths (big-endian uint32)."""
    try:
        content = gzip.decompress(compressed)
    except EOFError as error:
        raise ValueError(
            f"is cut short after {len(compressed)} bytes, but a gzip file has an end "
            "mark"
        ) from error
    except (OSError, zlib.error) as error:
        raise ValueError(f"is not a sound gzip file ({error})") from error
    magic = bytes([0, 0, 8, num_axes])
    start = 4 + 4 * num_axes
    if len(content) < start:
        raise ValueError(
            f"holds {len(content)} bytes, but the header of an IDX file has {start}"
        )
    if content[:4] != magic:
        raise ValueError(
            f"starts with the bytes {content[:4].hex(' ')!r}, but an IDX file of uint8 "
            f"with {num_axes} axes starts with {magic.hex(' ')!r}"
        )
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"announces an array of shape {shape}, {math.prod(shape)} bytes, but holds "
            f"{len(content) - start}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _check_published(compressed: bytes, published: PublishedFile) -> None:
    sha256 = hashlib.sha256(compressed).hexdigest()
    if sha256 != published.sha256:
        raise ValueError(
            f"is not the published file: it has {len(compressed)} bytes and SHA-256 "
            f"{sha256[:12]}…, but MNIST's has {published.size} bytes and "
            f"{published.sha256[:12]}…"
        )
