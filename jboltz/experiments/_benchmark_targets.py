"""What `benchmark` has to reach."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Target:
    """The least that a contestant is to take beside jboltz, at the default sizes."""

    task: str
    contestant: str
    at_least: float
    """Its time over `ours`, the median of the rounds."""
    ours: str = "jboltz"


TARGETS = {
    **{
        f"CD-1, batch {size}: {what}": Target(task, contestant, at_least)
        for task, size, share in (
            ("cd_epoch", 64, 1 / 1.15),
            ("cd_epoch_large_batch", 512, 1 / 1.1),
        )
        for what, contestant, at_least in (
            ("share of the products' rate", "products", share),
            ("speed over PyTorch, DataLoader", "torch_loader", 2.3),
            ("speed over the notes", "torch_notes", 2.8),
            ("speed over rbms", "rbms", 2.8),
            ("speed over scikit-learn", "sklearn", 1.8),
        )
    },
    **{
        f"Gibbs, {size} hidden: {what}": Target(task, contestant, at_least, ours)
        for task, size, share, cheaper in (
            ("gibbs", 500, 0.7, 0.8),
            ("gibbs_small_model", 200, 0.55, 0.65),
        )
        for what, contestant, at_least, ours in (
            ("share of the products' rate", "products", share, "jboltz"),
            ("the same by THREEFRY_13", "products", cheaper, "threefry_13"),
            ("speed over rbms", "rbms", 2.5, "jboltz"),
            ("speed over thrml", "thrml", 20.0, "jboltz"),
        )
    },
    "DBM step: share of the products' rate": Target("dbm_step", "products", 0.5),
    "AIS: share of the products' rate": Target("ais", "products", 1 / 1.6),
    "Fine-tuning: share of the products' rate": Target("finetune", "products", 0.6),
}

MOST_SECONDS = 8.0
"""From the command to the line of the first epoch, with compiled programs at hand; or
twice the imports, whichever is longer."""


def compare(tasks: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of each target that was measured its value, and whether that is enough."""
    found = {}
    for name, target in TARGETS.items():
        contestants = tasks.get(target.task, {}).get("contestants", {})
        if target.contestant not in contestants:
            continue
        theirs, ours = (
            np.array(contestants[k]["seconds"]["values"])
            for k in (target.contestant, target.ours)
        )
        value = float(np.median(theirs / ours))
        is_met = value >= target.at_least
        found[name] = {"value": value, "at_least": target.at_least, "is_met": is_met}
    if (start := tasks.get("start")) is not None:
        imports = start["import_seconds"]["libraries"]["median"]
        value, most = start["warm_seconds"]["median"], max(MOST_SECONDS, 2 * imports)
        is_met = value <= most
        found["Start, seconds"] = {"value": value, "at_most": most, "is_met": is_met}
    return found


def describe(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A line a target."""
    for name, target in found.items():
        verdict = "met" if target["is_met"] else "missed"
        bound = "at_least" if "at_least" in target else "at_most"
        limit = f"{bound.replace('_', ' ')} {target[bound]:.2f}"
        yield f"{name} {target['value']:.2f}, {limit}: {verdict}"
