"""The results as tables and figures.

Each record brings its title, and the quantities of its contestants are the columns.
"""

import re
from collections.abc import Mapping

from jboltz import plotting
from jboltz.experiments.benchmark import peers
from jboltz.experiments.benchmark.contest import Record
from jboltz.runs.progress import say
from jboltz.runs.tables import say_table

COLUMNS = {
    "steps_per_second": ("ms/step", lambda x: 1e3 / x),
    "rungs_per_second": ("ms/rung", lambda x: 1e3 / x),
    "sweeps_per_second": ("ms/sweep", lambda x: 1e3 / x),
    "unit_flips_per_second": ("Mflips/s", lambda x: x / 1e6),
    "connections_per_second": ("Gconn/s", lambda x: x / 1e9),
}
"""The quantities that a contestant's record may hold: the heading, and what is shown.
"""


def figures(tasks: Mapping[str, Record]) -> dict[str, plotting.Figure]:
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
            ours, floor = (record["contestants"][k] for k in ("jboltz", "products"))
            over = floor["time_over_jboltz"]["median"]
            share.setdefault(label, []).append((x, over))
            connections = ours["connections_per_second"] / 1e9
            rate.setdefault(label, []).append((x, connections))
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
    columns = {k: x for k, x in COLUMNS.items() if k in contestants["jboltz"]}
    for contestant in contestants.values():
        ratio = contestant["time_over_jboltz"]
        low, high = ratio["interval"] or ratio["quartiles"]
        rows.append(
            [
                contestant["label"],
                f"{contestant['seconds']['median']:.3f}",
                f"{ratio['median']:.2f}",
                f"{low:.2f}–{high:.2f}",
                *(_three_digits(f(contestant[k])) for k, (_, f) in columns.items()),
            ]
        )
    headings = ["", "seconds", "ratio", "95 %", *(name for name, _ in columns.values())]
    say_table(record["title"], headings, rows)
    say(f"jboltz compiled for {contestants['jboltz']['compile_seconds']:.1f} s")
    products = [contestants[k] for k in peers.FLOORS if k in contestants]
    if products:
        fastest = min(products, key=lambda x: x["time_over_jboltz"]["median"])
        share = fastest["time_over_jboltz"]["median"]
        say(f"the fastest {fastest['label']}: jboltz has {share:.0%} of their rate")
    for line in record["disturbed_rounds"]:
        say(line)


def _show_sweep(sweep: Record) -> None:
    rows = []
    for name, records in sweep["tasks"].items():
        for record in records:
            ours, floor = (record["contestants"][k] for k in ("jboltz", "products"))
            flips = ours.get("unit_flips_per_second")
            rows.append(
                [
                    name,
                    str(record["num_hidden"]),
                    str(record["num_rows"]),
                    _three_digits(1e3 * ours["seconds"]["median"] / record["parts"]),
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
