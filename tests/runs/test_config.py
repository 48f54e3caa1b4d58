"""Configurations: what all programs share, and what earlier runs recorded."""

import dataclasses
import importlib
import io
import os
import pathlib
import re
import sys
import time
import tomllib
from typing import ClassVar, Literal

import pytest

from jboltz import ranges
from jboltz.errors import InvalidValue
from jboltz.runs import config, sources

RECORDED = sorted(pathlib.Path(__file__).parents[2].glob("experiments/*/config.toml"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.TrainingConfig):
    """A program's own."""

    PRESETS: ClassVar = {"small": {"batch_size": 7, "rate": 0.5}}

    preset: Literal["small"] | None = None
    batch_size: int = 64
    rate: float = 0.1
    """Step size."""
    learning_rate: ranges.Rate = 0.1
    layers: tuple[ranges.Count, ...] = (784, 10)
    clip: ranges.Scale | None = None


def parse(*arguments):
    return config.parse(Config, "mine", list(map(str, arguments)))


@pytest.fixture
def write(tmp_path):
    def file(text):
        (tmp_path / "config.toml").write_text(text)
        return "--config", tmp_path / "config.toml"

    return file


def config_class_of(name):
    module = f"jboltz.experiments.{name}"
    if name == "benchmark":  # a package
        module += ".__main__"
    return importlib.import_module(module).Config


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.parent.name)
def test_what_a_run_recorded_is_read_back(file):
    name = file.parent.name
    found = config.parse(config_class_of(name), name, ["--config", str(file)])
    recorded = tomllib.loads(file.read_text())
    assert found.preset == recorded.pop("preset", None)
    assert found.overwrite == recorded.pop("overwrite")
    read = tomllib.loads(config.as_toml(found))
    # Fields that came later have their default.
    assert recorded.items() <= read.items()


def test_shared_fields_are_flags_like_any_other():
    found = parse(*"--mesh.data 2 --seed 3 --rate 1".split())
    assert found == Config(
        workdir=pathlib.Path("runs/mine"), mesh=config.Mesh(data=2), seed=3, rate=1.0
    )
    recorded = config.as_json(found)
    assert recorded["workdir"] == "runs/mine"
    assert recorded["batch_size"] == 64
    assert "workdir" not in config.identity(found)


def test_flags_win_over_a_file_and_a_file_over_a_preset(write):
    file = write("rate = 0.25\n[mesh]\nmodel = 2\n")
    found = parse("--preset", "small", *file, "--mesh.model", 4)
    assert (found.batch_size, found.rate, found.mesh.model) == (7, 0.25, 4)


def test_a_preset_in_a_file_counts(write):
    found = parse(*write('preset = "small"\nrate = 0.25\n'))
    assert (found.preset, found.batch_size, found.rate) == ("small", 7, 0.25)
    assert parse(*write('preset = "small"\n'), "--batch-size", 8).batch_size == 8


def test_what_is_written_is_read_back_as_the_same_run(write):
    """Also where a field of the preset was taken back, which TOML cannot say."""
    names = ["--workdir", 'runs/"a"\\é', "--layers", 784, 3, "--overwrite"]
    asked = parse("--preset", "small", "--rate", 2, *names)
    text = config.as_toml(asked)
    found = parse(*write(text))
    assert config.identity(found) == config.identity(asked)
    assert (found.workdir, found.overwrite) == (asked.workdir, False)


def test_a_new_default_keeps_the_description(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    help_of = capsys.readouterr().out
    assert "Examples per update" in help_of
    assert "(default: 64)" in help_of


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", 3], "the nearest are --learning-rate, "),
        (["--learning-rat", 3], "the nearest are --learning-rate, "),
        (["--model", 3], "the nearest are --mesh.model, "),
        (["--"], "`--` is no option"),
        (["--layers", "784,500,200"], "write --layers 784 500 200."),
        (["--layers=784,500"], "write --layers 784 500."),
        (["--layers", "(784, 500)"], "write --layers 784 500."),
        (["--layers", "784", "0"], r"`layers` is \(784, 0\) but every number in it"),
        (["--layers", 784, 10**12], "`layers` is .* and at most 1000000"),
        (["--workdir", ""], "`--workdir` is ''"),
        (["--workdir="], "`--workdir` is ''"),
        (["--workdir", "a\0b"], "none that cannot be printed"),
        (["--workdir", "a\nb"], "none that cannot be printed"),
        (["--workdir", "a\x7fb"], "none that cannot be printed"),
        (["--workdir", "\x9b31m"], "none that cannot be printed"),
        (["--rate", "nan"], "`rate` is nan but it needs to be finite"),
        (["--rate", "-inf"], "`rate` is -inf but it needs to be finite"),
        (["--rate", "1e39"], r"`rate` is 1e\+39 but it needs to be finite"),
        (["--learning-rate", "1e-300"], "at least 1e-09"),
        (["--clip", "nan"], "`clip` is nan"),
        (["--seed", -1], "`seed` is -1 but it needs to be at least 0 and below 429"),
        (["--mesh.data", 0], "`mesh.data` is 0"),
        (["--config", "/dev/null"], "is a folder, a pipe or a device"),
        (["--config", "/"], "is a folder, a pipe or a device"),
    ],
)
def test_a_command_line_that_makes_no_sense(arguments, message):
    with pytest.raises(InvalidValue, match=message):
        parse(*arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers = " + "[" * 2000 + "]" * 2000, "nested too deeply"),
        ("\n".join(f"k{i} = 1" for i in range(1500)), "k0, k1, k2, .* no such options"),
        ("\n".join(f"k{i} = 1" for i in range(20_000)), "at most 16384 are read"),
        ("a" + ".a" * 8000 + " = 1", "nested too deeply"),
        ("learning_rat = 1", "the nearest to the first are learning-rate, "),
        ("mesh = 1", "mesh: no such options"),
        ('"a\\nb" = 1', r"'a\\nb': no such options"),
        ("[mesh]\nroads = 1", "mesh.roads: no such options"),
        ("[mesh]", "mesh: no such options"),
        ("[nonsense]", "nonsense: no such options"),
        ("batch-size = 1\nbatch_size = 2", "an option twice"),
        ("'mesh.data' = 3\n[mesh]\ndata = 1", "gives mesh.data twice"),
        ("seed = ['5', '-h']", "begins like an option"),
        ('config = "other.toml"', "cannot ask for another"),
        ('workdir = ""', "`--workdir` is ''"),
        ('workdir = "a\\u0000"', "none that cannot be printed"),
        ('workdir = "--overwrite"', "begins like an option"),
        ("rate = nan", "`rate` is nan"),
        ("seed = 0x" + "f" * 9000, "is no TOML file of options"),
        ("rate = ", "is no TOML file of options"),
    ],
    ids=lambda value: value[:20],
)
def test_a_file_that_makes_no_sense(text, message, write):
    start = time.monotonic()
    with pytest.raises(InvalidValue, match=message):
        parse(*write(text))
    assert time.monotonic() - start < 5


def test_a_source_alone_is_no_part_of_what_a_run_is():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Own(config.RunConfig):
        data: str = "raw"
        found: sources.Mnist = dataclasses.field(default_factory=sources.Mnist)

    assert config.identity(Own(data="half")) == {"seed": 0, "data": "half"}


def test_the_home_of_the_user_is_known(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert parse("--workdir", "~/x").workdir == pathlib.Path("/home/me/x")
    with pytest.raises(InvalidValue, match=r"`--workdir` is .*no such user"):
        parse("--workdir", "~nobody_at_all/x")


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset"], "Missing value for argument '--preset'. Expected 1 values"),
        (["--preset", "--seed", 3], "Missing value for argument '--preset'. "),
        (["--preset", "big"], r"invalid choice 'big' .* one of \(.*'small'"),
        (["--batch-size", "x"], "Error parsing --batch-size: .*'x'"),
        (["--layers", 784, "ten"], r"parse for arguments: \['784', 'ten'\]"),
        (["extra"], "Unrecognized options: extra"),
    ],
)
def test_what_tyro_finds_is_one_line(arguments, message, encoding, monkeypatch, capsys):
    """Without the box and the colours that it has on a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Terminal(io.BytesIO(), encoding))
    with pytest.raises(InvalidValue, match=message) as refused:
        parse(*arguments)
    assert re.search("; --help explains all options.$", str(refused.value))
    assert str(refused.value).isprintable()
    assert capsys.readouterr().err == ""


def test_a_table_without_a_value_is_not_written(write):
    @dataclasses.dataclass(frozen=True)
    class Nothing:
        found: pathlib.Path | None = None

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Own(config.RunConfig):
        data: Nothing = dataclasses.field(default_factory=Nothing)

    text = config.as_toml(Own())
    assert "data" not in text
    config.parse(Own, "mine", list(map(str, write(text))))


def test_a_pipe_in_place_of_a_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "config.toml")
    with pytest.raises(InvalidValue, match="is a folder, a pipe or a device"):
        parse("--config", tmp_path / "config.toml")


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.parent.name)
def test_every_number_of_a_program_has_a_range(file):
    asked = config.parse(config_class_of(file.parent.name), "any", [])
    for name, (_, hint) in ranges.flat_fields(asked).items():
        is_number = bool(re.search(r"\b(int|float)\b", str(hint)))
        assert bool(ranges.range_of(hint)) == is_number, name


def test_a_range_holds_its_ends_unless_it_is_open():
    assert 1 in ranges.Range(0, 1)
    assert 1 not in ranges.Range(0, 1, is_open=True)
    assert float("nan") not in ranges.Range(0, 1)
