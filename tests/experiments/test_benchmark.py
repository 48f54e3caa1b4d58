"""The benchmark, small: that it runs, and what it writes down."""

import json
from typing import get_args

import numpy as np
import pytest

from jboltz.experiments.benchmark import __main__ as benchmark
from jboltz.experiments.benchmark import contest, peers, start, targets, tasks, worker
from jboltz.runs import program

SMALL = ["--repetitions", "2", "--data.source", "embedded"]
for field, *values in (
    ("num-examples", 512),
    ("num-hidden", 16),
    ("num-chains", 64),
    ("num-sweeps", 3),
    ("large-batch", 256),
    ("small-model", 8),
    ("many-chains", 48),
    ("tempering-chains", 3),
    ("tempering-steps", 2),
    ("rungs", 4),
    ("dbn-layers", 784, 8, 4),
    ("dbm-layers", 784, 6, 4),
    ("dbm-updates", 2),
    ("dbm-sweeps", 2),
    ("num-posteriors", 6),
    ("net-layers", 784, 8, 6, 10),
    ("net-updates", 2),
):
    SMALL += [f"--sizes.{field}", *map(str, values)]


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    monkeypatch.setattr(contest, "BATCH_SECONDS", 0.0)
    monkeypatch.setattr(contest, "PAUSE_SECONDS", 0.0)


def run(folder, *arguments):
    workdir = ["--workdir", str(folder)]
    program.main(benchmark.PROGRAM, [*workdir, *SMALL, *arguments])
    return json.loads((folder / "results.json").read_text())


def test_every_contest_can_be_asked_for():
    names = get_args(benchmark.TaskName)
    assert {*names} == {*tasks.TASKS, "start", "sweep"}
    assert benchmark.Config().tasks == names[:-1]
    for task in tasks.TASKS.values():
        assert {*task.contestants} < {*peers.LABELS}
        assert next(iter(task.contestants)) == "jboltz"


@pytest.mark.slow
def test_every_contest_is_held(tmp_path, capsys, monkeypatch):
    # Another test compiles by PyTorch, which takes its time.
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    results = run(tmp_path, "--minutes", "60", "--tasks", *tasks.TASKS)
    assert results["tasks_left_out"] == []
    for name, task in tasks.TASKS.items():
        expected = filter(peers.takes_part, [*task.contestants, *peers.FLOORS])
        record = results[name]
        # PyTorch compiles only where there is a compiler.
        expected = {*expected} - {"torch_compiled"}
        assert record["contestants"].keys() - {"torch_compiled"} == expected
        ours = record["contestants"]["jboltz"]["seconds"]["values"]
        for one in record["contestants"].values():
            seconds, ratio = one["seconds"], one["time_over_jboltz"]
            assert len(seconds["values"]) == 2
            assert min(seconds["values"]) > 0
            assert ratio["values"] == pytest.approx(np.array(seconds["values"]) / ours)
            assert ratio["interval"] is None  # of two rounds
            assert one["check"]["value"] <= one["check"]["limit"]
            assert {*one} >= {"affinity", "thread_pools", "flushes_denormals"}
            a_step = 1e3 * seconds["median"] / record["num_steps"]
            assert one["milliseconds_a_step"] == pytest.approx(a_step)
            assert 2 <= len(one["warm_up"]) <= worker.MOST_CALLS
    assert results["cd_epoch"]["title"] == "CD-1, 784–16, batch 64: 512 images"
    assert results["cd_epoch"]["contestants"]["jboltz"]["compile_seconds"] > 0
    assert results["fixed_cost"]["num_steps"] == 1
    assert {*results["settings"]} >= {"instruction_sets", "openmp"}
    assert results["targets"] == {}  # They are those of the default sizes.
    out = capsys.readouterr().out
    for name in tasks.TASKS:
        assert results[name]["title"] in out
    for package, reason in peers.left_out().items():
        assert f"{package} {reason}: it is left out." in out
    assert max(len(line) for line in out.splitlines() if "─" in line) <= 80


@pytest.mark.slow
def test_starts_of_the_main_job_are_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(start, "ROUNDS", 1)
    results = run(tmp_path, "--tasks", "start")
    cold, warm = (results["start"]["starts"][k]["median"] for k in ("cold", "warm"))
    found = targets.compare({"start": results["start"]}, "any")
    target = found["First epoch of the main job, seconds"]
    assert target == {"value": warm, "at_most": 2.5, "is_met": warm <= 2.5}
    assert f"cold {cold:.2f} s, warm {warm:.2f} s" in capsys.readouterr().out


@pytest.mark.slow
def test_a_sweep_measures_every_size(tmp_path):
    sizes = ("--sweep.num-hidden", "5", "--sweep.batch-sizes", "64")
    sizes += ("--sweep.num-chains", "3", "7", "--sweep.megaflops", "1")
    results = run(tmp_path, "--preset", "sweep", *sizes)
    sweep = results["sweep"]["tasks"]
    rows = {name: [x["num_rows"] for x in records] for name, records in sweep.items()}
    assert rows == {"CD-1": [64], "PCD-1": [64], "Gibbs": [3, 7]}
    (training,), (sampling, _) = sweep["CD-1"], sweep["Gibbs"]
    for record, amount in ((training, 784 * 5 * 64), (sampling, 2 * 784 * 5 * 3)):
        seconds = record["contestants"]["jboltz"]["milliseconds_a_step"] / 1e3
        assert record["connections_per_second"] == pytest.approx(amount / seconds)
    # Two products of 2 × 784 × 5 × 3 operations a sweep, in a million.
    assert sampling["num_steps"] == 21
    assert "cd_epoch" not in results
    assert (tmp_path / "figures" / "sweep.png").stat().st_size > 1000


@pytest.mark.slow
def test_what_was_measured_before_a_failure_is_kept(tmp_path, monkeypatch, capsys):
    hold, held = contest.hold, []

    def once(one, *arguments):
        if held:
            raise RuntimeError("the machine went to sleep")
        held.append(one.title)
        return hold(one, *arguments)

    flags = ("--tasks", "fixed_cost", "tempering", "ais")
    monkeypatch.setattr(contest, "hold", once)
    with pytest.raises(RuntimeError, match="to sleep"):
        run(tmp_path, *flags)
    part = tmp_path / "parts" / "ais.json"
    kept = json.loads(part.read_text())
    monkeypatch.setattr(contest, "hold", hold)
    results = run(tmp_path, *flags)
    assert results["ais"] == kept
    assert results["tempering"]["contestants"].keys() >= {"jboltz", "products"}

    part.write_text("{")
    (tmp_path / "results.json").unlink()
    run(tmp_path, *flags)
    assert f"{part} changed since it was written" in capsys.readouterr().out
    assert json.loads(part.read_text())["contestants"]


def test_tasks_for_which_there_is_no_time_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "Processes", NoProcesses)
    monkeypatch.setattr(benchmark.quiet, "require_known_flags", lambda: None)
    monkeypatch.setattr(contest, "hold", lambda *_: NoProcesses.wait())
    results = run(tmp_path, "--tasks", "cd_epoch", "dbn_epoch", "--minutes", "0.01")
    assert results["cd_epoch"] == {"title": "the first"}
    assert results["tasks_left_out"] == ["dbn_epoch"]
    assert (
        "dbn_epoch is left out: the 0.01 minutes are over." in capsys.readouterr().out
    )


class NoProcesses(worker.Processes):
    """There are none, and the contest takes longer than there is time."""

    def __init__(self, names):
        super().__init__(())

    @staticmethod
    def wait():
        benchmark.time.sleep(0.7)
        return {"title": "the first"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--repetitions", "0"), "`repetitions` is 0 but it needs to be at least 1"),
        (("--seed", str(2**32)), "below 4294967296"),
        (("--sizes.num-examples", "100"), "256 images a batch, but an epoch has 100"),
        (("--sizes.dbm-layers", "100", "9", "9"), "`sizes.dbm_layers` is (100, 9, 9)"),
        (("--sizes.net-layers", "784", "9"), "three layers or more"),
        (("--sweep.num-chains", "0"), "`sweep.num_chains` is (0,) but every number"),
        (("--sweep.megaflops", "0"), "`sweep.megaflops` is 0 but it needs to be"),
        (("--minutes", "0"), "`minutes` is 0.0 but it needs to be"),
    ],
)
def test_what_cannot_be_run_is_refused(flags, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark.quiet, "require_known_flags", lambda: None)
    workdir = tmp_path / "run"
    with pytest.raises(SystemExit) as stopped:
        run(workdir, *flags)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not workdir.exists()
