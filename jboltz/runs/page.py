"""The page of a run: report.html, which needs no other file, network or script."""

import ast
import base64
import importlib.util
import pathlib
from typing import Any

from jboltz.runs import markup
from jboltz.runs.markup import Table, join, text
from jboltz.runs.recorded import read

ABOUT = ("program", "config", "data", "device", "versions", "xla_flags", "commit")
COSTS = ("wall_seconds", "compile_seconds", "peak_memory_mb")
WORDS = ("verdict", "warning", "warnings", "judgement", "diagnosis")
"""Fields of results.json whose strings are diagnostics."""


def write(workdir: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
    """Writes report.html; returns its path and what `read` found.

    Raises:
      ValueError: as `read`.
      OSError: the folder cannot be read or written.
    """
    found = read(workdir)
    page = workdir / "report.html"
    page.write_text(render(workdir.resolve().name, found), encoding="utf-8")
    return page, found


def render(name: str, found: dict[str, Any]) -> str:
    """The page of what `read` found in the workdir called `name`."""
    run = found["run"]
    program = str(run.get("program", ""))
    numbers = {k: v for k, v in run.items() if k not in (*ABOUT, *COSTS)}
    words = list(_diagnostics(numbers))
    sections = {
        "State": join(
            f'<p role="status"><strong>{text(line)}</strong></p>'
            for line in (found["state"], *found["notes"])
            if line
        ),
        "Diagnostics in words": markup.listing(words),
        "Numbers": markup.table(_numbers(numbers)),
        "Curves": join(
            markup.curve(f"{stage}: {metric}", epochs, values)
            for stage, records in found["records"].items()
            for metric, (epochs, values) in _series(records).items()
        ),
        "Checkpoints on disk": markup.table(
            Table(("Stage", "Epochs"), list(found["checkpoints"].items()))
        ),
        "Figures": join(
            markup.figure(stem, base64.b64encode(image).decode(), program or name)
            for stem, image in found["figures"].items()
        ),
        "Configuration": markup.table(_plain(found["config"])),
        "Data": markup.table(_plain(run.get("data", {}))),
        "Machine, versions and cost": markup.table(
            _plain({k: run[k] for k in (*ABOUT[3:], *COSTS) if k in run})
        ),
    }
    title = f"{program or 'A run'}: {name}"
    return markup.document(title, what_it_is(program), sections)


def what_it_is(program: str) -> str:
    """The first sentence of a program's docstring; empty where there is none."""
    if not program.isidentifier():
        return ""
    spec = importlib.util.find_spec(f"jboltz.experiments.{program}")
    if spec is None or spec.origin is None:
        return ""
    source = pathlib.Path(spec.origin).read_text(encoding="utf-8")
    summary = (ast.get_docstring(ast.parse(source)) or "").splitlines()[:1]
    return join(summary).split("    ")[0]


def _diagnostics(tree: Any, path: str = "") -> Any:
    """(where, sentence) of every string that judges."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name in WORDS:
                for sentence in value if isinstance(value, list) else [value]:
                    yield path, str(sentence)
            else:
                yield from _diagnostics(value, f"{path} {name}".strip())


def _numbers(tree: dict[str, Any]) -> Table:
    """One row a number: its name, its value and how well it is known."""
    rows = []

    def walk(path: tuple[str, ...], value: Any) -> None:
        name = " · ".join(path)
        if path and path[-1] in WORDS:
            return
        if isinstance(value, dict):
            centre, known, rest = markup.interval(value)
            if centre is not None:
                rows.append((name, centre, known))
            for key, inner in rest.items():
                walk((*path, key), inner)
        elif isinstance(value, list) and any(isinstance(x, dict) for x in value):
            if isinstance(value[0], dict) and "epoch" in value[0]:
                return  # These are the curves.
            for index, inner in enumerate(value, start=1):
                walk((*path, str(index)), inner)
        else:
            rows.append((name, value, ""))

    walk((), tree)
    return Table(("Quantity", "Value", "Interval or error"), rows)


def _plain(tree: dict[str, Any]) -> Table:
    rows = []
    for name, value in tree.items():
        if isinstance(value, dict):
            rows += [(f"{name} · {k}", *rest) for k, *rest in _plain(value).rows]
        else:
            rows.append((name, value))
    return Table(("Name", "Value"), rows)


def _series(
    records: list[dict[str, Any]],
) -> dict[str, tuple[list[float], list[float]]]:
    """Epochs and values of every metric of one stage; seconds are no curve."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for index, record in enumerate(records, start=1):
        for metric, value in record.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and metric not in ("epoch", "seconds"):
                epochs, values = series.setdefault(metric, ([], []))
                epochs.append(float(record.get("epoch", index)))
                values.append(float(value))
    return series
