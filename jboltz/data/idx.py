"""The IDX format of MNIST's files."""

import gzip

import numpy as np


def parse_idx(compressed: bytes) -> np.ndarray:
    """The uint8 array in a gzipped IDX file that is known by its checksum.

    IDX: 0, 0, 8 for uint8, the number of axes, their lengths (big-endian uint32).
    """
    content = gzip.decompress(compressed)
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
