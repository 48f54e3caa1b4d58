"""Checkpoints: Orbax, with a seal on each step. The only module that imports Orbax.

Orbax restores flipped bits in silence, and where it cannot read one file it leaves the
reads of the others to fail in threads of their own. So a step's files are compared with
their checksums before Orbax sees them; a damaged step is passed over and named.
"""

import contextlib
import errno
import logging
import os
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import filelock
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from jboltz import seals
from jboltz.base import State
from jboltz.checkpoint.contents import (
    check_json,
    check_owner,
    check_template,
    describe_model,
    leaves_of,
)
from jboltz.checks import check_count, check_number, records_of
from jboltz.errors import InvalidValue, JboltzError
from jboltz.ranges import with_home

_PATIENCE = 30.0
"""Seconds that threads of a save or restore that failed have to end."""


class Checkpoint(NamedTuple):
    """A saved step that `Checkpoints.restore` read."""

    step: int  #: of the checkpoint
    state: State  #: the tree that was saved
    notes: dict[str, Any]  #: what was saved beside the state


class Checkpoints:
    """The checkpoints of one training run, one folder a step.

        with Checkpoints(folder) as checkpoints:
            checkpoints.save(step, state, {"loss": 0.1})
            found, damaged = checkpoints.restore(jax.eval_shape(init, key))

    One writer at a time: from its first `save` to `close` it holds a lock on the
    folder, which the end of its process opens too; elsewhere than on this machine's
    file systems there is none. Readers see what the writer saved meanwhile.

    Of several processes, each calls `save` and `restore` with arrays over all of their
    devices, on a folder that all of them see.

    Args:
      folder: made by the first `save`. `~` is the home of the user; `gs://bucket/run`
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
        self._keep, self._growth = check_count("keep", keep, at_least=1), growth
        if growth is not None:
            check_number("growth", growth, 1, np.inf)
        self.folder, self._damaged, self._is_closed = _folder(folder), set(), False
        self._turn, self._lock = threading.RLock(), None
        if "://" not in str(self.folder) and jax.process_index() == 0:
            self._lock = seals.lock(self.folder)
        with _quiet_orbax():
            self._manager = ocp.CheckpointManager(
                self.folder,
                options=ocp.CheckpointManagerOptions(
                    enable_async_checkpointing=False, create=False
                ),
            )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends writing: another may write."""
        with self._turn:
            self._is_closed = True
            self._manager.close()
            if self._lock is not None:
                self._lock.release()

    def steps(self) -> list[int]:
        """The steps on disk, oldest first; [] if there is no such folder."""
        for attempt in range(10):
            try:
                with self._turn, _quiet_orbax():
                    self._manager.reload()
                break
            except FileNotFoundError:  # The writer deletes a step just now.
                if attempt == 9:
                    raise
        return sorted(self._manager.all_steps())

    def save(
        self,
        step: int,
        state: State,
        notes: dict[str, Any],
        *,
        model: Any = None,
        overwrite: bool = False,
    ) -> None:
        """Writes `state` and JSON `notes`; when it returns, the step is on disk.

        Of the steps from `step` on, those that `restore` named as damaged are deleted
        first.

        Args:
          step: the number of the checkpoint, at least 0.
          state: a tree of arrays, keys of `jax.random.key` among them.
          notes: what to save beside the state, as JSON has it.
          model: the spec that `state` belongs to, which is written down.
          overwrite: delete all steps from `step` on, a future that this run has left.

        Raises:
          ValueError: there are such steps, and nobody said to overwrite them; or the
            checkpoints are closed.
          TypeError: a leaf of `state` is no array, or `notes` are no JSON.
          OSError: the step could not be written, and earlier ones are untouched; or
            somebody else writes to this folder.
        """
        step, leaves = check_count("step", step, at_least=0), leaves_of("state", state)
        owner = {"records": records_of(state), "model": describe_model(model)}
        check_json("notes", notes)
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            leaves=ocp.args.JsonSave(leaves),
            notes=ocp.args.JsonSave(notes),
            owner=ocp.args.JsonSave(owner),
        )
        with self._turn:
            self._save(step, items, overwrite)

    def _save(self, step: int, items: ocp.args.Composite, overwrite: bool) -> None:
        self._begin_writing()
        later = [old for old in self.steps() if old >= step]
        kept = sorted({*later} - self._damaged)
        if kept and not overwrite:
            raise InvalidValue(
                f"`step` is {step} but {self.folder} holds steps {kept}; save a later "
                "step or in another folder, or delete them by `overwrite=True`."
            )
        try:
            with _quiet_orbax():
                for old in later:
                    self._manager.delete(old)
                self._manager.save(step, args=items, force=True)
                self._manager.wait_until_finished()
                if jax.process_index() == 0:
                    seals.seal(self.folder / str(step))
                if jax.process_count() > 1:  # None goes on before the step is sound.
                    multihost_utils.sync_global_devices(f"step {step} is sealed")
                # Only now: until it is sealed, an older step is the newest sound one.
                steps = self.steps()
                for old in {*steps} - _kept(steps, self._keep, self._growth):
                    self._manager.delete(old)
        except Exception as error:
            if (reason := _reason(error)) is None:
                raise
            raise OSError(
                f"Step {step} could not be saved in {self.folder} ({reason}). Earlier "
                "checkpoints are untouched; see that the disk has room and the folder "
                "can be written, then run again."
            ) from error

    def _begin_writing(self) -> None:
        if self._is_closed:
            raise InvalidValue(
                f"`save` was called after the checkpoints of {self.folder} were "
                "closed; save inside their `with`, or open them again."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._lock is not None and not self._lock.is_locked:
            try:
                self._lock.acquire()
            except filelock.Timeout:
                raise OSError(
                    f"Somebody else writes checkpoints to {self.folder}; wait until "
                    "they are closed, or save in another folder."
                ) from None

    def restore(
        self, template: State, *, model: Any = None
    ) -> tuple[Checkpoint | None, list[str]]:
        """The newest sound checkpoint, and a line for each damaged one passed over.

        Args:
          template: the shapes and dtypes to expect, from `jax.eval_shape` of what
            builds the state; leaves without a sharding go to the first device.
          model: the spec that the state has to belong to; None: any.

        Returns:
          None where every step is damaged.

        Raises:
          ValueError: the folder holds no checkpoint, or a sound one holds other leaves,
            shapes, dtypes or records, or was not saved as one of `model`.
        """
        damaged = []
        for found in self._load_all(template, model, reverse=True):
            if isinstance(found, Checkpoint):
                return found, damaged
            damaged.append(found)
        return None, damaged

    def restore_all(
        self, template: State, *, model: Any = None
    ) -> tuple[list[Checkpoint], list[str]]:
        """Every sound checkpoint, oldest first, and a line for each damaged one.

        The trajectory of a training run, of which `stack_params` makes a ladder for
        `TrajectoryTempering`.

        Args:
          template, model: as for `restore`.

        Raises:
          ValueError: as `restore`.
        """
        found = list(self._load_all(template, model))
        return (
            [x for x in found if isinstance(x, Checkpoint)],
            [x for x in found if isinstance(x, str)],
        )

    def _load_all(
        self, template: State, model: Any, *, reverse: bool = False
    ) -> Iterator[Checkpoint | str]:
        if not (steps := self.steps()):
            raise InvalidValue(
                f"{self.folder} holds no checkpoints; see that it is the folder that "
                "they were saved in. `steps` says which there are."
            )
        for step in steps[::-1] if reverse else steps:
            try:
                with self._turn:
                    found = self._load(step, template, model)
            except JboltzError:
                raise
            except Exception:
                if step in self.steps():
                    raise
                continue  # The writer has deleted it meanwhile.
            is_writer = self._lock is None or self._lock.is_locked
            if isinstance(found, Checkpoint):
                self._damaged.discard(step)
                yield found
            # What another writes just now is not sealed yet, and not damaged.
            elif is_writer or not seals.is_locked(self.folder):
                self._damaged.add(step)
                yield f"{self.folder / str(step)} is damaged: {found}"

    def _load(self, step: int, template: State, model: Any) -> Checkpoint | str:
        """The checkpoint, or what is wrong with it."""
        folder = self.folder / str(step)
        if wrong := seals.damage(folder):
            return ", ".join(wrong)
        meta = self._read(step, leaves=ocp.args.JsonRestore())
        check_template(meta.leaves, template, folder)
        if (folder / "owner").exists():  # Steps had none before it was written.
            owner = self._read(step, owner=ocp.args.JsonRestore()).owner
        else:
            owner = {"records": records_of(template), "model": None}
        check_owner(owner, template, model, folder)
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


def _kept(steps: list[int], keep: int, growth: float | None) -> set[int]:
    """The newest `keep` steps, and the archive: the first step, and each at least
    `growth` times the one archived before."""
    kept, last = set(steps[-keep:]), None
    if growth is not None:
        for step in steps:
            if last is None or step >= growth * last:
                kept.add(step)
                last = step
    return kept


def _folder(folder: str | pathlib.Path) -> epath.Path:
    try:
        if "://" in str(folder):
            return epath.Path(folder)
        path = epath.Path(with_home("folder", folder)).resolve()
    except (KeyError, TypeError) as error:
        raise InvalidValue(
            f"`folder` is {folder!r}, which is no path, or of no scheme that Orbax "
            "writes to; pass a folder of this machine, or one of `gs://` or `s3://`."
        ) from error
    there = next((x for x in (path, *path.parents) if os.path.exists(x)), None)
    if there is not None and not os.path.isdir(there):
        raise InvalidValue(
            f"`folder` is {path} but {there} is a file; name the folder of the "
            "checkpoints, or one that is not there yet."
        )
    return path


@contextlib.contextmanager
def _quiet_orbax() -> Iterator[None]:
    """No tracebacks of Orbax's threads on the terminal: what failed is raised here,
    and after they ended, since what they still write would be in the way of the next.
    """
    logger, before = logging.getLogger("absl"), {*threading.enumerate()}

    # A filter of this call's own: by the level, two threads would undo each other.
    def is_of_others(record: logging.LogRecord) -> bool:
        return "orbax" not in record.pathname

    logger.addFilter(is_of_others)
    try:
        yield
    except Exception:
        deadline = time.monotonic() + _PATIENCE
        # Looked at and not joined: some start others, or raise where they are joined.
        while _of_orbax(before) and time.monotonic() < deadline:
            time.sleep(0.01)
        raise
    finally:
        logger.removeFilter(is_of_others)


def _of_orbax(before: set[threading.Thread]) -> list[threading.Thread]:
    """The threads of Orbax that began since; its pools are those of asyncio."""
    return [
        thread
        for thread in {*threading.enumerate()} - before
        if type(thread).__module__.startswith("orbax.")
        or thread.name.startswith("asyncio_")
    ]


def _reason(error: Exception) -> str | None:
    """What the operating system said, out of what TensorStore made of it; None where
    it said nothing."""
    said = {os.strerror(code) for code in errno.errorcode}
    return next((x for x in sorted(said, key=len)[::-1] if x in str(error)), None)


def _uncommitted(x: Any, template: Any) -> Any:
    # Orbax ties it to the device; nobody who asked for no place meant to.
    if getattr(template, "sharding", None):
        return x
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = jnp.asarray(np.asarray(jax.random.key_data(x)))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    return jnp.asarray(np.asarray(x))


def _with_shardings(template: State) -> State:
    # Without one, a checkpoint of another number of devices cannot be restored.
    default = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def place(x):
        sharding = getattr(x, "sharding", None) or default
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    return jax.tree.map(place, template)
