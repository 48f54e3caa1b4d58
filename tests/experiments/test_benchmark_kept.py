"""A benchmark that ends before its results keeps what it had measured."""

import json

import pytest

from jboltz.experiments.benchmark import __main__ as benchmark
from jboltz.experiments.benchmark import contest, deep, sampling
from jboltz.runs import program


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Of two short tasks."""
    monkeypatch.setattr(contest, "PAUSE", 0.0)
    monkeypatch.setattr(sampling, "TEMPERING_CHAINS", 3)
    monkeypatch.setattr(sampling, "TEMPERING_STEPS", 2)
    monkeypatch.setattr(deep, "DBM_LAYERS", (784, 6, 4))
    monkeypatch.setattr(deep, "NUM_POSTERIORS", 6)
    monkeypatch.setattr(deep, "SWEEPS", 2)
    sizes = ["--data.source", "embedded", "--num-examples", "128", "--num-hidden", "16"]
    return [
        "--workdir",
        str(tmp_path),
        "--tasks",
        "tempering",
        "mean_field",
        "--repetitions",
        "1",
        *sizes,
    ]


def test_what_was_measured_before_a_failure_is_not_measured_again(
    command, tmp_path, monkeypatch
):
    tempering, calls = sampling.tempering, []

    def counted(*arguments, **options):
        calls.append(1)
        return tempering(*arguments, **options)

    def broken(*_, **__):
        raise RuntimeError("the machine went to sleep")

    monkeypatch.setattr(sampling, "tempering", counted)
    with monkeypatch.context() as context:
        context.setattr(deep, "mean_field", broken)
        with pytest.raises(RuntimeError, match="to sleep"):
            program.main(benchmark.PROGRAM, command)
    kept = json.loads((tmp_path / "parts" / "tempering.json").read_text())
    program.main(benchmark.PROGRAM, command)
    assert calls == [1]
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["tempering"] == kept
    assert results["mean_field"]["contestants"].keys() == {"jboltz", "products"}


def test_a_damaged_part_is_named_and_measured_anew(command, tmp_path, capsys):
    program.main(benchmark.PROGRAM, command)
    part = tmp_path / "parts" / "tempering.json"
    part.write_text("{")
    (tmp_path / "results.json").unlink()
    program.main(benchmark.PROGRAM, command)
    assert f"{part} changed since it was written" in capsys.readouterr().out
    assert json.loads(part.read_text())["contestants"]
