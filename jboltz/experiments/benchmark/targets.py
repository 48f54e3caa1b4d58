"""The project's own targets, in a checkout that has them: the wheel does not."""

import pathlib
import tomllib
from collections.abc import Iterator

import numpy as np

from jboltz.experiments.benchmark.contest import Record

FILE = pathlib.Path(__file__).parents[3] / "experiments" / "benchmark" / "targets.toml"
"""A table for each target. Its comments say what the fields are."""


def compare(tasks: dict[str, Record]) -> dict[str, Record]:
    """For each target that was measured: its value, and whether that is enough.

    Empty where there is no file of targets.
    """
    targets = tomllib.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    found = {}
    for name, target in targets.items():
        task = tasks.get(target["task"], {})
        if target["task"] == "start" and task:
            imports = task["import_seconds"]["libraries"]["median"]
            value = task["warm_seconds"]["median"]
            most = max(target["at_most"], target["imports_at_most"] * imports)
            found[name] = {"value": value, "at_most": most, "is_met": value <= most}
            continue
        seconds = {
            contestant: np.array(record["seconds"]["values"])
            for contestant, record in task.get("contestants", {}).items()
        }
        ours = seconds.get(target.get("ours", "jboltz"))
        names = [k for k in target.get("contestants", ()) if k in seconds]
        if ours is not None and names:
            # Beside the fastest of them.
            value = min(float(np.median(seconds[k] / ours)) for k in names)
            least = target["at_least"]
            found[name] = {"value": value, "at_least": least, "is_met": value >= least}
    return found


def describe(found: dict[str, Record]) -> Iterator[str]:
    """A line a target."""
    for name, target in found.items():
        verdict = "met" if target["is_met"] else "missed"
        bound = "at_least" if "at_least" in target else "at_most"
        limit = f"{bound.replace('_', ' ')} {target[bound]:.2f}"
        yield f"{name} {target['value']:.2f}, {limit}: {verdict}"
