"""Checkpoints: Orbax, with a checksum a file. The only module that imports Orbax.

Orbax restores flipped bits in silence, and where it cannot read one file it leaves the
reads of the others to fail in threads of their own. So a step's files are compared with
their CRC-32 before Orbax sees them; a damaged step is passed over and named.
"""

import contextlib
import dataclasses
import errno
import json
import logging
import os
import pathlib
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from jboltz.base import State
from jboltz.errors import InvalidValue

_SEAL = "checksums.json"

_PATIENCE = 30.0
"""Seconds that threads of a save or restore that failed have to end."""


class Checkpoint(NamedTuple):
    """A saved step that `Checkpoints.restore` read."""

    step: int
    state: State
    notes: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _LogSpaced:
    """Keeps the first step, and each at least `growth` times the one kept before.

    What it keeps among some steps it keeps among more of them that come later.
    """

    growth: float

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: Any
    ) -> Sequence[bool]:
        del context
        kept, last = [], None
        for checkpoint in checkpoints:
            kept.append(last is None or checkpoint.step >= self.growth * last)
            last = checkpoint.step if kept[-1] else last
        return kept


class Checkpoints:
    """The checkpoints of one training run, one folder a step.

        with Checkpoints(folder) as checkpoints:
            found, damaged = checkpoints.restore(jax.eval_shape(init, key))
            checkpoints.save(step, state, {"loss": 0.1})

    Of several processes, each calls `save` and `restore` with arrays over all of their
    devices, on a folder that all of them see.

    Args:
      folder: made if it is not there. `~` is the home of the user; `gs://bucket/run`
        and the other schemes of `etils.epath` are folders elsewhere.
      keep: how many of the newest steps stay on disk.
      growth: besides, the first step stays for good, and so does each that is at least
        `growth` times the one that last did: the archive of a training run at steps
        that are even on a logarithmic scale. None keeps no archive.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        *,
        keep: int = 3,
        growth: float | None = None,
    ) -> None:
        if growth is not None and not growth >= 1:
            raise InvalidValue(
                f"`growth` is {growth} but the steps of an archive grow by a factor of "
                "at least 1; 1 keeps every step, 2 the doublings."
            )
        self.folder, self._damaged = _folder(folder), set()
        newest = checkpoint_managers.LatestN(keep)
        archive = [] if growth is None else [_LogSpaced(growth)]
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(
                    [newest, *archive]
                ),
                enable_async_checkpointing=False,
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self._manager.close()

    def save(
        self,
        step: int,
        state: State,
        notes: dict[str, Any],
        *,
        overwrite: bool = False,
    ) -> None:
        """Writes `state` and JSON `notes`; when it returns, the step is on disk.

        Of the steps from `step` on, those that `restore` named as damaged are deleted
        first.

        Args:
          overwrite: delete all steps from `step` on, a future that this run has left.

        Raises:
          ValueError: there are such steps, and nobody said to overwrite them.
          OSError: the step could not be written; earlier ones are untouched.
        """
        later = [old for old in self._manager.all_steps() if old >= step]
        kept = sorted({*later} - self._damaged)
        if kept and not overwrite:
            raise InvalidValue(
                f"`step` is {step} but {self.folder} holds steps {kept}; save a later "
                "step or in another folder, or delete them by `overwrite=True`."
            )
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            leaves=ocp.args.JsonSave(_leaves(state)),
            notes=ocp.args.JsonSave(notes),
        )
        try:
            with _quiet_orbax():
                for old in later:
                    self._manager.delete(old)
                saved = self._manager.save(step, args=items)
                self._manager.wait_until_finished()
            if saved and jax.process_index() == 0:
                _seal(self.folder / str(step))
            if jax.process_count() > 1:  # None goes on before the step is sound.
                multihost_utils.sync_global_devices(f"step {step} is sealed")
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
        for found in self._load_all(template, reverse=True):
            if isinstance(found, Checkpoint):
                return found, damaged
            damaged.append(found)
        return None, damaged

    def restore_all(self, template: State) -> tuple[list[Checkpoint], list[str]]:
        """Every sound checkpoint, oldest first, and a line for each damaged one.

        The trajectory of a training run, of which `stack_params` makes a ladder for
        `TrajectoryTempering`.

        Args:
          template: as for `restore`.

        Raises:
          ValueError: a sound checkpoint holds other leaves, shapes or dtypes.
        """
        found = list(self._load_all(template))
        return (
            [x for x in found if isinstance(x, Checkpoint)],
            [x for x in found if isinstance(x, str)],
        )

    def _load_all(
        self, template: State, *, reverse: bool = False
    ) -> Iterator[Checkpoint | str]:
        for step in sorted(self._manager.all_steps(), reverse=reverse):
            found = self._load(step, template)
            if isinstance(found, Checkpoint):
                yield found
            else:
                self._damaged.add(step)
                yield f"{self.folder / str(step)} is damaged: {found}"

    def _load(self, step: int, template: State) -> Checkpoint | str:
        """The checkpoint, or what is wrong with it."""
        folder = self.folder / str(step)
        if wrong := _damage(folder):
            return wrong
        meta = self._read(step, leaves=ocp.args.JsonRestore())
        _check_template(meta.leaves, template, folder)
        found = self._read(
            step,
            state=ocp.args.StandardRestore(_with_shardings(template)),
            notes=ocp.args.JsonRestore(),
        )
        state = jax.tree.map(_uncommitted, found.state, template)
        return Checkpoint(step, state, found.notes)

    def _read(self, step: int, **items: Any) -> Any:
        with _quiet_orbax():
            return self._manager.restore(step, args=ocp.args.Composite(**items))


def _folder(folder: str | pathlib.Path) -> epath.Path:
    try:
        path = epath.Path(folder)
        return path if "://" in str(folder) else path.expanduser().resolve()
    except KeyError as error:
        raise InvalidValue(
            f"`folder` is {str(folder)!r} but {error} is no scheme that Orbax writes "
            "to; pass a folder of this machine, or one of `gs://` or `s3://`."
        ) from error


@contextlib.contextmanager
def _quiet_orbax() -> Iterator[None]:
    """No tracebacks of Orbax's threads on the terminal: what failed is raised here,
    and after they ended, since what they still write would be in the way of the next.
    """
    logger, before = logging.getLogger("absl"), {*threading.enumerate()}
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except Exception:
        deadline = time.monotonic() + _PATIENCE
        # Looked at and not joined: some start others, or raise where they are joined.
        while {*threading.enumerate()} - before and time.monotonic() < deadline:
            time.sleep(0.01)
        raise
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    """What the operating system said, out of what TensorStore made of it."""
    text = str(error)
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG):
        if os.strerror(code) in text:
            return os.strerror(code)
    return (text.strip() or type(error).__name__).splitlines()[0][:200]


def _checksums(folder: epath.Path) -> dict[str, int]:
    """Name → CRC-32 of every file of a step."""
    sums = {}
    for file in _files(folder):
        if file != folder / _SEAL:
            crc = 0
            with file.open("rb") as content:
                while chunk := content.read(1 << 20):
                    crc = zlib.crc32(chunk, crc)
            sums[file.relative_to(folder).as_posix()] = crc
    return sums


def _files(folder: epath.Path) -> Iterator[epath.Path]:
    """The files of `folder` and of all folders in it; `epath` has no recursive glob."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def _seal(folder: epath.Path) -> None:
    """The last thing written of a step; what is killed before it is not sound."""
    (folder / _SEAL).write_text(json.dumps(_checksums(folder)))


def _damage(folder: epath.Path) -> str | None:
    """The damage in the files of a step."""
    try:
        sealed = json.loads((folder / _SEAL).read_text())
    except (OSError, ValueError):
        return f"its {_SEAL} is missing or cannot be read"
    sums = _checksums(folder)
    broken = [name for name in sealed if sums.get(name) != sealed[name]]
    return f"{', '.join(broken)} changed since it was written" if broken else None


def _leaves(state: State) -> dict[str, list[Any]]:
    """Name → [dtype, shape] of every leaf."""
    return {
        jax.tree_util.keystr(path): [str(np.dtype(leaf.dtype)), list(leaf.shape)]
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def _check_template(
    stored: dict[str, list[Any]], template: State, folder: epath.Path
) -> None:
    expected = _leaves(template)
    for name in sorted(stored.keys() | expected.keys()):
        if (got := stored.get(name)) != (need := expected.get(name)):
            raise InvalidValue(
                f"The checkpoint {folder} holds {_describe(got)} for {name} but "
                f"{_describe(need)} is asked for; restore with the configuration that "
                "it was written with, or point to an empty folder."
            )


def _describe(leaf: list[Any] | None) -> str:
    return f"{leaf[0]}{tuple(leaf[1])}" if leaf else "nothing"


def _uncommitted(x: Any, template: Any) -> Any:
    # Orbax ties it to the device; nobody who asked for no place meant to.
    return x if getattr(template, "sharding", None) else jnp.asarray(np.asarray(x))


def _with_shardings(template: State) -> State:
    # Without one, a checkpoint of another number of devices cannot be restored.
    default = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def place(x):
        sharding = getattr(x, "sharding", None) or default
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    return jax.tree.map(place, template)
