"""What --help prints: the options of a configuration, by group, wrapped."""

import ast
import dataclasses
import inspect
import itertools
import pathlib
import shutil
import textwrap
import types
import typing
from typing import Any

from jboltz.ranges import flat_fields

_INDENT = 26
"""Characters before a description; an option that needs more has a line of its own."""

_WORDS = {int: "INT", float: "FLOAT", str: "TEXT", pathlib.Path: "PATH"}


def text(config: Any, usage: str) -> str:
    """The help of a program.

    Args:
      config: a configuration, whose values are the defaults.
      usage: how the program is started.
    """
    width = min(shutil.get_terminal_size().columns, 100) - 1
    summary = " ".join((type(config).__doc__ or "").split())
    lines = [f"usage: {usage} [OPTIONS]", "", *textwrap.wrap(summary, width)]
    grouped, said = groups(type(config)), descriptions(config)
    placed = {field: group for group, fields in grouped.items() for field in fields}
    options: dict[str, list[str]] = {group: [] for group in grouped}
    for name, (value, hint) in flat_fields(config).items():
        group = placed.get(name.split(".")[0], "training")
        options[group] += _option(name, value, hint, said.get(name, ""), width)
    options["settings"] += _entry("-h, --help", "Print this text.", width)
    for group, entries in options.items():
        if entries:
            lines += ["", f"{group}:", *entries]
    return "\n".join(lines)


def groups(config_class: type) -> dict[str, tuple[str, ...]]:
    """The fields of each group, those of the base classes too."""
    found: dict[str, tuple[str, ...]] = {}
    for base in reversed(config_class.__mro__):
        for group, fields in vars(base).get("GROUPS", {}).items():
            found[group] = (*found.get(group, ()), *fields)
    return found


def descriptions(config: Any, prefix: str = "") -> dict[str, str]:
    """The docstring below each field, and those of the records in it by dotted names.

    A class that gives a field another default alone keeps the description of its base.
    """
    found = {}
    for base in reversed(type(config).__mro__):
        if dataclasses.is_dataclass(base):
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
            body = typing.cast(ast.ClassDef, tree.body[0]).body
            for field, below in itertools.pairwise(body):
                match field, below:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(words))),
                    ):
                        found[prefix + name] = " ".join(words.split())
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= descriptions(value, f"{prefix}{field.name}.")
    return found


def _option(name: str, value: Any, hint: Any, said: str, width: int) -> list[str]:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        flag, default = f"--{option}", ""
        if value:  # Only the other answer is of use.
            flag, default = f"--{option}, --no-{option}", "on"
    elif isinstance(value, tuple):
        flag, default = f"--{option} {_kind(hint)}", " ".join(map(str, value))
    else:
        flag = f"--{option} {_kind(hint)}"
        default = "" if value is None else str(value)
    return _entry(flag, f"{said} (default: {default})" if default else said, width)


def _kind(hint: Any) -> str:
    """What may be written for a type: INT, {a,b}, INT …."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _kind(inner[0])
    if origin is typing.Literal:
        return f"{{{','.join(map(str, inner))}}}"
    if origin is tuple:
        return f"{_kind(inner[0])} …"
    if origin in (typing.Union, types.UnionType):
        return _kind(next(x for x in inner if x is not type(None)))
    return _WORDS.get(hint, "VALUE")


def _entry(flag: str, said: str, width: int) -> list[str]:
    """An option beside its description, or above it where it is long."""
    option = [f"  {flag}"]
    if len(option[0]) > width:  # Many choices are wrapped too.
        spaced = option[0].replace(",", ", ")
        option = textwrap.wrap(spaced, width, subsequent_indent="    ")
    body = textwrap.wrap(said, width - _INDENT, break_on_hyphens=False)
    indented = [" " * _INDENT + line for line in body]
    if len(option) > 1 or len(option[0]) + 2 > _INDENT or not body:
        return [*option, *indented]
    return [option[0].ljust(_INDENT) + body[0], *indented[1:]]
