"""A program of a second, with all that a run leaves behind."""

import dataclasses
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np

from jboltz import data
from jboltz.checkpoint import Checkpoints
from jboltz.runs import program
from jboltz.runs.config import RunConfig

EPOCHS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Doubles a number."""

    workdir: pathlib.Path = pathlib.Path("runs/toy")
    rate: float = 2.0
    """What the number is multiplied by."""


def load(config):
    del config
    return data.from_arrays(np.zeros((4, 9), np.uint8))


def run(config, data, workdir):
    """As `fit_with_checkpoints` does it, without anything to compile."""
    del data
    template = {"x": jax.ShapeDtypeStruct((50,), jnp.float32)}
    with Checkpoints(workdir.path / "checkpoints" / "doubling") as saved:
        found = saved.restore(template)[0] if saved.steps() else None
        x = np.asarray(found.state["x"]) if found else np.linspace(0, 1, 50)
        records = found.notes["epochs"] if found else []
        workdir.write_metrics("doubling", records)
        while len(records) < EPOCHS:
            x = np.float32(config.rate) * np.asarray(x, np.float32)
            records.append({"epoch": len(records) + 1, "loss": float(x.sum())})
            saved.save(len(records), {"x": jnp.asarray(x)}, {"epochs": records})
            workdir.write_metrics("doubling", records)
    part = workdir.part("mean", lambda: {"mean": float(x.mean())})
    return {"x": jnp.asarray(x)}, {"epochs": records, **part}


def draw_figures(config, data, params, numbers):
    del config, data, params
    figure = matplotlib.figure.Figure(figsize=(0.5, 0.5))
    figure.gca().plot([record["loss"] for record in numbers["epochs"]])
    return {"losses": figure}


def report(results):
    print(f"the mean is {results['mean']}")


def make(**functions):
    """The program, with other functions in place of its own."""
    own = {"load": load, "run": run, "draw_figures": draw_figures, "report": report}
    return program.Program(name="toy", config=Config, **own | functions)


def main(workdir, *flags, **functions):
    """The exit status of one run."""
    flags = ["--workdir", str(workdir), *map(str, flags)]
    try:
        program.main(make(**functions), flags)
    except SystemExit as stop:
        return stop.code
    return 0


def remove(there):
    """Deletes a file, or a folder with all that is in it."""
    shutil.rmtree(there) if there.is_dir() else there.unlink(missing_ok=True)


def copy(workdir, to):
    """A copy of a workdir, in the place of what was there."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(workdir, to)


def numbers(workdir):
    """What a run finds, without what it costs, and its figures."""
    results, *epochs = (
        _without_costs(json.loads(line))
        for file in ("results.json", "metrics.jsonl")
        for line in _texts(workdir / file)
    )
    figures = {f.name: f.read_bytes() for f in (workdir / "figures").glob("*.png")}
    return results, epochs, figures


def _texts(file):
    text = file.read_text()
    return [text] if file.suffix == ".json" else text.splitlines()


def _without_costs(tree):
    costs = ("wall_seconds", "compile_seconds", "peak_memory_mb", "seconds")
    costs += ("config", "commit")
    if isinstance(tree, dict):
        return {k: _without_costs(x) for k, x in tree.items() if k not in costs}
    return [_without_costs(x) for x in tree] if isinstance(tree, list) else tree
