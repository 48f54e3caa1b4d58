"""Configurations: frozen dataclasses as command lines, TOML files and records."""

import argparse
import dataclasses
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import tyro

from jboltz.errors import InvalidValue
from jboltz.runs import terminal

DISPLAY_FIELDS = ("workdir", "overwrite", "config", "preset", "tensorboard", "data")
DISPLAY_FIELDS += ("mesh", "distributed")
"""Fields that do not make a run another run: where and how it is kept, where its data
were found (what they are is compared by their checksum), and on which devices."""


@dataclasses.dataclass(frozen=True)
class Mesh:
    """How many devices share training; no draw depends on it."""

    data: int = 1
    """Devices among which batches and chains are divided."""
    model: int = 1
    """Devices among which hidden units, and their weights, are divided."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every program can be asked for. A program's `Config` inherits from it.

    A `Config` that gives a field another default, but no other description, keeps the
    description from here.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Fields and their values by the name of a preset."""

    workdir: pathlib.Path = pathlib.Path("runs")
    """Folder for checkpoints, figures and results; an interrupted run goes on there."""
    preset: str | None = None
    """Values to begin with. Flags win."""
    config: pathlib.Path | None = None
    """TOML file with values of these fields; flags beside it win."""
    tensorboard: bool = False
    """Also keep the epochs and figures as TensorBoard events, in the workdir."""
    overwrite: bool = False
    """Delete what an earlier run left in the workdir and begin anew. An unfinished run
    that this flag itself began goes on instead."""
    seed: int = 0
    """Decides initial weights, order and every draw."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunConfig):
    """What every program that trains on batches can be asked for besides."""

    batch_size: int = 100
    """Examples an update; the last batch of an epoch may be shorter."""
    mesh: Mesh = dataclasses.field(default_factory=Mesh)
    distributed: bool = False
    """One of several processes, on as many hosts, that run this same command."""


ConfigT = TypeVar("ConfigT", bound=RunConfig)


def parse(config_class: type[ConfigT], program: str, arguments: list[str]) -> ConfigT:
    """The configuration that a command line asks for.

    `--preset NAME` puts the fields of `config_class.PRESETS[NAME]` first, then
    `--config FILE` those of a TOML file; the other flags win over both. Anything wrong
    ends the program with a message and exit status 2. The workdir is runs/`program`
    unless it is asked for.
    """
    for value in arguments:
        if not value.isprintable():
            raise InvalidValue(
                f"{value!r} on the command line has characters that cannot be printed; "
                "give a name without them."
            )
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=pathlib.Path)
    finder.add_argument("--preset")
    found, _ = finder.parse_known_args(arguments)
    if found.config is not None:
        arguments = [*_flags(_read_toml(found.config)), *arguments]
    # One that is unknown is left to tyro, which says what there is.
    preset = config_class.PRESETS.get(found.preset, {})
    arguments = [*_flags(preset), *arguments]
    return tyro.cli(
        config_class,
        prog=terminal.command(),
        args=arguments,
        default=config_class(workdir=pathlib.Path("runs") / program),
    )


def identity(config: RunConfig) -> dict[str, Any]:
    """The fields that make two runs the same run, as JSON."""
    fields = as_json(config)
    return {k: v for k, v in fields.items() if k not in DISPLAY_FIELDS}


def as_json(config: RunConfig) -> dict[str, Any]:
    """All fields as JSON values: tuples become lists, paths strings."""

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: convert(v) for k, v in value.items()}
        if isinstance(value, tuple | list):
            return [convert(v) for v in value]
        return str(value) if isinstance(value, pathlib.Path) else value

    return convert(dataclasses.asdict(config))


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What two runs do not have in common, a line a field."""
    old, new = _flat(old), _flat(new)
    return [
        f"`{name}` is {new.get(name)} but that run has {old.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def as_toml(fields: dict[str, Any]) -> str:
    """A file that `--config` reads back; None, which TOML lacks, is left out."""
    lines, tables = [], []
    for name, value in fields.items():
        if isinstance(value, dict):
            tables.append(f"\n[{name}]\n{as_toml(value)}")
        elif value is not None:
            lines.append(f"{name} = {_toml_value(value)}\n")
    return "".join(lines + tables)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    return repr(value)


def _read_toml(path: pathlib.Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OSError(
            f"`--config` is {path}, which cannot be read ({error.strerror}); name a "
            "TOML file."
        ) from error
    except ValueError as error:
        raise InvalidValue(f"`--config` {path} is no TOML file: {error}.") from error


def _flags(fields: dict[str, Any], prefix: str = "") -> list[str]:
    """A TOML file as flags, so that tyro checks both in the same way."""
    flags = []
    for name, value in fields.items():
        flag = f"--{prefix}{name.replace('_', '-')}"
        if isinstance(value, dict):
            flags += _flags(value, f"{prefix}{name.replace('_', '-')}.")
        elif isinstance(value, bool):
            flags.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, list):
            flags += [flag, *(str(v) for v in value)]
        else:
            flags += [flag, str(value)]
    return flags
