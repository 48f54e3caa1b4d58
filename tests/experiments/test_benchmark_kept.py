"""A benchmark that ends before its results keeps what it had measured."""

import json

import pytest

from jboltz.experiments import _benchmark_annealing as annealing
from jboltz.experiments import _benchmark_finetune as finetune
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments import benchmark


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Of two short tasks."""
    monkeypatch.setattr(timing, "PAUSE", 0.0)
    monkeypatch.setattr(annealing, "RUNGS", 4)
    monkeypatch.setattr(finetune, "UPDATES", 2)
    sizes = ["--data.source", "embedded", "--num-examples", "128", "--num-hidden", "16"]
    return [
        *("--workdir", str(tmp_path), "--tasks", "ais", "finetune"),
        *("--repetitions", "1", *sizes),
    ]


def test_what_was_measured_before_a_failure_is_not_measured_again(
    command, tmp_path, monkeypatch
):
    measure, calls = annealing.measure, []

    def counted(*arguments, **options):
        calls.append(1)
        return measure(*arguments, **options)

    def broken(*_, **__):
        raise RuntimeError("the machine went to sleep")

    monkeypatch.setattr(annealing, "measure", counted)
    with monkeypatch.context() as context:
        context.setattr(finetune, "measure", broken)
        with pytest.raises(RuntimeError, match="to sleep"):
            benchmark.main(command)
    kept = json.loads((tmp_path / "parts" / "ais.json").read_text())
    benchmark.main(command)
    assert calls == [1]
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["ais"] == kept
    assert results["finetune"]["contestants"].keys() == {"jboltz", "products"}


def test_a_damaged_part_is_named(command, tmp_path, capsys):
    benchmark.main(command)
    part = tmp_path / "parts" / "ais.json"
    part.write_text("{")
    (tmp_path / "results.json").unlink()
    with pytest.raises(SystemExit, match="2"):
        benchmark.main(command)
    assert f"{part} is damaged" in capsys.readouterr().err
