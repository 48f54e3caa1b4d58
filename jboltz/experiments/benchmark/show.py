"""The results as tables and figures.

Each record brings its title, and the quantities of its contestants are the columns.
"""

import re

from jboltz import plotting
from jboltz.experiments.benchmark import peers
from jboltz.experiments.benchmark.contest import Record
from jboltz.runs.progress import say
from jboltz.runs.tables import say_table

COLUMNS = {
    "milliseconds_a_step": ("ms/step", 1.0),
    "milliseconds_a_rung": ("ms/rung", 1.0),
    "milliseconds_a_sweep": ("ms/sweep", 1.0),
    "sweeps_per_second": ("sweeps/s", 1.0),
    "unit_flips_per_second": ("Mflips/s", 1e6),
    "connections_per_second": ("Gconn/s", 1e9),
}
"""The quantities that a contestant's record may hold: the heading, and the unit."""


def figures(tasks: dict[str, Record]) -> dict[str, plotting.Figure]:
    """Figures of what was measured, by file name."""
    drawn = {}
    panels = {
        # Two lines: what, and how much of it.
        record["title"].replace(": ", ":\n", 1): {
            r["label"]: (r["seconds"]["median"], *r["seconds"]["quartiles"])
            for r in record["contestants"].values()
        }
        for record in tasks.values()
        if "contestants" in record
    }
    if panels:
        title = "float32: seconds, median and quartiles"
        drawn["benchmark"] = plotting.bars(panels, title=title, xlabel="seconds")
    if "sweep" in tasks:
        drawn["sweep"] = plotting.curves_over(
            _curves(tasks["sweep"]["tasks"]),
            title="jboltz, float32, by the number of hidden units",
            xlabel="examples of a batch, or chains",
        )
    return drawn


def _curves(
    tasks: dict[str, list[Record]],
) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """The panels of the sweep: for each kind the points (rows, share), by the number of
    hidden units, and the points (rows, connections a second)."""
    shares, rates = {}, {}
    for name, records in tasks.items():
        share = shares[f"{name}: share of the products' rate"] = {}
        rate = rates[f"{name}: 10⁹ connections/s"] = {}
        for record in records:
            label, x = f"{record['num_hidden']} hidden", record["num_rows"]
            ours, floor = (record["contestants"][k] for k in ("jboltz", "products"))
            over = floor["time_over_jboltz"]["median"]
            share.setdefault(label, []).append((x, over))
            connections = ours["connections_per_second"] / 1e9
            rate.setdefault(label, []).append((x, connections))
    return shares | rates


def compile_seconds(tasks: dict[str, Record]) -> str:
    """The seconds that XLA compiled for jboltz, task by task."""
    return ", ".join(
        f"{name} {record['contestants']['jboltz']['compile_seconds']:.1f}"
        for name, record in tasks.items()
        if "contestants" in record
    )


def fastest_products(record: Record) -> str | None:
    """Who takes the products fastest, and jboltz's share of that rate."""
    over = {
        contestant["label"]: contestant["time_over_jboltz"]["median"]
        for name, contestant in record["contestants"].items()
        if name in peers.FLOORS
    }
    if not over:
        return None
    label = min(over, key=over.__getitem__)
    return f"fastest: {label}, of whose rate jboltz has {over[label]:.0%}"


def tables(tasks: dict[str, Record]) -> None:
    """A table for each task, and one for all sizes of the sweep."""
    for record in tasks.values():
        if "contestants" in record:
            _show_contest(record)
    if "sweep" in tasks:
        _show_sweep(tasks["sweep"])


def _show_contest(record: Record) -> None:
    contestants = record["contestants"].values()
    columns = {
        key: column
        for key, column in COLUMNS.items()
        if all(key in contestant for contestant in contestants)
    }
    headings = [heading for heading, _ in columns.values()]
    rows = []
    for contestant in contestants:
        ratio = contestant["time_over_jboltz"]
        low, high = ratio["interval"] or ratio["quartiles"]
        quantities = (contestant[k] / unit for k, (_, unit) in columns.items())
        rows.append(
            [
                contestant["label"],
                f"{contestant['seconds']['median']:.3f}",
                f"{ratio['median']:.2f}",
                f"{low:.2f}–{high:.2f}",
                *map(_three_digits, quantities),
            ]
        )
    fixed = ("", "seconds", "ratio", "95 %")
    say_table(record["title"], [*fixed, *headings], rows)
    if line := fastest_products(record):
        say(line)
    for line in record["disturbed_rounds"]:
        say(line)


def _show_sweep(sweep: Record) -> None:
    rows = []
    for name, records in sweep["tasks"].items():
        for record in records:
            ours, floor = (record["contestants"][k] for k in ("jboltz", "products"))
            median = ours["seconds"]["median"]
            flips = ours.get("unit_flips_per_second")
            rows.append(
                [
                    name,
                    str(record["num_hidden"]),
                    str(record["num_rows"]),
                    _three_digits(1e3 * median / record["parts"]),
                    f"{floor['time_over_jboltz']['median']:.2f}",
                    _three_digits(ours["connections_per_second"] / 1e9),
                    "" if flips is None else _three_digits(flips / 1e6),
                    f"{ours['compile_seconds']:.1f}",
                ]
            )
    headings = ["", "hidden", "rows", "ms", "share", "Gconn/s", "Mflips/s", "compile"]
    say_table("Sweep: jboltz, and its share of the products' rate", headings, rows)
    for line in sweep["left_out"]:
        say(f"left out: {line}")


def _three_digits(x: float) -> str:
    return f"{x:.3g}" if x < 1000 else f"{x:.0f}"


def record_name(processor: str) -> str:
    """The name of the file that keeps a record for this family of processors."""
    name = processor.encode("ascii", "ignore").decode().lower().replace("(r)", "")
    return f"results-{'-'.join(re.findall(r'[a-z0-9]+', name))}.json"
