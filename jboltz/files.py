"""Files that others made, read without trust in what they are."""

import io
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import numpy as np

from jboltz.errors import InvalidValue

MOST_BYTES = 2**29
"""Largest file, and largest sum of the arrays of an .npz file, decompressed: almost
three times the size of CIFAR-10."""


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a regular file of at most `most` bytes.

    A folder, a pipe or a device is refused before it is opened, because reading it
    might never end.

    Raises:
      OSError: missing, or not readable.
      ValueError: what is wrong with the file, as the end of a sentence.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise InvalidValue("is a folder, a pipe or a device, but must be a file")
    if found.st_size > most:
        raise InvalidValue(f"has {found.st_size} bytes, but at most {most} are read")
    with path.open("rb") as file:
        return file.read(most)


def read_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name; only those in `names`, if they are given.

    The sizes that the archive announces are compared with `MOST_BYTES` before anything
    is decompressed, and no more than they is. Pickled objects could run code, and are
    refused.

    Raises:
      OSError: the file cannot be read.
      ValueError: what is wrong with the file, as a sentence.
    """
    content = io.BytesIO(read_regular(path, MOST_BYTES))
    try:
        with zipfile.ZipFile(content) as archive:
            total = sum(member.file_size for member in archive.infolist())
            if total > MOST_BYTES:
                raise InvalidValue(f"its arrays have {total} bytes, above {MOST_BYTES}")
            arrays = [x for x in archive.namelist() if x.endswith(".npy")]
            held = [array.removesuffix(".npy") for array in arrays]
            wanted = [name for name in held if names is None or name in names]
            return {name: _array(archive, f"{name}.npy") for name in wanted}
    # zipfile and NumPy raise errors of ten kinds on bytes that are no archive.
    except Exception as error:
        raise InvalidValue(
            f"it cannot be read ({shorten(repr(error), 200)}); write numbers with "
            "`np.savez_compressed`"
        ) from error


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
        if member.read(1):
            raise InvalidValue(f"{name} goes on after its array")
    return array
