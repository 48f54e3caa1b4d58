"""The project's own targets, in a checkout that has them: the wheel does not."""

import pathlib
import tomllib
from collections.abc import Iterator, Mapping

import numpy as np

from jboltz.experiments.benchmark.contest import Record, ratio

FILE = pathlib.Path(__file__).parents[3] / "experiments" / "benchmark" / "targets.toml"
"""A table for each target. Its comments say what the fields are."""


def compare(tasks: Mapping[str, Record], processor: str) -> dict[str, Record]:
    """For each target that was measured: its value, and whether that is enough.

    Empty where there is no file of targets.
    """
    targets = tomllib.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    found = {}
    for name, target in targets.items():
        record = tasks.get(target["task"], {})
        contestants = record.get("contestants", {})
        seconds = {k: x["seconds"]["values"] for k, x in contestants.items()}
        seconds |= {k: x["values"] for k, x in record.get("starts", {}).items()}
        ours = seconds.get(target.get("ours", "jboltz"))
        if ours is None:
            continue
        if "at_most" in target:
            value, most = float(np.median(ours)), target["at_most"]
            found[name] = {"value": value, "at_most": most, "is_met": value <= most}
            continue
        ratios = [ratio(seconds[k], ours) for k in target["beside"] if k in seconds]
        if ratios:
            # Beside the fastest of them.
            nearest = min(ratios, key=lambda x: x["median"])
            value, least = nearest["median"], _bound(target["at_least"], processor)
            found[name] = {
                "value": value,
                "interval": nearest["interval"],
                "at_least": least,
                "is_met": value >= least,
            }
    return found


def _bound(bound: float | Mapping[str, float], processor: str) -> float:
    """A number for all processors, or one for each maker; the least for another."""
    if not isinstance(bound, Mapping):
        return bound
    named = [x for maker, x in bound.items() if maker in processor]
    return min(named or bound.values())


def describe(found: Mapping[str, Record]) -> Iterator[str]:
    """A line a target."""
    for name, target in found.items():
        verdict = "met" if target["is_met"] else "missed"
        bound = "at_least" if "at_least" in target else "at_most"
        limit = f"{bound.replace('_', ' ')} {target[bound]:.3g}"
        yield f"{name} {target['value']:.3g}, {limit}: {verdict}"
