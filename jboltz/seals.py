"""Seals: the checksums of files, in a checksums.json beside them; and locks of folders.

A flipped bit makes another number of a number, in a file that still can be read: only
its CRC-32 tells. A file that is replaced has two checksums, that of the old content
and that of the new one, so that a crash leaves no sound file without its own.
"""

import json
import os
import pathlib
import zlib
from typing import Any

import filelock
from etils import epath

from jboltz.errors import InvalidValue

NAME = "checksums.json"


def seal(folder: pathlib.Path | epath.Path) -> None:
    """Seals every file of `folder`, which nothing changes from now on."""
    sums = {
        file.relative_to(folder).as_posix(): _checksum(file)
        for file in _files(folder)
        if file != folder / NAME
    }
    (folder / NAME).write_text(json.dumps(sums))


def write(folder: pathlib.Path, name: str, content: bytes) -> None:
    """Replaces one file of `folder` and seals it, all or nothing: a reader, or a crash,
    sees the old content or the new one, and either is sealed."""
    target, sums = folder / name, read(folder)
    target.parent.mkdir(exist_ok=True)
    contents = (load(folder, name), content)
    sums[name] = sorted({zlib.crc32(x) for x in contents if x is not None})
    draft = _draft(target, content)
    replace(folder / NAME, json.dumps(sums).encode())
    draft.replace(target)


def replace(target: pathlib.Path, content: bytes) -> None:
    """Writes a file, all or nothing: a reader, or a crash, sees the old content or the
    new one."""
    if target.is_dir():
        raise InvalidValue(f"{target} is a folder but should be a file; move it away.")
    draft = _draft(target, content)
    try:
        draft.replace(target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def load(folder: pathlib.Path, name: str) -> bytes | None:
    """The content of a sealed file; None if it is missing, changed or not sealed."""
    try:
        content = _regular(folder / name).read_bytes()
    except (OSError, ValueError):  # The file cannot be read, or has no possible name.
        return None
    return content if fits(folder, name, content) else None


def fits(folder: pathlib.Path, name: str, content: bytes) -> bool:
    """Whether `content` is what the file `name` was sealed with, be it there or not."""
    return _accepts(read(folder).get(name), zlib.crc32(content))


def forget(folder: pathlib.Path) -> None:
    """Drops the seals of files that are missing or changed."""
    sums = {k: x for k, x in read(folder).items() if load(folder, k) is not None}
    replace(folder / NAME, json.dumps(sums).encode())


def read(folder: pathlib.Path | epath.Path) -> dict[str, Any]:
    """Checksums by the names of files; {} where there are none that can be read."""
    try:
        sums = json.loads(_regular(folder / NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return sums if isinstance(sums, dict) else {}


def damage(folder: pathlib.Path | epath.Path) -> list[str]:
    """What is wrong with the sealed files of `folder`, a line a file.

    A sealed file that is a seal itself stands for the files of its own folder.
    """
    sums, found = read(folder), []
    if not sums:
        return [f"{NAME} is missing or cannot be read"]
    for name, sealed in sums.items():
        file = folder / name
        try:
            is_sound = _accepts(sealed, _checksum(file))
        except FileNotFoundError:
            found.append(f"{name} is missing")
            continue
        except (OSError, ValueError):
            is_sound = False
        if not is_sound:
            found.append(f"{name} changed since it was written")
        elif file.name == NAME:
            below = name.removesuffix(NAME)
            found += [f"{below}{line}" for line in damage(file.parent)]
    return found


def lock(folder: pathlib.Path | epath.Path) -> filelock.BaseFileLock:
    """A lock for the one writer of `folder`, which the end of its process opens too."""
    return filelock.FileLock(folder / ".lock", timeout=1, thread_local=False)


def is_locked(folder: pathlib.Path | epath.Path) -> bool:
    """Whether somebody holds the lock of `folder`."""
    if not (folder / ".lock").exists():
        return False
    try:
        with lock(folder).acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # A folder that others may not touch.
        return False


def _regular(file: Any) -> Any:
    """`file`, unless it is a pipe or a device, reading which might never end."""
    # Not `file.is_file()`: `epath` says it of a pipe too.
    if os.path.exists(file) and not os.path.isfile(file):
        raise OSError(f"{file} is no file")
    return file


def _accepts(sealed: Any, checksum: int) -> bool:
    return checksum in (sealed if isinstance(sealed, list) else [sealed])


def _checksum(file: pathlib.Path | epath.Path) -> int:
    crc = 0
    with _regular(file).open("rb") as content:
        while chunk := content.read(1 << 20):
            crc = zlib.crc32(chunk, crc)
    return crc


def _files(folder: Any) -> Any:
    """The files of `folder` and of all folders in it; `epath` has no recursive glob."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def _draft(target: pathlib.Path, content: bytes) -> pathlib.Path:
    """`content` beside its place, on the disk."""
    # Two processes that write the same file write two drafts.
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft
