"""The folder of one run: who may write there, and what is written."""

import json
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import filelock
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jboltz import plotting, seals
from jboltz.base import Params
from jboltz.checkpoint.contents import check_json
from jboltz.errors import InvalidValue
from jboltz.io import to_bytes
from jboltz.ranges import shortened
from jboltz.runs import processes
from jboltz.runs.config import differences
from jboltz.runs.progress import say

FILES = (
    "run.json",
    "config.toml",
    "metrics.jsonl",
    "model.safetensors",
    "results.json",
    "report.html",
)
FOLDERS = ("checkpoints", "figures", "parts", "tensorboard")
OWN_NAMES = (*FILES, seals.NAME, *FOLDERS)
"""Files and folders that a run makes, hidden ones apart."""

LOGS = (".log", ".out", ".err", ".txt")
"""Suffixes of files that a shell or a scheduler writes beside a run."""

_OVERWRITE_MARK = ".overwrite"
"""An empty file that says that --overwrite began the run."""


class Workdir:
    """A run's folder, held by one process at a time: a context manager.

    Of a run of several processes the first one holds it and writes, the others read.
    A file that changed since it was sealed is named here, and counts as missing.

    Args:
      path: made if it is not there.
      run: what makes the run this run: program, configuration, data. A folder that
        began with another one is refused.
      overwrite: delete what an earlier run left there first. A run that began so
        itself, and is not finished, goes on instead.
      tensorboard: keep its epochs and figures as TensorBoard events too.
      mesh: the devices that training is laid out over; None: one.

    Raises:
      OSError: the folder cannot be written, or another process holds it.
      ValueError: it holds another run, or something that no run made.
    """

    def __init__(
        self,
        path: pathlib.Path,
        run: dict[str, Any],
        *,
        overwrite: bool = False,
        tensorboard: bool = False,
        mesh: Mesh | None = None,
    ) -> None:
        self.path, self.mesh = path, mesh
        self._lock, self._events = None, None
        processes.by_first(lambda: self._open(run, overwrite, tensorboard))

    def _open(self, run: dict[str, Any], overwrite: bool, tensorboard: bool) -> None:
        path = self.path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = seals.lock(path)
            self._lock.acquire()
        except filelock.Timeout:
            raise OSError(
                f"Another process is running in {path}; wait for it, or give another "
                "--workdir."
            ) from None
        except OSError as error:
            raise OSError(
                f"The workdir {path} cannot be written ({error.strerror}: "
                f"{error.filename}); give another with --workdir."
            ) from error
        try:
            _check_kinds(path)
            if not _found(path):
                _check_is_empty(path)
                (path / _OVERWRITE_MARK).unlink(missing_ok=True)
            if overwrite and not self._was_begun_by_overwrite(run):
                _delete_run(path)
                (path / _OVERWRITE_MARK).touch()
            self._enter(run)
            if tensorboard:
                # Imported only where it is asked for: tensorboardX is slow to import.
                from jboltz.runs.tensorboard import Events

                self._events = Events(path)
        except BaseException:
            self._lock.release()
            raise

    def _was_begun_by_overwrite(self, run: dict[str, Any]) -> bool:
        """Whether the folder holds this run, begun with `overwrite` and unfinished."""
        path = self.path
        if (path / "results.json").exists() or not (path / _OVERWRITE_MARK).exists():
            return False
        if not seals.fits(path, "run.json", _text(run)):
            return False
        say(
            f"{path} was begun with --overwrite and goes on; to begin once more, "
            "delete that folder."
        )
        return True

    def _enter(self, run: dict[str, Any]) -> None:
        """Refuses the folder of another run, and names what is damaged in this one's.

        A damaged run.json is written anew if its checksum says that it was that of this
        run. One that has no checksum counts as it is.
        """
        path, text, found = self.path, _text(run), _found(self.path)
        changed = damage(path) if found else []
        old = seals.load(path, "run.json")
        if old is None and "run.json" in found and "run.json" not in seals.read(path):
            old = (path / "run.json").read_bytes()
        before = _parsed(old or b"")
        if before and (others := differences(before, run)):
            raise InvalidValue(
                f"The workdir {path} holds another run: {'; '.join(others)}. Give the "
                "old values to go on, another --workdir, or --overwrite to begin anew."
            )
        if found and not before and not seals.fits(path, "run.json", text):
            raise InvalidValue(
                f"The workdir {path} holds {', '.join(found)} but no sound run.json "
                "that says of which run; give the command that began it, another "
                "--workdir, or delete that folder."
            )
        seals.write(path, "run.json", text)
        for line in changed:
            say(f"warning: {path / line}; what the run needs of it is made anew")

    def __enter__(self) -> "Workdir":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._events is not None:
            self._events.close()
        if self._lock is not None:
            self._lock.release()

    def results(self) -> dict[str, Any] | None:
        """What a finished run recorded; None while it is not finished."""
        return _read(self.path, "results.json")

    def write_results(self, results: dict[str, Any]) -> None:
        """The last thing that a run does: afterwards it is finished.

        Args:
          results: the contents of results.json.
        """
        if self._lock is None:
            return
        seals.forget(self.path)  # Of what an earlier version of the program wrote.
        self._write("results.json", json.dumps(results, indent=1) + "\n")

    def part(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `measure` returns, as JSON has it; kept, so that it is measured once.

        Args:
          name: the name under which it is kept.
          measure: called where nothing is kept under this name.
        """
        file = f"parts/{_plain(name)}.json"
        found = _read(self.path, file)
        if found is None:
            measured = measure()
            check_json(file, measured)
            text = json.dumps(measured, indent=1)
            self._write(file, text)
            found = json.loads(text)
        return found

    def checkpoints(self, stage: str) -> pathlib.Path:
        """The folder for the checkpoints of the part `stage` of the run."""
        return self.path / "checkpoints" / _plain(stage)

    def write_model(self, model: Any, params: Params, notes: Any = None) -> None:
        """Leaves model.safetensors, which `jboltz.load` reads.

        Args:
          model: the spec of the model, or None.
          notes: what else the file should say, as JSON has it.
        """
        self._write("model.safetensors", to_bytes(model, params, notes))

    def write_config(self, toml: str) -> None:
        self._write("config.toml", toml)

    def write_metrics(self, stage: str, records: list[dict[str, Any]]) -> None:
        """Replaces the lines of `stage`, and of none other, by these records.

        The file so holds no line of an epoch that a resumed run has still to do.
        """
        lines = (seals.load(self.path, "metrics.jsonl") or b"").decode().splitlines()
        kept = [line for line in lines if json.loads(line)["stage"] != stage]
        new = [json.dumps({"stage": stage, **record}) for record in records]
        self._write("metrics.jsonl", "".join(f"{x}\n" for x in kept + new))
        self._update_events()

    def write_figures(self, figures: Mapping[str, plotting.Drawing]) -> None:
        """Saves matplotlib figures as figures/NAME.png and, for print, NAME.svg."""
        for name, figure in figures.items():
            for suffix, image in plotting.encode(figure).items():
                self._write(f"figures/{_plain(name)}.{suffix}", image)
        self._update_events()

    def _update_events(self) -> None:
        if self._events is not None:
            self._events.update()

    def _write(self, name: str, content: str | bytes) -> None:
        if self._lock is not None:
            data = content.encode() if isinstance(content, str) else content
            seals.write(self.path, name, data)


def finished(path: pathlib.Path, run: dict[str, Any]) -> dict[str, Any] | None:
    """The results of this run, where it is finished and all that it wrote is there,
    undamaged. Nothing is written.

    Checkpoints apart: a finished run needs them no more.

    Args:
      path: the folder of the run.
      run: the `identity` of the configuration, and what the data are.
    """
    results = _read(path, "results.json")
    is_whole = results is not None and _read(path, "run.json") == run
    is_whole = is_whole and not seals.damage(path)
    # What the first process found: it is the one that makes things anew.
    if not multihost_utils.broadcast_one_to_all(is_whole):
        return None
    for line in damage(path):
        say(f"warning: {path / line}; a finished run needs it no more")
    return results


def _read(path: pathlib.Path, name: str) -> dict[str, Any] | None:
    content = seals.load(path, name)
    return None if content is None else json.loads(content)


def _text(run: dict[str, Any]) -> bytes:
    return json.dumps(run, indent=1).encode()


def damage(path: pathlib.Path) -> list[str]:
    """What changed in a workdir since it was written, a line a file.

    Args:
      path: the folder of a run.
    """
    steps = (x for x in path.glob("checkpoints/*/*") if x.name.isdecimal())
    return seals.damage(path) + [
        f"{step.relative_to(path).as_posix()}/{line}"
        for step in sorted(steps)
        for line in seals.damage(step)
    ]


def _found(path: pathlib.Path) -> list[str]:
    return [name for name in OWN_NAMES if (path / name).exists()]


def _parsed(content: bytes) -> dict[str, Any]:
    """A table of names and values; {} if it is none."""
    try:
        table = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}


def _check_kinds(path: pathlib.Path) -> None:
    """Refuses folders and pipes in place of files, and files in place of folders."""
    files = (*FILES, seals.NAME, "figures/*.png", "figures/*.svg", "parts/*.json")
    folders = (*FOLDERS, "checkpoints/[!.]*", "checkpoints/*/[0-9]*")
    for kind, is_right, patterns in (
        ("file", pathlib.Path.is_file, files),
        ("folder", pathlib.Path.is_dir, folders),
    ):
        for there in (x for pattern in patterns for x in path.glob(pattern)):
            if not is_right(there):
                raise InvalidValue(
                    f"{there} is no {kind}, so no run wrote it; move it away, or give "
                    "another --workdir."
                )


def _check_is_empty(path: pathlib.Path) -> None:
    """Refuses a folder of something else than a run.

    Hidden files do no harm, and a shell may have opened a log already.
    """
    others = sorted(
        x.name
        for x in path.iterdir()
        if not x.name.startswith(".") and x.suffix not in LOGS
    )
    if others:
        raise InvalidValue(
            f"The workdir {path} holds {shortened(', '.join(others))}, which no run "
            "made; give a folder that is new or empty with --workdir."
        )


def _plain(name: str) -> str:
    """The name of one file or folder inside the workdir, and of none elsewhere."""
    if name in ("", ".", "..") or name != pathlib.Path(name).name or "\0" in name:
        raise InvalidValue(
            f"{name!r} names a part of a run, but it becomes the name of a file; "
            "take one without slashes."
        )
    return name


def _delete_run(path: pathlib.Path) -> None:
    """Deletes a run; refuses a folder whose files no run wrote."""
    found = _found(path)
    if found and not {"run.json", seals.NAME} & {*found}:
        raise InvalidValue(
            f"The workdir {path} holds {', '.join(found)} but neither run.json nor "
            f"{seals.NAME}, so no run made it and --overwrite deletes nothing; give "
            "another --workdir."
        )
    for name in found:
        if (path / name).is_dir():
            shutil.rmtree(path / name)
        else:
            (path / name).unlink()
