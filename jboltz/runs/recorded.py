"""What a workdir holds, finished or not, whole or damaged."""

import json
import pathlib
import tomllib
from typing import Any

from jboltz import seals
from jboltz.errors import InvalidValue
from jboltz.runs.workdir import damage

ABOUT = ("program", "config", "data", "device", "versions", "xla_flags", "commit")
COSTS = ("wall_seconds", "compile_seconds", "peak_memory_mb")
"""The names in results.json that are not the program's own."""


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """What a workdir holds, and notes on what is missing or damaged.

    Raises:
      ValueError: it is no workdir, or nothing in it can be shown.
    """
    if not workdir.is_dir():
        raise InvalidValue(f"{workdir} is no folder; name the workdir of a run.")
    # What a process is writing just now is not damaged.
    notes = [] if seals.is_locked(workdir) else [f"{line}." for line in damage(workdir)]
    sealed = seals.read(workdir)

    def content(name: str) -> bytes | None:
        """The file; None if it is missing, or changed since it was sealed."""
        if name in sealed:
            return seals.load(workdir, name)
        return (workdir / name).read_bytes() if (workdir / name).is_file() else None

    def parse(name: str, parser: Any) -> dict[str, Any]:
        found = content(name)
        try:
            table = {} if found is None else parser(found.decode())
            if not isinstance(table, dict):
                raise InvalidValue("no table of names and values")
            return table
        except (ValueError, RecursionError) as error:
            notes.append(f"{name} is damaged and left out ({error}).")
            return {}

    run, results = parse("run.json", json.loads), parse("results.json", json.loads)
    config = parse("config.toml", tomllib.loads)
    if not (run or results or config):
        raise InvalidValue(
            f"{workdir} shows no run: it holds no run.json, results.json or "
            f"config.toml that can be read. {' '.join(notes)} Name the workdir of a "
            "run."
        )
    files = sorted((workdir / "figures").glob("*.png"))
    images = {file.stem: content(f"figures/{file.name}") for file in files}
    figures = {name: image for name, image in images.items() if image is not None}
    if results and not figures:
        notes.append("The folder holds no figures.")
    return {
        "run": {**run, **results},
        "config": results.get("config") or config or run.get("config", {}),
        "records": _records(content("metrics.jsonl") or b"", notes),
        "checkpoints": _checkpoints(workdir / "checkpoints"),
        "figures": figures,
        "notes": notes,
        "state": _state(workdir, results),
    }


def _state(workdir: pathlib.Path, results: dict[str, Any]) -> str:
    """A sentence; empty for a run that is finished."""
    if results:
        return ""
    if seals.is_locked(workdir):
        return "This run is still running: what follows is what there is so far."
    if (workdir / "results.json").exists():
        return "The results of this run cannot be read: what follows is the rest."
    return (
        "This run is not finished and no process is working on it: the same command "
        "goes on from its newest checkpoint. What follows is what there is so far."
    )


def _records(content: bytes, notes: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The records of metrics.jsonl, by stage."""
    stages: dict[str, list[dict[str, Any]]] = {}
    lines = content.decode(errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            stage, _ = record.pop("stage"), int(record["epoch"])
            stages.setdefault(stage, []).append(record)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            notes.append(f"Line {number} of metrics.jsonl is damaged and left out.")
    return stages


def _checkpoints(folder: pathlib.Path) -> dict[str, list[int]]:
    """The steps that are on disk, by stage."""
    return {
        stage.name: sorted(int(x.name) for x in stage.iterdir() if x.name.isdecimal())
        for stage in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if stage.is_dir()
    }
