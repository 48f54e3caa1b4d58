"""The folder of one run: who may write there, and what is written."""

import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh

from jboltz.errors import InvalidValue
from jboltz.runs import processes
from jboltz.runs.config import differences
from jboltz.runs.progress import say

OWN_NAMES = ("run.json", "config.toml", "checkpoints", "metrics.jsonl", "figures")
OWN_NAMES += ("model", "parts", "results.json", "tensorboard", "report.html")

_BEGAN_SO = ".overwrite"
"""An empty file that says that --overwrite began the run."""


class Workdir:
    """A run's folder, held by one process at a time: a context manager.

    Of a run of several processes the first one holds it and writes, the others read.

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
      ValueError: it holds another run.
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
            self._lock = _lock(path / ".lock")
        except BlockingIOError:
            raise OSError(
                f"Another process is running in {path}; wait for it, or give another "
                "--workdir."
            ) from None
        except OSError as error:
            raise OSError(
                f"The workdir {path} cannot be written ({error.strerror}); give "
                "another with --workdir."
            ) from error
        try:
            if overwrite and not self._began_so(run):
                _delete_run(path)
                (path / _BEGAN_SO).touch()
            if (path / "run.json").exists():
                _check_same_run(path, self._read("run.json"), run)
            else:
                _check_no_run(path)
                self._write("run.json", json.dumps(run, indent=1))
            self._events = _events(path) if tensorboard else None
        except BaseException:
            self._lock.close()
            raise

    def _began_so(self, run: dict[str, Any]) -> bool:
        """Whether the folder holds this run, begun with `overwrite` and unfinished."""
        names = [x for x in (_BEGAN_SO, "results.json") if (self.path / x).exists()]
        try:
            if names != [_BEGAN_SO] or differences(self._read("run.json"), run):
                return False
        except (OSError, InvalidValue):
            return False
        say(
            f"{self.path} was begun with --overwrite and goes on; to begin once more, "
            "delete that folder."
        )
        return True

    def __enter__(self) -> "Workdir":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._events is not None:
            self._events.close()
        if self._lock is not None:
            self._lock.close()

    def results(self) -> dict[str, Any] | None:
        """What a finished run recorded; None while it is not finished."""
        if not (self.path / "results.json").exists():
            return None
        return self._read("results.json")

    def write_results(self, results: dict[str, Any]) -> None:
        """The last thing that a run does: afterwards it is finished."""
        self._write("results.json", json.dumps(results, indent=1) + "\n")

    def part(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `measure` returns, as JSON has it; kept, so that it is measured once.

        For a part that takes minutes and has no checkpoints of its own: a run that ends
        before its results does not lose it.
        """
        file = f"parts/{name}.json"
        if not (self.path / file).exists():
            (self.path / "parts").mkdir(exist_ok=True)
            self._write(file, json.dumps(measure(), indent=1))
        return self._read(file)

    def write_config(self, toml: str) -> None:
        self._write("config.toml", toml)

    def write_metrics(self, stage: str, records: list[dict[str, Any]]) -> None:
        """Replaces the lines of `stage`, and of none other, by these records.

        A stage's records are also in its checkpoint: so the file never holds a line
        of an epoch that a resumed run has still to do.
        """
        if self._lock is None:
            return
        file = self.path / "metrics.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        kept = [line for line in lines if json.loads(line)["stage"] != stage]
        new = [json.dumps({"stage": stage, **record}) for record in records]
        self._write("metrics.jsonl", "".join(f"{x}\n" for x in kept + new))
        self._update_events()

    def write_figures(self, figures: dict[str, Any]) -> None:
        """Saves matplotlib figures as figures/NAME.png."""
        if self._lock is None:
            return
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.png")
        self._update_events()

    def _update_events(self) -> None:
        if self._events is not None:
            self._events.update()

    def _read(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.path / name).read_text())
        except ValueError as error:
            raise InvalidValue(
                f"{self.path / name} is damaged ({error}); start afresh with "
                "--overwrite, or give another --workdir."
            ) from error

    def _write(self, name: str, text: str) -> None:
        """All or nothing: a reader, or a crash, sees the old file or the new one."""
        if self._lock is None:
            return
        target = self.path / name
        draft = target.with_name(f".{target.name}.draft")
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)


def _events(path: pathlib.Path):
    # Imported only where it is asked for: tensorboardX is slow to import.
    from jboltz.runs.tensorboard import Events

    return Events(path)


def _lock(path: pathlib.Path, mode: str = "w"):
    """An open file that the operating system unlocks when this process ends."""
    file = path.open(mode)
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows: nothing keeps two processes apart.
        pass
    except OSError:
        file.close()
        raise
    return file


def is_held(path: pathlib.Path) -> bool:
    """Whether a process is running in the workdir `path`."""
    try:
        _lock(path / ".lock", mode="r").close()
    except BlockingIOError:
        return True
    except OSError:  # Never a workdir, or one that others may not touch.
        pass
    return False


def _delete_run(path: pathlib.Path) -> None:
    for name in OWN_NAMES:
        target = path / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def _check_no_run(path: pathlib.Path) -> None:
    found = [name for name in OWN_NAMES if (path / name).exists()]
    if found:
        raise InvalidValue(
            f"The workdir {path} holds {', '.join(found)} but no run.json that says of "
            "which run; give another --workdir, or --overwrite."
        )


def _check_same_run(
    path: pathlib.Path, old: dict[str, Any], new: dict[str, Any]
) -> None:
    if found := differences(old, new):
        raise InvalidValue(
            f"The workdir {path} holds another run: {'; '.join(found)}. Give the old "
            "values to go on, another --workdir, or --overwrite to begin anew."
        )
