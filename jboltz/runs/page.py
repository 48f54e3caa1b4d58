"""The page of a run: report.html, which needs no other file, network or script."""

import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jinja2

from jboltz import seals
from jboltz.runs.page_images import pictures
from jboltz.runs.progress import CENTRES, confidence_interval
from jboltz.runs.recorded import ABOUT, COSTS, read

WORDS = ("verdict", "warning", "warnings", "judgement", "diagnosis")
"""Fields of results.json whose strings are diagnostics."""

METRICS = {"loss": "what training follows"}
"""Names of metrics that say more than those in results.json."""
HEADS = ("Quantity", "Value", "Interval or error")
FEW = 8
"""Numbers that stand first where none has an interval."""


class _Table(NamedTuple):
    """Column heads, and rows whose first entry names the row."""

    heads: tuple[str, ...]  #: of the columns
    rows: list[tuple[Any, ...]]  #: each as long as `heads`


def write(workdir: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
    """Writes report.html; returns its path and what `read` found.

    Args:
      workdir: the folder of a run.

    Raises:
      ValueError: as `read`.
    """
    found = read(workdir)
    page = workdir / "report.html"
    seals.replace(page, _render(workdir.resolve().name, found).encode())
    return page, found


def _render(name: str, found: dict[str, Any]) -> str:
    """The page of what `read` found in the workdir called `name`."""
    run = found["run"]
    numbers = {k: v for k, v in run.items() if k not in (*ABOUT, *COSTS)}
    rows = [*_rows(numbers)]
    machine = {k: run[k] for k in (*ABOUT[3:], *COSTS) if k in run}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jboltz.runs", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = _short
    return environment.get_template("page.html.jinja").render(
        title=f"{run.get('program', 'A run')}: {name}",
        remarks=[line for line in (found["state"], *found["notes"]) if line],
        diagnostics=list(_diagnostics(numbers)),
        headline=_Table(HEADS, _headline(rows)),
        numbers=_Table(HEADS, rows),
        curves=[
            _curve(f"{stage}: {METRICS.get(metric, metric)}", epochs, values)
            for stage, records in found["records"].items()
            for metric, (epochs, values) in _series(records).items()
        ],
        checkpoints=_Table(("Stage", "Epochs"), list(found["checkpoints"].items())),
        figures=pictures(found["figures"]),
        facts=[
            (head, _Table(("Name", "Value"), [row[:2] for row in _rows(tree)]))
            for head, tree in (
                ("Configuration", found["config"]),
                ("Data", run.get("data", {})),
                ("Machine, versions and cost", machine),
            )
        ],
    )


def _short(value: Any) -> str:
    """A value of results.json as text: numbers short, True and False in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        if len(value) <= 12:
            return ", ".join(map(_short, value))
        return f"{len(value)} entries, {_short(value[0])} to {_short(value[-1])}"
    return str(value)


def _curve(name: str, epochs: Sequence[float], values: Sequence[float]) -> dict:
    """One curve: points in the box of the page's drawing, its range, and its words."""
    points = [(x, y) for x, y in zip(epochs, values, strict=True) if math.isfinite(y)]
    if not points:
        said = f"no finite value in {len(values)} epochs."
        return {"name": name, "said": said, "line": []}
    (first, start), (last, end) = points[0], points[-1]
    low, high = min(y for _, y in points), max(y for _, y in points)
    if low == high:  # A constant is drawn where it is: above, below or at 0.
        low, high = min(low, 0.0), max(high, 0.0)

    def place(x: float, y: float) -> str:
        across = (x - first) / (last - first) if last > first else 0.5
        up = (y - low) / (high - low) if high > low else 0.0
        return f"{64 + 300 * across:.2f},{8 + 120 * (1 - up):.2f}"

    said = f"{_short(start)} in epoch {_short(first)}"
    if len(points) > 1:
        said += f", {_short(end)} in epoch {_short(last)}"
    if missing := len(values) - len(points):
        said += f"; {missing} not finite"
    return {
        "name": name,
        "said": said,
        "line": [place(x, y) for x, y in points],
        "low": f"{low:.4g}",
        "high": f"{high:.4g}",
        "first": first,
        "last": last,
    }


def _headline(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The numbers with an interval or error; the first ones where none has one.

    What is nested deeper, such as the losses of each layer, is no result of the whole.
    """
    known = [row for row in rows if row[2]]
    numbers = [
        row
        for row in rows
        if isinstance(row[1], float | list) and row[0].count(" · ") < 2
    ]
    return known or numbers[:FEW]


def _diagnostics(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(where, sentence) of every string that judges."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name in WORDS:
                for sentence in value if isinstance(value, list) else [value]:
                    yield path, str(sentence)
            else:
                yield from _diagnostics(value, f"{path} {name}".strip())


def _rows(tree: Any, *path: str) -> Iterator[tuple[str, Any, str]]:
    """(name, value, how well it is known) of every number and text in `tree`."""
    if isinstance(tree, list) and any(isinstance(x, dict) for x in tree):
        if isinstance(tree[0], dict) and "epoch" in tree[0]:
            return  # These are the curves.
        tree = {str(index): x for index, x in enumerate(tree, start=1)}
    if not isinstance(tree, dict):
        yield " · ".join(path), tree, ""
        return
    centre, known, rest = _interval(tree)
    if centre is not None:
        yield " · ".join(path), centre, known
    for name, value in rest.items():
        if name not in WORDS:
            yield from _rows(value, *path, name)


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


def _interval(entry: dict[str, Any]) -> tuple[Any, str, dict[str, Any]]:
    """An estimate's number, how well it is known, and the fields beside these.

    The number is None where the entry is no estimate.
    """
    centre = next((name for name in CENTRES if name in entry), None)
    if centre is None or not entry.keys() & {"upper", "quartiles", "standard_error"}:
        return None, "", entry
    rest = {name: value for name, value in entry.items() if name != centre}
    known = []
    if {"lower", "upper"} <= rest.keys():
        lower, upper = rest.pop("lower"), rest.pop("upper")
        if ends := confidence_interval(entry):
            known.append("95 % interval {} to {}".format(*map(_short, ends)))
        elif lower != upper:
            known.append(f"{_short(lower)} to {_short(upper)}")
    if "quartiles" in rest:
        known.append("quartiles " + " to ".join(map(_short, rest.pop("quartiles"))))
    if "standard_error" in rest:
        known.append(f"standard error {_short(rest.pop('standard_error'))}")
    return entry[centre], "; ".join(known), rest
