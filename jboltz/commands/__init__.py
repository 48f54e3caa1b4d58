"""The command `jboltz`: a model of your own data, without a program.

Arguments are read before JAX is imported, which takes a second, so that --help and a
wrong argument are answered at once. A command is a function of `jboltz.commands.use`
and a line of `COMMANDS`; `train` has a configuration, as the programs have.
"""

import argparse
import importlib.metadata
import pathlib
import sys
from typing import Any

from jboltz.errors import InvalidValue, MissingPackage
from jboltz.ranges import Count, CountFromZero, Seed, range_of, with_home
from jboltz.runs import terminal

COMMANDS = {
    "sample": ("draw new rows from a model", "model -n --steps --seed --out"),
    "score": ("how likely a model finds rows", "model data --seed --out"),
    "encode": ("the means of a model's hidden units", "model data --seed --out"),
    "report": ("write the page of a run", "run"),
    "data": ("what a file holds, and which units fit it", "path --without --kinds"),
}
"""What each command does, and the names of its arguments."""
ARGUMENTS: dict[str, dict[str, Any]] = {
    "model": {"help": "model.safetensors of `jboltz train`, or the folder of its run"},
    "data": {"help": "file or folder with the columns of the training data"},
    "run": {"help": "folder of a run, finished or not"},
    "path": {"help": "file, or folder of images"},
    "--without": {
        "nargs": "+",
        "default": (),
        "metavar": "COLUMN",
        "help": "columns of a table to leave out, such as names of the rows",
    },
    "--kinds": {
        "nargs": "+",
        "default": (),
        "metavar": "COLUMN=KIND",
        "help": "kinds of columns: binary, spins, gray, counts, reals, positive or "
        "categories",
    },
    "-n": {"type": int, "default": 64, "help": "number of rows (%(default)s)"},
    "--steps": {
        "type": int,
        "default": 1000,
        "help": "Gibbs steps from noise to a row (%(default)s)",
    },
    "--seed": {"type": int, "default": 0, "help": "decides every draw (%(default)s)"},
    "--out": {
        "help": "CSV file for one line per row; without it, sample and encode write to "
        "the standard output"
    },
}
RANGES = {"n": Count, "steps": CountFromZero, "seed": Seed}
"""What the numbers may be."""


def main(arguments: list[str] | None = None) -> None:
    """Runs one command; ends the process, with one line and status 2, if it cannot.

    Args:
      arguments: the name of a command and its arguments; None: those of this process.
    """
    if arguments is None:
        terminal.take_over()
        arguments = sys.argv[1:]
    with terminal.errors_as_lines():
        try:
            _run(arguments)
        except ModuleNotFoundError as error:
            raise MissingPackage(
                f"jboltz needs {error.name} for this, which is not installed; install "
                "it with: pip install 'jboltz[experiments,readers]'"
            ) from error
        terminal.finish()


def _run(arguments: list[str]) -> None:
    if arguments[:1] == ["train"]:
        from jboltz.commands import train

        train.main(arguments[1:])
    else:
        options = parse(arguments)
        from jboltz.commands import use

        vars(use)[options.command](options)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a command, with its paths as paths.

    An argument that is missing, unknown or wrong ends the process.
    """
    about = "Boltzmann machines of your own data."
    parser = argparse.ArgumentParser("jboltz", description=about)
    version = importlib.metadata.version("jboltz")
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("train", help="train a model on a file or a folder of rows")
    for name, (does, takes) in COMMANDS.items():
        command = commands.add_parser(name, help=does, description=does)
        for argument in takes.split():
            command.add_argument(argument, **ARGUMENTS[argument])
    options = parser.parse_args(arguments or ["--help"])
    for name, value in vars(options).items():
        if isinstance(value, str) and name != "command":
            setattr(options, name, pathlib.Path(with_home(name, value)))
    for name, number in RANGES.items():
        value, limits = vars(options).get(name), range_of(number)
        if value is not None and value not in limits:
            raise InvalidValue(f"`{name}` is {value} but it needs to be {limits}.")
    if (out := vars(options).get("out")) and not out.name.endswith(".csv"):
        raise InvalidValue(f"`out` is {out} but rows are written as CSV; name it .csv.")
    if out and not out.parent.is_dir():
        raise InvalidValue(
            f"`out` is {out} but the folder {out.parent} is not there; make it first."
        )
    data = vars(options).get("data")
    if out and data and out.exists() and data.exists() and out.samefile(data):
        raise InvalidValue(
            f"`out` is {out}, the data themselves; give it another name."
        )
    return options
