"""Configurations: what all programs share, and what earlier runs recorded."""

import dataclasses
import importlib
import pathlib
import tomllib
from typing import ClassVar

import pytest

from jboltz.runs import config

RECORDED = sorted(pathlib.Path(__file__).parents[2].glob("experiments/*/config.toml"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.TrainingConfig):
    """A program's own."""

    PRESETS: ClassVar = {"small": {"batch_size": 7, "rate": 0.5}}

    batch_size: int = 64
    rate: float = 0.1
    """Step size."""


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.parent.name)
def test_what_a_run_recorded_is_read_back(file):
    name = file.parent.name
    module = f"jboltz.experiments.{name}"
    if name == "benchmark":  # a package
        module += ".__main__"
    config_class = importlib.import_module(module).Config
    found = config.parse(config_class, name, ["--config", str(file)])
    recorded = tomllib.loads(file.read_text())
    assert found.preset == recorded.pop("preset", None)
    assert found.overwrite == recorded.pop("overwrite")
    read = tomllib.loads(config.as_toml(config.as_json(found)))
    # Fields that came later have their default.
    assert recorded.items() <= read.items()


def test_shared_fields_are_flags_like_any_other():
    found = config.parse(Config, "mine", "--mesh.data 2 --seed 3 --rate 1".split())
    assert found == Config(
        workdir=pathlib.Path("runs/mine"), mesh=config.Mesh(data=2), seed=3, rate=1.0
    )
    recorded = config.as_json(found)
    assert recorded["workdir"] == "runs/mine"
    assert recorded["batch_size"] == 64
    assert "workdir" not in config.identity(found)


def test_flags_win_over_a_file_and_a_file_over_a_preset(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("rate = 0.25\n[mesh]\nmodel = 2\n")
    flags = ["--preset", "small", "--config", str(file), "--mesh.model", "4"]
    found = config.parse(Config, "mine", flags)
    assert (found.batch_size, found.rate, found.mesh.model) == (7, 0.25, 4)


def test_a_new_default_keeps_the_description(capsys):
    with pytest.raises(SystemExit):
        config.parse(Config, "mine", ["--help"])
    help_of = capsys.readouterr().out
    assert "Examples an update" in help_of
    assert "(default: 64)" in help_of
