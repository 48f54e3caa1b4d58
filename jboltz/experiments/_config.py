"""Configurations: frozen dataclasses as command lines, TOML files and records."""

import argparse
import dataclasses
import pathlib
import tomllib
from typing import Any, Literal, TypeVar

import tyro

ConfigT = TypeVar("ConfigT")

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


@dataclasses.dataclass(frozen=True)
class Mnist:
    """Where MNIST comes from."""

    source: Literal["auto", "tfds", "manual", "embedded"] = "auto"
    """`auto` takes the best that is there within seconds: what TFDS has cached, the
    manual folder, a download by TFDS, or the 10 000 digits inside the package."""
    manual_dir: pathlib.Path | None = None
    """Folder with MNIST's four .gz files."""


@dataclasses.dataclass(frozen=True)
class Cifar10:
    """Where CIFAR-10 comes from."""

    source: Literal["auto", "tfds", "manual"] = "auto"
    """`auto` takes what TFDS has cached, the manual file, or a download by TFDS."""
    manual_dir: pathlib.Path | None = None
    """The official binary tarball, an .npz file with `train_images` and so on, or a
    folder with one of them."""


def parse(config_class: type[ConfigT], program: str, arguments: list[str]) -> ConfigT:
    """The configuration that a command line asks for.

    `--preset NAME` puts the fields of `config_class.PRESETS[NAME]` first, then
    `--config FILE` those of a TOML file; the other flags win over both. Anything wrong
    ends the program with a message and exit status 2.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=pathlib.Path)
    finder.add_argument("--preset")
    found, _ = finder.parse_known_args(arguments)
    if found.config is not None:
        arguments = [*_flags(_read_toml(found.config)), *arguments]
    # One that is unknown is left to tyro, which says what there is.
    preset = getattr(config_class, "PRESETS", {}).get(found.preset, {})
    arguments = [*_flags(preset), *arguments]
    return tyro.cli(
        config_class, prog=f"python -m jboltz.experiments.{program}", args=arguments
    )


def identity(config: Any) -> dict[str, Any]:
    """The fields that make two runs the same run, as JSON."""
    fields = as_json(config)
    return {k: v for k, v in fields.items() if k not in DISPLAY_FIELDS}


def as_json(config: Any) -> dict[str, Any]:
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
        raise ValueError(f"`--config` {path} is no TOML file: {error}.") from error


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
