"""jboltz train DATA: a model, its likelihood on held-out rows, and a page."""

import dataclasses
import pathlib
from typing import Literal

from jboltz.errors import InvalidValue
from jboltz.ranges import Count, Rate
from jboltz.runs.config import RunConfig, parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Trains a restricted Boltzmann machine on the examples in a file or a folder.

    `jboltz train DATA` names the data first. What is not asked for is chosen by the
    size and the kinds of the columns, and said.
    """

    data: pathlib.Path = pathlib.Path("DATA")
    """A table with one example per row (CSV, TSV, Parquet), arrays (.npy, .npz, HDF5),
    a sparse matrix (.mtx), sequences (FASTA), or a folder of images."""
    workdir: pathlib.Path = pathlib.Path("runs")
    """Folder for checkpoints, figures and results; `--out` is the same. The default is
    runs/NAME for data called NAME. A run that was stopped goes on there."""
    without: tuple[str, ...] = ()
    """Columns of a table to leave out, such as names or labels of the rows."""
    kinds: tuple[str, ...] = ()
    """Kind of all columns, or of some, as `age=reals`: binary, spins, gray, counts,
    reals, positive (by their logarithms) or categories. Other kinds follow from the
    values."""
    missing: tuple[float | str, ...] = ()
    """Numbers and texts that mark a gap, beside empty fields and NaN."""
    hidden: Count | None = None
    """Hidden units; by default as many as there are visible ones, from 16 to 500."""
    hidden_unit: Literal["bernoulli", "spin"] = "bernoulli"
    """Kind of the hidden units: 0 and 1, or -1 and 1."""
    rule: Literal["pcd", "cd"] = "pcd"
    """Training by persistent chains, or by chains that start at the data."""
    num_steps: Count | None = None
    """Gibbs sweeps of each chain per update; by default 1, and 5 for at most 2,000
    rows, where they cost little."""
    batch_size: Count | None = None
    """Rows per update; by default a fiftieth of them, from 10 to 100."""
    learning_rate: Rate | None = None
    """First step size of plain SGD, which falls to 0. The default is 0.25 divided by
    the variance of the rows, of at most 1,000 of them, along the direction in which
    they vary most, and at most 0.05."""
    epochs: Count | None = None
    """Passes over the rows; by default 10 to 100, more with fewer rows."""


def main(arguments: list[str]) -> None:
    """Trains, evaluates, and writes the page."""
    flags = as_flags(arguments)
    config = parse(Config, "train", flags, usage="jboltz train DATA")
    if config.data == Config.data and not config.data.exists():
        raise InvalidValue(
            "`data` is not named; name the file or the folder first, as in `jboltz "
            "train survey.csv`."
        )
    # Imported here: --help and a wrong flag are answered without JAX.
    from jboltz.commands.training import PROGRAM
    from jboltz.runs import page, program
    from jboltz.runs.progress import say

    program.main(PROGRAM, flags)
    file, _ = page.write(config.workdir)
    say(f"The page is {file}; the model is {config.workdir / 'model.safetensors'}")


def as_flags(arguments: list[str]) -> list[str]:
    """The arguments as flags of `Config`: the first one is the data, which name the
    folder of the run, and `--out` is another word for `--workdir`."""
    flags = [
        argument.replace("--out", "--workdir", 1)
        if argument.split("=")[0] == "--out"
        else argument
        for argument in arguments
    ]
    if not flags or flags[0].startswith("-"):
        return flags
    name = pathlib.Path(flags[0]).resolve().name.split(".")[0]
    return ["--data", flags[0], "--workdir", f"runs/{name}", *flags[1:]]
