"""Checkpoints: Orbax, with a checksum a leaf. The only module that imports Orbax.

Orbax restores flipped bits in silence, so each leaf's CRC-32 is stored beside it and
compared on the way back; a damaged step is passed over and named.
"""

import contextlib
import errno
import logging
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from jboltz.base import State


class Checkpoint(NamedTuple):
    """What `Checkpoints.restore` found."""

    step: int
    state: State
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training run, one folder a step.

        with Checkpoints(folder) as checkpoints:
            found, damaged = checkpoints.restore(jax.eval_shape(init, key))
            checkpoints.save(step, state, {"loss": 0.1})

    Args:
      folder: made if it is not there.
      keep: how many of the newest steps stay on disk.
    """

    def __init__(self, folder: str | pathlib.Path, *, keep: int = 3) -> None:
        self.folder = pathlib.Path(folder).resolve()
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.LatestN(keep),
                enable_async_checkpointing=False,
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self._manager.close()

    def save(self, step: int, state: State, notes: dict[str, Any]) -> None:
        """Writes `state` and JSON `notes`; when it returns, the step is on disk.

        Steps from `step` on are deleted first: they belong to a future that this run
        has left, or are damaged.

        Raises:
          OSError: the step could not be written; earlier ones are untouched.
        """
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            checksums=ocp.args.JsonSave(_checksums(state)),
            notes=ocp.args.JsonSave(notes),
        )
        try:
            with _quiet_orbax():
                for old in self._manager.all_steps():
                    if old >= step:
                        self._manager.delete(old)
                saved = self._manager.save(step, args=items)
                self._manager.wait_until_finished()
        except Exception as error:
            raise OSError(
                f"Step {step} could not be saved in {self.folder} ({_reason(error)}). "
                "Earlier checkpoints are untouched; see that the disk has room and the "
                "folder can be written, then run again."
            ) from error
        if not saved:
            raise OSError(f"Orbax declined to save step {step} in {self.folder}.")

    def restore(self, template: State) -> tuple[Checkpoint | None, list[str]]:
        """The newest sound checkpoint, and a line for each damaged one passed over.

        Args:
          template: the shapes and dtypes to expect, from `jax.eval_shape` of what
            builds the state; leaves without a sharding go to the first device.

        Raises:
          ValueError: a sound checkpoint holds other leaves, shapes or dtypes.
        """
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            found = self._load(step, template)
            if isinstance(found, Checkpoint):
                return found, damaged
            damaged.append(f"{self.folder / str(step)} is damaged: {found}")
        return None, damaged

    def _load(self, step: int, template: State) -> Checkpoint | str:
        """The checkpoint, or what is wrong with it."""
        json = ocp.args.JsonRestore()
        meta = self._read(step, checksums=json, notes=json)
        if meta is None:
            return "its files cannot be read"
        _check_template(meta.checksums, template, self.folder / str(step))
        arrays = ocp.args.StandardRestore(_with_shardings(template))
        found = self._read(step, state=arrays)
        if found is None:
            return "its files cannot be read"
        sums = _checksums(found.state)
        broken = [name for name in sums if sums[name] != meta.checksums[name]]
        if broken:
            return f"{', '.join(broken)} differs from its checksum"
        return Checkpoint(step, found.state, meta.notes)

    def _read(self, step: int, **items: Any) -> Any:
        """The items of a step, or None where Orbax cannot read them.

        What Orbax raises for a damaged file has no common type: `Exception` itself,
        KeyError, JSONDecodeError, FileNotFoundError and ValueError were all seen.
        """
        try:
            with _quiet_orbax():
                return self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception:
            return None


@contextlib.contextmanager
def _quiet_orbax() -> Iterator[None]:
    """No tracebacks of Orbax's threads on the terminal: what failed is raised here."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    """What the operating system said, out of what TensorStore made of it."""
    text = str(error)
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG):
        if os.strerror(code) in text:
            return os.strerror(code)
    return (text.strip() or type(error).__name__).splitlines()[0][:200]


def _checksums(state: State) -> dict[str, list[Any]]:
    """Name → [dtype, shape, CRC-32] of every leaf."""
    sums = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        values = np.asarray(leaf)
        crc = zlib.crc32(values.tobytes())
        sums[jax.tree_util.keystr(path)] = [str(values.dtype), list(values.shape), crc]
    return sums


def _check_template(
    stored: dict[str, list[Any]], template: State, folder: pathlib.Path
) -> None:
    expected = {
        jax.tree_util.keystr(path): [str(np.dtype(leaf.dtype)), list(leaf.shape)]
        for path, leaf in jax.tree_util.tree_leaves_with_path(template)
    }
    for name in sorted(stored.keys() | expected.keys()):
        got, need = stored.get(name, [None])[:2], expected.get(name)
        if got != need:
            raise ValueError(
                f"The checkpoint {folder} holds {_describe(got)} for {name} but "
                f"{_describe(need)} is asked for; restore with the configuration that "
                "it was written with, or point to an empty folder."
            )


def _describe(leaf: list[Any] | None) -> str:
    return "nothing" if not leaf or leaf == [None] else f"{leaf[0]}{tuple(leaf[1])}"


def _with_shardings(template: State) -> State:
    # Without one, a checkpoint of another number of devices cannot be restored.
    default = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def place(x):
        sharding = getattr(x, "sharding", None) or default
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    return jax.tree.map(place, template)
