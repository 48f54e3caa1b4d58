"""--help shows every option in its group, with its description and default."""

import dataclasses
import importlib
import re

import pytest

from jboltz.experiments.benchmark import __main__ as benchmark
from jboltz.ranges import flat_fields
from jboltz.runs import config, help
from tests.runs import toy
from tests.test_architecture import programs

CLASSES = {
    name: importlib.import_module(f"jboltz.experiments.{name}").Config
    for name in sorted({*programs()} - {"benchmark"})
}
CLASSES["benchmark"] = benchmark.Config


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", CLASSES)
def test_help_is_short_grouped_and_wrapped(name):
    text = help.text(CLASSES[name](), f"python -m jboltz.experiments.{name}")
    lines = text.splitlines()
    assert len(lines) <= (110 if name == "benchmark" else 100)
    assert max(map(len, lines)) < 80
    titles = [line[:-1] for line in lines if re.fullmatch(r"[a-z]+:", line)]
    groups = ["model", "training", "data", "devices", "evaluation", "output"]
    for title in titles:
        assert title in (*groups, "settings", "measurements")
    if name == "dbn_mnist":
        assert titles == [*groups[:4], "output", "settings"]


@pytest.mark.parametrize("name", CLASSES)
def test_every_option_is_shown_once_and_described(name):
    asked = CLASSES[name]()
    text = help.text(asked, "")
    said = help.descriptions(asked)
    for field in flat_fields(asked):
        flag = rf"^  --{re.escape(field.replace('_', '-'))}(?=[ ,]|$)"
        assert len(re.findall(flag, text, re.MULTILINE)) == 1, field
        assert said[field], field


@pytest.mark.parametrize("name", CLASSES)
def test_a_group_names_fields_and_each_field_is_in_one(name):
    grouped = [x for fields in help.groups(CLASSES[name]).values() for x in fields]
    assert len(grouped) == len(set(grouped))
    fields = {field.name for field in dataclasses.fields(CLASSES[name])}
    assert {*grouped} - fields <= {"mesh", "distributed"}


def test_a_program_of_ones_own_has_help_without_groups(capsys):
    with pytest.raises(SystemExit) as stop:
        config.parse(toy.Config, "toy", ["--help"])
    assert not stop.value.code
    assert "\ntraining:\n" in capsys.readouterr().out
