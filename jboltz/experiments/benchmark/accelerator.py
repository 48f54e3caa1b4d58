"""Speed on an accelerator.    python -m jboltz.experiments.benchmark.accelerator FOLDER

A row is one kind of work at one size, in one precision, with keys of one generator. It
is written to `FOLDER/benchmark.jsonl` as soon as it is measured, the rows that say most
first, so that a run that is cut off loses nothing.
"""

import argparse
import dataclasses
import itertools
import json
import pathlib
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

import jboltz
from jboltz import random
from jboltz.experiments.benchmark import peers
from jboltz.experiments.benchmark.on_device import HIGH_LOW, WORKS, Row
from jboltz.runs import machine, terminal
from jboltz.runs.progress import say

PRECISIONS = ("bfloat16", HIGH_LOW, "float32", "tensorfloat32")
KEYS = ("threefry2x32", "threefry2x32_13", "philox4x32", "philox2x32", "rbg")
"""Generators; JAX may lack some. On a GPU XLA draws by philox for `rbg`."""

CALL, MOST_CALLS, MOST_STEPS = 0.1, 7, 250
"""Seconds that the products of a call take, about; and the most calls of a row, and the
most steps of a call."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The shapes, and the numbers of examples or chains, of all rows."""

    shapes: tuple[tuple[int, int], ...] = ((784, 500), (4096, 4096), (784, 4096))
    batch: int = 4096
    chains: int = 16_384
    others: tuple[int, ...] = (65_536, 64, 512)
    product: int = 8192  # n of the products of n × n with n × n


SMALL = Sizes(((24, 16), (24, 16)), 64, 64, (), 256)
"""Without an accelerator: they show that every row runs, not how fast."""


def rows(sizes: Sizes) -> list[Row]:
    """What is measured, the rows that say most first."""
    n, (small, large, *_) = sizes.product, sizes.shapes
    main = [Row("CD-1", shape, sizes.batch) for shape in (small, large)]
    main += [Row("Gibbs", shape, sizes.chains) for shape in (small, large)]

    def main_with(**names: Any) -> list[Row]:
        return [dataclasses.replace(row, **names) for row in main]

    def of_all_works(num_rows: int) -> Iterator[Row]:
        for work, shape in itertools.product(WORKS, sizes.shapes):
            # The library anneals in float32 alone.
            precision = "float32" if work == "AIS" else "bfloat16"
            if work not in ("product", "CD-1 by fit"):
                yield Row(work, shape, num_rows, precision)

    found = [Row("product", (n, n), n, precision) for precision in PRECISIONS]
    found += main + main_with(library="torch")
    for precision in PRECISIONS[1:]:
        found += main_with(precision=precision)
    for keys in KEYS[1:]:
        found += main_with(keys=keys)
    found += [Row("CD-1 by fit", small, sizes.batch), *of_all_works(sizes.batch)]
    found += [Row("AIS", shape, sizes.batch, HIGH_LOW) for shape in sizes.shapes]
    for precision in ("tensorfloat32", "float32"):
        found += main_with(precision=precision, library="torch")
    found += main_with(library="torch_compiled")
    for num_rows in sizes.others:
        found += of_all_works(num_rows)
    return list(dict.fromkeys(found))


def measure(row: Row, rate: float | None, seconds: float) -> dict[str, Any]:
    """The numbers of a row.

    Args:
      rate: the card's own floating-point operations a second, in the row's precision.
      seconds: no call begins after them, but for the first two.
    """
    make, num_products, num_connections = WORKS[row.work]
    size = row.num_rows * row.shape[0] * row.shape[1]
    flops, begin = 2 * num_products * size, time.perf_counter()
    num_steps = int(np.clip(CALL * rate / flops, 1, MOST_STEPS)) if rate else 10
    impl: Any = jboltz.THREEFRY_13 if row.keys == "threefry2x32_13" else row.keys
    key, times = jax.random.key(0, impl=impl), []
    if row.library != "jboltz":
        make = partial(peers.build, "in_torch_gpu.work")
    state, advance = make(row, num_steps, key)
    for call in range(MOST_CALLS + 1):
        start = time.perf_counter()
        state = jax.block_until_ready(advance(state, random.fold_in(key, call)))
        times.append(time.perf_counter() - start)
        if call and time.perf_counter() + times[-1] > begin + seconds:
            break
    low, median, high = np.quantile(times[1:], (0.25, 0.5, 0.75)) / num_steps
    found = {
        "steps": num_steps,
        "calls": len(times) - 1,
        "first_seconds": times[0],
        "milliseconds_a_step": [1e3 * x for x in (low, median, high)],
        "connections_per_second": num_connections * size / median,
        "flops_per_second": flops / median,
    }
    return found | ({"share_of_product_rate": flops / median / rate} if rate else {})


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="where the rows are written")
    parser.add_argument("--seconds", type=float, default=300.0, help="for all rows")
    parser.add_argument("--row-seconds", type=float, default=2.0, help="for a row")
    parser.add_argument("--small", action="store_true", help="sizes for a processor")
    options = parser.parse_args(arguments)
    with terminal.errors_as_lines():
        options.folder.mkdir(parents=True, exist_ok=True)
        record(options.folder, options)


def record(folder: pathlib.Path, options: argparse.Namespace) -> None:
    """Measures; adds a line a row to benchmark.jsonl, after those of earlier runs."""
    begin, rates = time.perf_counter(), {}
    with open(folder / "benchmark.jsonl", "a", encoding="utf-8") as file:
        print(json.dumps(setting()), file=file, flush=True)
        table = rows(SMALL if options.small else Sizes())
        for index, row in enumerate(table):
            if time.perf_counter() - begin > options.seconds:
                left_out = [dataclasses.asdict(row) for row in table[index:]]
                print(json.dumps({"out_of_time": left_out}), file=file, flush=True)
                say(f"The time is up: {len(left_out)} rows are left out.")
                break
            found = attempt(row, rates.get(row.precision), options.row_seconds)
            if row.work == "product":
                rates[row.precision] = found.get("flops_per_second")
            record = {**dataclasses.asdict(row), **found}
            print(json.dumps(record), file=file, flush=True)
            say(describe(row, found))


def attempt(row: Row, rate: float | None, seconds: float) -> dict[str, Any]:
    """The numbers of a row, or why there are none, such as too little memory.

    What one row lacks does not keep the others from being measured.
    """
    try:
        return measure(row, rate, seconds)
    except Exception as error:
        return {"left_out": f"{type(error).__name__}: {error}".splitlines()[0]}


def setting() -> dict[str, Any]:
    """The device, the versions and the flags."""
    found = {**machine.environment(), "peers": peers.installed()}
    device = found["device"]
    say(f"device: {device['count']} × {device['kind']}, {device['processor']}")
    return found


def describe(row: Row, found: dict[str, Any]) -> str:
    shape = f"{row.shape[0]}×{row.shape[1]}"
    names = f"{row.work}, {shape} × {row.num_rows}, {row.precision}, {row.keys}"
    if "left_out" in found:
        return f"{names}, {row.library}: left out, {found['left_out']}"
    line = (
        f"{names}, {row.library}: {found['milliseconds_a_step'][1]:.3g} ms a step, "
        f"{found['flops_per_second'] / 1e12:.3g} Tflop/s, "
        f"{found['connections_per_second']:.3g} connections/s"
    )
    share = found.get("share_of_product_rate")
    return line if share is None else f"{line}, {share:.0%} of the rate of products"


if __name__ == "__main__":
    main()
