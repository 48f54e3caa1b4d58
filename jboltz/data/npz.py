"""Arrays of an .npz file, checked before any of them is made."""

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import numpy as np

from jboltz.data.files import read_regular
from jboltz.errors import InvalidValue

MOST_BYTES = 2**29
"""Largest .npz file, and largest sum of its arrays, decompressed: almost three times
the size of CIFAR-10."""


def read_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of the file that are in `names`; other members are not read.

    The sizes that the archive announces are compared with `MOST_BYTES` before anything
    is decompressed, and no array is made that its bytes do not fill. Pickled objects
    could run code, and are refused.

    Raises:
      OSError: the file cannot be read.
      ValueError: what is wrong with the file, as a sentence.
    """
    content = io.BytesIO(read_regular(path, MOST_BYTES))
    if not zipfile.is_zipfile(content):
        raise InvalidValue("it is no zip archive, or is cut short")
    try:
        with zipfile.ZipFile(content) as archive:
            wanted = {f"{name}.npy" for name in names}
            members = [x for x in archive.infolist() if x.filename in wanted]
            _check_members(members)
            return {
                member.filename.removesuffix(".npy"): _array(archive, member)
                for member in members
            }
    except InvalidValue:
        raise
    # zipfile and NumPy raise errors of ten kinds on bytes that are no archive.
    except Exception as error:
        raise InvalidValue(f"it is damaged ({shorten(repr(error), 100)})") from error


def _check_members(members: Sequence[zipfile.ZipInfo]) -> None:
    found = [member.filename for member in members]
    if len(set(found)) < len(found):
        raise InvalidValue(f"it holds an array twice, among {', '.join(found)}")
    # zipfile stops at the announced size: a member never becomes larger than that.
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise InvalidValue(
            f"its arrays have {total} bytes, but at most {MOST_BYTES} are read"
        )
    for member in members:
        if member.flag_bits & 1:
            raise InvalidValue(
                f"{member.filename} is encrypted; store it without a password"
            )
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InvalidValue(
                f"{member.filename} is compressed by method {member.compress_type}; "
                "write the file with `np.savez_compressed`"
            )


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    content = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(content)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise InvalidValue(f"{member.filename} has the unknown version {version}")
    shape, _, dtype = readers[version](content)
    if dtype.hasobject:
        raise InvalidValue(
            f"{member.filename} holds pickled objects, which could run code; store "
            "numbers"
        )
    size, held = math.prod(shape) * dtype.itemsize, member.file_size - content.tell()
    if size != held:
        raise InvalidValue(
            f"{member.filename} announces an array of shape {shorten(str(shape), 80)}, "
            f"but holds {held} bytes of data"
        )
    content.seek(0)
    return np.lib.format.read_array(content, allow_pickle=False)
