"""Configurations: frozen dataclasses as command lines, TOML files and records."""

import contextlib
import dataclasses
import difflib
import io
import itertools
import json
import pathlib
import re
import sys
import tomllib
import typing
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import tomli_w
import tyro

from jboltz.errors import InvalidValue
from jboltz.files import read_regular
from jboltz.ranges import Count, Seed, check_ranges, flat_fields, shortened, with_home
from jboltz.runs import help, terminal

_DISPLAY_FIELDS = "workdir overwrite config preset tensorboard mesh distributed".split()
"""Fields that do not make a run another run: where and how it is kept, where its data
were found (what they are is compared by their checksum), and on which devices."""


class Source:
    """Base of records that say where data are found. What they are is compared by their
    checksum, so a field with one is no part of what makes a run this run."""


@dataclasses.dataclass(frozen=True)
class Mesh:
    """How many devices share training; no draw depends on it."""

    data: Count = 1
    """Devices among which batches and chains are divided."""
    model: Count = 1
    """Devices among which hidden units, and their weights, are divided."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every program can be asked for. A program's `Config` inherits from it.

    A `Config` that gives a field another default, but no other description, keeps the
    description from here.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Fields and their values by the name of a preset."""

    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "model": (),
        "training": (),
        "data": ("data",),
        "devices": (),
        "evaluation": (),
        "output": ("workdir", "tensorboard", "overwrite"),
        "settings": ("preset", "config", "seed"),
    }
    """What --help shows together, by the name of the group, beside what the groups of
    the base classes show. A field in no group is shown with "training"."""

    workdir: pathlib.Path = pathlib.Path("runs")
    """Folder for checkpoints, figures and results; an interrupted run goes on there."""
    preset: str | None = None
    """Values to begin with. Flags win."""
    config: pathlib.Path | None = None
    """TOML file, of at most 16 KiB, with values of these fields; flags beside it win
    over both the file and a preset that it names."""
    tensorboard: bool = False
    """Also keep the epochs and figures as TensorBoard events, in the workdir."""
    overwrite: bool = False
    """Delete what an earlier run left in the workdir, and begin anew. If the run that
    this command began was stopped, the same command goes on with it."""
    seed: Seed = 0
    """Decides initial weights, order and every draw."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunConfig):
    """What every program that trains on batches can be asked for besides."""

    GROUPS: ClassVar = {"devices": ("mesh", "distributed")}

    batch_size: Count = 100
    """Examples per update; the last batch of an epoch may be shorter."""
    mesh: Mesh = dataclasses.field(default_factory=Mesh)  #: of devices
    distributed: bool = False
    """One of several processes, on as many hosts, that run this same command."""


ConfigT = TypeVar("ConfigT", bound=RunConfig)


def parse(
    config_class: type[ConfigT],
    program: str,
    arguments: list[str],
    *,
    usage: str | None = None,
) -> ConfigT:
    """The configuration that a command line asks for.

    `--preset NAME` puts the fields of `config_class.PRESETS[NAME]` first, then
    `--config FILE` those of a TOML file, which may name the preset itself; the other
    flags win over both. The workdir is runs/`program` unless it is asked for.

    Args:
      config_class: the class of the configuration.
      program: the name of the program.
      arguments: the words of the command line.
      usage: how to start the program; by default as this process was started.

    Raises:
      ValueError: an option that does not exist, no value or a wrong one, a file that
        is no configuration.
    """
    default = config_class(workdir=pathlib.Path("runs") / program)
    usage = usage or terminal.command()
    if {"-h", "--help"} & {*arguments}:
        print(help.text(default, usage))
        sys.exit(0)
    options = {
        name.replace("_", "-"): isinstance(x, tuple)
        and str not in {*map(type, x), *typing.get_args(hint)}
        for name, (x, hint) in flat_fields(default).items()
    }
    arguments = _checked(arguments, options)
    if file := _asked(arguments, "--config"):
        of_file = _checked(_read_toml(pathlib.Path(file), options), options)
        arguments = [*of_file, *arguments]
    # One that is unknown is left to tyro, which says what there is.
    asked = _asked(arguments, "--preset")
    if asked and not config_class.PRESETS:
        raise InvalidValue(f"`--preset` is {asked} but there is none; leave it out.")
    preset = config_class.PRESETS.get(asked, {})
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = tyro.cli(
                config_class,
                prog=usage,
                args=[*_flags(_flat(preset)), *arguments],
                default=default,
            )
    except SystemExit:
        about_file = f"`--config` {file} counts as flags: " if file else ""
        raise InvalidValue(about_file + _without_box(said.getvalue())) from None
    check_ranges(config)
    return config


def answer(config_class: type[RunConfig], program: str) -> None:
    """Answers --help, and ends this process at a command line that cannot be parsed.

    A program calls this before it imports JAX, which takes longer than the answer.

    Args:
      config_class: the class of the configuration.
      program: the name of the program.
    """
    with terminal.errors_as_lines():
        parse(config_class, program, sys.argv[1:])


def _without_box(text: str) -> str:
    """What stands below the title of a message that tyro put into a box, in a line."""
    plain = re.sub(r"\x1b\[[\d;]*m|│", "", text)
    title, *parts = re.split("[─╭╮╰╯-]{9,}", plain)
    said = " ".join((parts or [title])[0].split())
    # If a number may also be left out, tyro lists why the value is neither.
    said = re.sub(r": no type matching .* could be instantiated.* - .*?: ", ": ", said)
    return f"{said.rstrip('.')}; --help explains all options."


def _asked(arguments: list[str], flag: str) -> str:
    """The last value of `flag`; empty where there is none."""
    values = [
        after if argument == flag else argument.removeprefix(f"{flag}=")
        for argument, after in itertools.pairwise([*arguments, ""])
        if argument.split("=")[0] == flag
    ]
    return values[-1] if values else ""


def _checked(arguments: list[str], options: Mapping[str, bool]) -> list[str]:
    """The arguments, with the home of the user for `~`; refuses what tyro would not
    explain.

    Args:
      options: their names, without dashes, and whether they take several numbers.
    """
    checked, flag = [], ""
    known = {*options, "help", *(f"no-{name}" for name in options)}
    for argument in arguments:
        before, value = "", argument
        if argument.startswith("--"):
            flag, equals, value = argument.partition("=")
            before = flag + equals
            name = flag[2:].replace("_", "-")
            if name not in known:
                nearest = ", ".join(f"--{x}" for x in _nearest(name, options))
                raise InvalidValue(
                    f"`{shortened(flag)}` is no option; the nearest are {nearest}, and "
                    "--help explains all of them."
                )
            if not equals:
                checked.append(flag)
                continue
        if not value or not value.isprintable():
            raise InvalidValue(
                f"`{flag}` is {shortened(repr(value))} but a value needs characters, "
                "and none that cannot be printed."
            )
        whole = with_home(flag, value)
        is_list = options.get(flag[2:].replace("_", "-"), False)
        if is_list and (parts := re.findall(r"[^\s,()[\]]+", value)) != [value]:
            raise InvalidValue(
                f"`{flag}` is {shortened(value)} but its values need spaces between "
                f"them and nothing else; write {flag} {shortened(' '.join(parts))}."
            )
        checked.append(before + whole)
    return checked


def _nearest(name: str, options: Iterable[str]) -> list[str]:
    """The three options whose name, last word or initials are most like `name`."""

    def likeness(option: str) -> float:
        words = re.split(r"[-.]", option)
        forms = (option, words[-1], "".join(word[0] for word in words))
        return max(
            difflib.SequenceMatcher(None, name[:40], form).ratio() for form in forms
        )

    return sorted(options, key=lambda x: (-likeness(x), len(x)))[:3]


def identity(config: RunConfig) -> dict[str, Any]:
    """The fields that make two runs the same run, as JSON."""
    return {
        name: value
        for name, value in as_json(config).items()
        if name not in _DISPLAY_FIELDS and not isinstance(getattr(config, name), Source)
    }


def as_json(config: RunConfig) -> dict[str, Any]:
    """All fields as JSON values: tuples become lists, paths strings."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What two runs do not have in common, a line a field.

    Args:
      old: the `identity` of the earlier run.
      new: the `identity` of this run.
    """
    old, new = _flat(old), _flat(new)
    pairs = [(x, new.get(x), old.get(x)) for x in sorted(old.keys() | new.keys())]
    return [
        f"`{name}` is {_word(here)} but {_word(there)} in that run"
        for name, here, there in pairs
        if here != there
    ]


def _word(value: Any) -> Any:
    return "not given" if value is None else value


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted names, of tables in tables."""
    flat = {}
    for name, value in tree.items():
        is_table = isinstance(value, dict) and value
        new = _flat(value, f"{prefix}{name}.") if is_table else {prefix + name: value}
        if twice := [key for key in new if key in flat]:
            raise InvalidValue(f"it gives {shortened(twice[0])} twice")
        flat |= new
    return flat


def as_toml(config: RunConfig) -> str:
    """A file that `--config` reads back: the values themselves, without the preset or
    the file that they came from, and without what is asked of one start alone.

    None, which TOML lacks, is left out, and so is a table of nothing else.
    """

    def without_none(table: dict[str, Any]) -> dict[str, Any]:
        return {k: value for k, value in table.items() if value not in (None, {})}

    of_one_start = ("preset", "config", "overwrite")
    kept = {k: v for k, v in as_json(config).items() if k not in of_one_start}
    return tomli_w.dumps(json.loads(json.dumps(kept), object_hook=without_none))


def _read_toml(path: pathlib.Path, options: Mapping[str, bool]) -> list[str]:
    """A file of at most 16 KiB, as flags, so that tyro checks both in the same way."""
    try:
        found = _flat(tomllib.loads(read_regular(path, 2**14).decode()))
        fields = {name.replace("_", "-"): value for name, value in found.items()}
        if len(fields) < len(found):
            raise InvalidValue("it gives an option twice, with `_` and with `-`")
        if unknown := [x for x in found if x.replace("_", "-") not in options]:
            raise InvalidValue(
                f"{shortened(', '.join(unknown))}: no such options; the nearest to the "
                f"first are {', '.join(_nearest(unknown[0], options))}"
            )
        if "config" in fields:
            raise InvalidValue("one file cannot ask for another by `config`")
        return _flags(fields)
    except OSError as error:
        raise OSError(
            f"`--config` is {path}, which cannot be read ({error.strerror}); name a "
            "TOML file."
        ) from error
    except (RecursionError, ValueError) as error:
        is_deep = isinstance(error, RecursionError)
        reason = "its values are nested too deeply" if is_deep else error
        raise InvalidValue(
            f"`--config` {path} is no TOML file of options ({reason})."
        ) from error


def _flags(fields: Mapping[str, Any]) -> list[str]:
    """Fields as the flags that ask for them."""
    flags = []
    for name, value in fields.items():
        option = name.replace("_", "-")
        values = value if isinstance(value, list) else [value]
        if isinstance(value, bool):
            flags.append(f"--{option}" if value else f"--no-{option}")
        elif any(isinstance(x, str) and x.startswith("-") for x in values):
            raise InvalidValue(
                f"`{name}` is {shortened(value)}, which begins like an option"
            )
        else:
            flags += [f"--{option}", *(str(x) for x in values)]
    return flags
