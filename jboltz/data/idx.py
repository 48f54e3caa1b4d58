"""The IDX format of MNIST's files."""

import gzip
import math
import zlib

import numpy as np

from jboltz.errors import InvalidValue


def parse_idx(compressed: bytes, num_axes: int) -> np.ndarray:
    """The uint8 array in a gzipped IDX file.

    IDX: 0, 0, 8 for uint8, the number of axes, their lengths (big-endian uint32).

    Raises:
      ValueError: what is wrong with the file, as the end of a sentence.
    """
    try:
        content = gzip.decompress(compressed)
    except EOFError as error:
        raise InvalidValue(
            f"is cut short after {len(compressed)} bytes, but a gzip file has an end "
            "mark"
        ) from error
    except (OSError, zlib.error) as error:
        raise InvalidValue(f"is not a sound gzip file ({error})") from error
    magic = bytes([0, 0, 8, num_axes])
    start = 4 + 4 * num_axes
    if len(content) < start:
        raise InvalidValue(
            f"holds {len(content)} bytes, but the header of an IDX file has {start}"
        )
    if content[:4] != magic:
        raise InvalidValue(
            f"starts with the bytes {content[:4].hex(' ')!r}, but an IDX file of uint8 "
            f"with {num_axes} axes starts with {magic.hex(' ')!r}"
        )
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if len(content) - start != math.prod(shape):
        raise InvalidValue(
            f"announces an array of shape {shape}, {math.prod(shape)} bytes, but holds "
            f"{len(content) - start}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
