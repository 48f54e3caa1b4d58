"""Readers of data, one class and one line of `READERS` per kind.

A package that a kind needs is imported when data of that kind are read.
"""

from pathlib import Path
from typing import Any

from jboltz.data.readers.arrays import HDF5, Arrays
from jboltz.data.readers.fasta import Fasta
from jboltz.data.readers.images import Images
from jboltz.data.readers.loaders import Batches, HuggingFace, Torch
from jboltz.data.readers.protocol import Reader
from jboltz.data.readers.sparse import Sparse
from jboltz.data.readers.tables import Tables
from jboltz.errors import InvalidValue

READERS: tuple[Reader, ...] = (
    Arrays(),
    Sparse(),
    Tables(),
    HDF5(),
    Fasta(),
    Images(),
    Torch(),
    HuggingFace(),
    Batches(),
)


def reader_of(source: Any) -> Reader:
    """The reader of a path, by its ending, or of an object, by its classes.

    Args:
      source: a `Path` of a file or a folder, or an object such as an array, a frame or
        a data loader.

    Returns:
      The reader with its usual options. Objects of an unknown class get `Batches()`,
      which refuses them in `open` unless they are iterable.

    Raises:
      ValueError: `source` is the path of a file, and no reader has its ending.
    """
    if isinstance(source, Path):
        name = "/" if source.is_dir() else source.name.lower()
        for reader in READERS:
            if name.endswith(reader.endings):
                return reader
        endings = sorted(ending for reader in READERS for ending in reader.endings)
        raise InvalidValue(
            f"{source} ends in {source.suffix!r} but what is read is a folder of images"
            f" or a file that ends in {', '.join(endings)}; convert it, or pass a "
            "`reader`. A pickle could run code and is never read: pass what it holds."
        )
    # A class of the user is read as the nearest class that it derives from.
    for cls in type(source).__mro__:
        name = f"{cls.__module__}.{cls.__qualname__}."
        for reader in READERS:
            if name.startswith(tuple(f"{prefix}." for prefix in reader.types)):
                return reader
    return Batches()
