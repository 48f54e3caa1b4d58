"""Files that others made, read without trust in what they are."""

import stat
from pathlib import Path

from jboltz.errors import InvalidValue


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
