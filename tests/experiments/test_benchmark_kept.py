"""A benchmark that ends before its results keeps what it had measured."""

import json

import pytest

from jboltz.experiments.benchmark import __main__ as benchmark
from jboltz.experiments.benchmark import contest, deep, sampling
from jboltz.runs import program


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Of two short tasks."""
    monkeypatch.setattr(contest, "BATCH_SECONDS", 0.0)
    sizes = "--sizes.num-examples 128 --sizes.num-hidden 16 --sizes.tempering-chains 3 "
    sizes += "--sizes.tempering-steps 2 --sizes.dbm-layers 784 6 4 --sizes.dbm-sweeps 2"
    tasks = "--tasks tempering mean_field --repetitions 1 --sizes.num-posteriors 6 "
    tasks += "--sizes.large-batch 64 --data.source embedded --minutes 60"
    return ["--workdir", str(tmp_path), *sizes.split(), *tasks.split()]


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
    assert results["mean_field"]["contestants"].keys() >= {"jboltz", "products"}


def test_a_damaged_part_is_named_and_measured_anew(command, tmp_path, capsys):
    program.main(benchmark.PROGRAM, command)
    part = tmp_path / "parts" / "tempering.json"
    part.write_text("{")
    (tmp_path / "results.json").unlink()
    program.main(benchmark.PROGRAM, command)
    assert f"{part} changed since it was written" in capsys.readouterr().out
    assert json.loads(part.read_text())["contestants"]
