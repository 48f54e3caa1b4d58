"""The results as tables and figures.

Each record brings its title, and the quantities of its contestants are the columns.
"""

import re
from collections.abc import Mapping
from typing import Any

from jboltz import plotting
from jboltz.experiments.benchmark import peers
from jboltz.experiments.benchmark.contest import Record
from jboltz.runs.progress import say, say_table


def figures(tasks: Mapping[str, Record]) -> dict[str, Any]:
    """Figures of what was measured, by file name."""
    if "sweep" not in tasks:
        return {}
    curves = plotting.curves_over(
        _curves(tasks["sweep"]["tasks"]),
        title="jboltz, float32, by the number of hidden units",
        xlabel="examples of a batch, or chains",
    )
    return {"sweep": curves}


def _curves(
    tasks: Mapping[str, list[Record]],
) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """The panels of the sweep: for each kind the points (rows, share), by the number of
    hidden units, and the points (rows, connections a second)."""
    shares, rates = {}, {}
    for name, records in tasks.items():
        share = shares[f"{name}: share of the products' rate"] = {}
        rate = rates[f"{name}: 10⁹ connections/s"] = {}
        for record in records:
            label, x = f"{record['num_hidden']} hidden", record["num_rows"]
            over = record["contestants"]["products"]["time_over_jboltz"]["median"]
            share.setdefault(label, []).append((x, over))
            rate.setdefault(label, []).append(
                (x, record["connections_per_second"] / 1e9)
            )
    return shares | rates


def tables(tasks: Mapping[str, Record]) -> None:
    """A table for each contest, and one for all sizes of the sweep."""
    for record in tasks.values():
        if "contestants" in record:
            _show_contest(record)
    if "sweep" in tasks:
        _show_sweep(tasks["sweep"])


def _show_contest(record: Record) -> None:
    contestants, rows = record["contestants"], []
    for contestant in contestants.values():
        ratio = contestant["time_over_jboltz"]
        interval = ratio["interval"]
        rows.append(
            [
                contestant["label"],
                f"{contestant['seconds']['median']:.3f}",
                f"{contestant['milliseconds_a_step']:.3g}",
                f"{ratio['median']:.2f}",
                "{:.2f}–{:.2f}".format(*interval) if interval else "–",
            ]
        )
    say_table(record["title"], ["", "seconds", "ms/step", "ratio", "95 %"], rows)
    ours = contestants["jboltz"]
    rounds = len(ours["seconds"]["values"])
    say(f"{rounds} rounds; jboltz compiled for {ours['compile_seconds']:.1f} s")
    products = [contestants[k] for k in peers.FLOORS if k in contestants]
    fastest = min(products, key=lambda x: x["time_over_jboltz"]["median"])
    share = fastest["time_over_jboltz"]["median"]
    say(f"the fastest {fastest['label']}: jboltz has {share:.0%} of their rate")
    for line in record["disturbed_rounds"]:
        say(line)


def _show_sweep(sweep: Record) -> None:
    rows = [
        [
            name,
            str(record["num_hidden"]),
            str(record["num_rows"]),
            f"{record['contestants']['jboltz']['milliseconds_a_step']:.3g}",
            f"{record['contestants']['products']['time_over_jboltz']['median']:.2f}",
            f"{record['connections_per_second'] / 1e9:.3g}",
        ]
        for name, records in sweep["tasks"].items()
        for record in records
    ]
    headings = ["", "hidden", "rows", "ms/step", "share", "Gconn/s"]
    say_table("Sweep: jboltz, and its share of the products' rate", headings, rows)


def record_name(processor: str) -> str:
    """The name of the file that keeps a record for this family of processors."""
    name = processor.encode("ascii", "ignore").decode().lower().replace("(r)", "")
    return f"results-{'-'.join(re.findall(r'[a-z0-9]+', name))}.json"
