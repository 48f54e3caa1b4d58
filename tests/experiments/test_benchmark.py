"""The benchmark, small: that it runs, and that what it compares with is honest."""

import importlib
import json
import math
import os
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.experiments.benchmark import __main__ as benchmark
from jboltz.experiments.benchmark import (
    contest,
    peers,
    quiet,
    sampling,
    show,
    targets,
    training,
    worker,
    works,
)
from jboltz.runs import program

SMALL = ["--repetitions", "2", "--data.source", "embedded"]
for field, *values in (
    ("num-examples", 128),
    ("num-hidden", 16),
    ("num-chains", 32),
    ("num-sweeps", 3),
    ("large-batch", 64),
    ("small-model", 8),
    ("many-chains", 16),
    ("tempering-chains", 3),
    ("tempering-steps", 2),
    ("rungs", 4),
    ("dbm-layers", 784, 6, 4),
    ("dbm-updates", 2),
    ("dbm-sweeps", 2),
    ("num-posteriors", 6),
    ("net-updates", 2),
):
    SMALL += [f"--sizes.{field}", *map(str, values)]
EVERY_TASK = benchmark.Config().tasks


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    monkeypatch.setattr(contest, "BATCH_SECONDS", 0.0)


def file_of(package):
    """The file of a peer; skips the test if the package is not installed."""
    pytest.importorskip(package)
    return importlib.import_module(f"jboltz.experiments.benchmark.in_{package}")


# Of rbms, which is written in TorchScript.
torch_script = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture
def promotion():
    """thrml leaves it to NumPy's rules, which the tests of jboltz forbid."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [("cd_epoch", "gibbs"), EVERY_TASK], ids=len)
def test_smoke(tasks, tmp_path, capsys):
    program.main(
        benchmark.PROGRAM,
        ["--workdir", str(tmp_path), "--minutes", "60", "--tasks", *tasks, *SMALL],
    )
    results = json.loads((tmp_path / "results.json").read_text())
    training, sampling = results["cd_epoch"], results["gibbs"]
    assert (training["num_examples"], training["num_steps"]) == (128, 2)

    alone = {"jboltz", *peers.FLOORS}
    others = {
        "cd_epoch": {"torch", "torch_loader", "torch_notes", "rbms", "sklearn"},
        "pcd_epoch": {"torch", "rbms", "sklearn"},
        "dbn_epoch": {"torch_loader", "torch_notes"},
        "gibbs": {"threefry_13", "torch", "rbms", "sklearn", "thrml"},
    }
    others["cd_epoch_large_batch"] = others["cd_epoch"]
    others["gibbs_small_model"] = others["gibbs"]
    held = [name for name in tasks if name != "start"]
    for name in held:
        task = results[name]
        expected = filter(peers.takes_part, alone | others.get(name, set()))
        # PyTorch compiles only where there is a compiler.
        assert task["contestants"].keys() - {"torch_compiled"} == set(expected)
        ours = task["contestants"]["jboltz"]["seconds"]["values"]
        for record in task["contestants"].values():
            seconds, ratio = record["seconds"], record["time_over_jboltz"]
            assert len(seconds["values"]) == 2
            assert min(seconds["values"]) > 0
            assert record["first_seconds"] > 0
            assert ratio["values"] == pytest.approx(np.array(seconds["values"]) / ours)
            low, high = ratio["interval"]
            assert low <= ratio["geometric_mean"] <= high
            assert record["check"]["value"] <= record["check"]["limit"]
            assert record["warm_up"]
        assert task["contestants"]["jboltz"]["compile_seconds"] > 0
    check_rates(training, "connections", 784 * 16 * 128)
    check_rates(sampling, "unit_flips", (784 + 16) * 32 * 3)
    check_rates(sampling, "connections", 2 * 784 * 16 * 32 * 3)

    products = sampling["contestants"]["products"]["time_over_jboltz"]["median"]
    target = results["targets"]["Gibbs, 500 hidden: share of the products' rate"]
    expected = {"value": products, "at_least": 0.7, "is_met": products >= 0.7}
    assert target == pytest.approx(expected)
    if tasks == EVERY_TASK:
        assert results["fixed_cost"]["num_steps"] == 1
        assert results["start"]["cold_seconds"] > 0
    assert results["peers"] == peers.installed()
    assert (tmp_path / "figures" / "benchmark.png").stat().st_size > 1000

    out = capsys.readouterr().out
    for name in held:
        assert results[name]["title"] in out
    for package, reason in peers.left_out().items():
        assert f"{package} {reason}: it is left out." in out
    assert max(len(line) for line in out.splitlines() if "─" in line) <= 80


def check_rates(task, name, amount):
    for record in task["contestants"].values():
        expected = amount / record["seconds"]["median"]
        assert record[f"{name}_per_second"] == pytest.approx(expected)


def test_a_sweep_leaves_out_what_is_over_its_budget_and_says_so(tmp_path, capsys):
    sizes = ("--sweep.num-hidden", "5", "--sweep.batch-sizes", "64")
    sizes += ("--sweep.num-chains", "3", "1000000", "--sweep.seconds", "1e-6")
    sizes += ("--sweep.budget", "0.02")
    arguments = ("--preset", "sweep", *SMALL, *sizes)
    program.main(benchmark.PROGRAM, ["--workdir", str(tmp_path), *arguments])
    results = json.loads((tmp_path / "results.json").read_text())
    sweep = results["sweep"]
    rows = {k: [r["num_rows"] for r in v] for k, v in sweep["tasks"].items()}
    assert rows == {"CD-1": [64], "PCD-1": [64], "Gibbs": [3]}
    for records in sweep["tasks"].values():
        for record in records:
            amount = 784 * 5 * record["num_rows"] * record["parts"]
            ways = 2 if records is sweep["tasks"]["Gibbs"] else 1
            check_rates(record, "connections", ways * amount)
    (line,) = sweep["left_out"]
    assert line.startswith("Gibbs, 5 hidden units × 1000000 rows")
    out = capsys.readouterr().out
    assert f"left out: {line}" in out
    assert "cd_epoch" not in results
    assert (tmp_path / "figures" / "sweep.png").stat().st_size > 1000
    assert not (tmp_path / "figures" / "benchmark.png").exists()


def test_where_pytorch_cannot_compile_it_is_left_out(monkeypatch, capsys):
    in_torch = file_of("torch")

    def compiled(function):
        def call(*arguments):
            raise RuntimeError("no compiler found\nwith a trace")

        return call

    monkeypatch.setattr(in_torch.torch, "compile", compiled)
    assert not in_torch.can_compile.__wrapped__()
    expected = "torch.compile does not run here and is left out: no compiler found\n"
    assert expected in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_compiled_by_pytorch(getkey):
    in_torch = file_of("torch")
    if not in_torch.can_compile():
        pytest.skip("torch.compile does not run here")
    machine, images = machine_and_images(getkey, 20)
    job = works.Job(arrays=machine, rows=images, size=8, seed=0)
    found, expected = (
        in_torch.cd(job, rbm_class)()
        for rbm_class in (in_torch.CompiledRBM, in_torch.RBM)
    )
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=0.02)


@torch_script
@pytest.mark.parametrize("package", ["torch", "rbms"])
def test_a_peer_learns_by_the_gradient(package, getkey):
    """An epoch of one batch, without weights: no draw meets what is expected."""
    peer = file_of(package)
    (weights, visible_bias, hidden_bias), images = machine_and_images(getkey, 4000)
    machine, binary = (0 * weights, visible_bias, hidden_bias), np.round(images)
    p_v, p_h = jax.nn.sigmoid(visible_bias), jax.nn.sigmoid(hidden_bias)
    expected = jnp.outer(jnp.mean(binary, axis=0) - p_v, p_h)
    job = works.Job(arrays=machine, rows=binary, size=len(binary), seed=0)
    for train in (peer.cd, peer.pcd):
        found, _, _ = train(job)()
        gradient = np.asarray(found) / peers.LEARNING_RATE
        # Of the visible means, and for rbms' PCD of where its chains start.
        np.testing.assert_allclose(gradient, expected, atol=5 / np.sqrt(len(binary)))


def test_thrml_samples_the_machine(getkey, promotion):
    in_thrml = file_of("thrml")
    machine, images = machine_and_images(getkey, 2000)
    starts = np.round(images)
    job = works.Job(arrays=machine, rows=starts, size=1, seed=0)
    theirs = in_thrml.gibbs(job)()
    sampler = jboltz.Gibbs(jboltz.RBM(jboltz.Bernoulli(9), jboltz.Bernoulli(4)))
    params, inputs = (
        works.as_params((machine[0], machine[1], machine[2])),
        works.Inputs(rows=starts, seed=0),
    )
    ours = sampling.chains_of(sampler, params, starts, inputs, num_steps=1)()
    check = sampling.same_means(theirs, ours)
    contest.require_same_work("Gibbs", "thrml", check)


def machine_and_images(getkey, num_images):
    weights = jax.random.normal(getkey(), (9, 4))
    biases = (jax.random.normal(getkey(), (size,)) for size in weights.shape)
    images = jax.random.uniform(getkey(), (num_images, 9))
    return (weights, *biases), np.array(images)


def test_rounds_take_turns():
    calls, names = [], ("jboltz", "products", "torch")
    turns = {name: lambda name=name: calls.append(name) or 1.0 for name in names}
    seconds, _ = contest.take_turns("task", turns, 4, seed=0, end=math.inf)
    assert [len(x) for x in seconds.values()] == [4, 4, 4]
    turns = {tuple(calls[i : i + 3]) for i in range(0, 12, 3)}
    assert len(turns) > 1
    assert all(set(turn) == set(names) for turn in turns)


def test_no_round_but_three_begins_when_the_time_is_over():
    seconds, _ = contest.take_turns(
        "task", {"jboltz": lambda: 1.0}, 9, seed=0, end=-math.inf
    )
    assert len(seconds["jboltz"]) == contest.FEWEST_ROUNDS


def test_the_interval_of_a_ratio_holds_it_95_times_in_100():
    rng = np.random.default_rng(0)
    disturbed = np.exp(rng.normal(size=(2000, 5, 1)))  # Both in a round.
    noise = np.exp(0.1 * rng.normal(size=(2000, 5, 2)))
    seconds = noise * disturbed * [1.0, 1.5]
    hits = 0
    for ours, theirs in seconds.transpose(0, 2, 1):
        low, high = contest.ratio(theirs.tolist(), ours.tolist())["interval"]
        hits += low <= 1.5 <= high
    assert abs(hits / 2000 - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 2000)
    assert contest.ratio([2.0], [1.0])["interval"] is None


def test_a_round_that_others_disturb_is_said():
    observer = quiet.Observer()
    observer.loads, observer.clocks = [0.0, 0.2, 0.0], [100.0, 100.0, 80.0]
    assert observer.disturbed() == [
        "round 2: others took 20% of the cores",
        "round 3: the clock was 80% of the usual",
    ]


@pytest.mark.slow
def test_an_unknown_flag_of_xla_is_named(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_no_such_flag=1")
    with pytest.raises(ValueError, match="not know --xla_cpu_no_such_flag"):
        quiet.require_known_flags()


def test_a_peer_of_another_version_is_named(monkeypatch):
    versions = {"torch": "2.9", "scikit-learn": "0.9", "rbms": None, "thrml": "0.1.4"}
    monkeypatch.setattr(peers, "installed", lambda: versions)
    assert peers.left_out() == {
        "scikit-learn": "is of version 0.9, where 1.* is needed",
        "rbms": "is not installed",
    }
    assert peers.takes_part("torch_loader")
    assert not peers.takes_part("sklearn")


def test_records_are_named_by_the_family_of_processors():
    name = show.record_name("Intel(R) Xeon(R) Processor, cpu family 6, model 207")
    assert name == "results-intel-xeon-processor-cpu-family-6-model-207.json"


def test_times_that_stand_end_the_warm_up(monkeypatch):
    seconds = iter([9.0, 1.0, 0.5, 0.5, 0.51, 0.5])
    monkeypatch.setattr(worker, "MOST_SECONDS", 100.0)
    monkeypatch.setattr(worker, "_seconds", lambda work, calls: next(seconds))
    assert worker.warm_up(lambda: ()) == [9.0, 1.0, 0.5, 0.5, 0.51]
    assert worker.calls_for(1.2, [9.0, 0.5]) == 3


def test_a_contestant_that_samples_something_else_is_not_timed():
    rng = np.random.default_rng(0)
    ours = (rng.random((200, 6)) < 0.5).astype(np.float32)
    same = (rng.random((200, 6)) < 0.5).astype(np.float32)
    frozen = np.zeros((200, 6), np.float32)
    fair = sampling.same_means((same,), (ours,))
    contest.require_same_work("Gibbs", "torch", fair)
    unfair = sampling.same_means((frozen,), (ours,))
    with pytest.raises(ValueError, match="PyTorch does not do jboltz's work"):
        contest.require_same_work("Gibbs", "torch", unfair)
    not_finite = {"what": "x", "value": float("nan"), "limit": 1.0}
    with pytest.raises(ValueError, match="PyTorch"):
        contest.require_same_work("CD-1", "torch", not_finite)


def test_a_contestant_that_learns_something_else_is_not_timed(getkey):
    model = jboltz.RBM(jboltz.Bernoulli(9), jboltz.Bernoulli(4))
    weights, visible_bias, hidden_bias = works.as_arrays(model.init(getkey()))
    images = np.asarray(jax.random.bernoulli(getkey(), 0.2, (20, 9)), np.float32)
    ours = (weights, visible_bias - 1, hidden_bias)
    theirs = (weights, visible_bias, hidden_bias)
    check = training.same_errors(jboltz.DBN((model,)), images)
    contest.require_same_work("CD-1", "torch", check("torch", ours, ours))
    with pytest.raises(ValueError, match="CD-1: PyTorch"):
        contest.require_same_work("CD-1", "torch", check("torch", theirs, ours))


def result(value) -> worker.Work:
    return lambda: (np.array(value),)


def broken_build(text) -> worker.Work | None:
    raise RuntimeError(f"invalid literal {text}")


def compare(contestant, outcome, ours):
    return {"what": "distance", "value": abs(outcome[0] - ours[0]), "limit": 0.5}


@pytest.mark.slow
def test_a_contest_is_not_held_where_one_does_something_else():
    contestants = {
        "jboltz": partial(result, 1.0),
        "sklearn": type(None),  # It cannot take part.
        "threefry_13": partial(result, 2.0),
    }
    fair = contest.Contest(
        "title: size", {}, contestants, fractions={"threefry_13": 2.0}
    )
    found = contest.hold(fair, 2, seed=0, seconds=0.0)
    assert found["contestants"].keys() == {"jboltz", "threefry_13"}
    assert found["contestants"]["jboltz"]["affinity"] is None or os.cpu_count()
    unfair = contest.Contest("title: size", {}, contestants, compare)
    with pytest.raises(ValueError, match="title: jboltz, THREEFRY_13 does not do"):
        contest.hold(unfair, 2, seed=0, seconds=0.0)
    broken = contest.Contest("title: size", {}, {"jboltz": partial(broken_build, "x")})
    with pytest.raises(ChildProcessError, match="invalid literal"):
        contest.hold(broken, 2, seed=0, seconds=0.0)


def test_recorded_results_are_compared_with_the_targets():
    recorded = json.loads((targets.FILE.parent / "results.json").read_text())
    found = targets.compare(benchmark.measured(recorded))
    # Targets that came later are not in the record.
    assert recorded["targets"].items() <= found.items()
    lines = list(targets.describe(recorded["targets"]))
    assert "Start, seconds 3.92, at most 8.00: met" in lines
    assert len(lines) == len(recorded["targets"])


def test_an_installed_package_has_no_targets(monkeypatch):
    library = pathlib.Path(jboltz.__file__).parent
    assert library not in targets.FILE.parents
    monkeypatch.setattr(targets, "FILE", targets.FILE / "missing")
    assert targets.compare({}) == {}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--repetitions", "0"), "`repetitions` is 0 but it needs to be at least 1"),
        (("--seed", str(2**32)), "below 4294967296"),
        (("--sizes.num-examples", "100"), "512 images a batch, but an epoch has 100"),
        (("--sweep.num-chains", "0"), "`sweep.num_chains` is (0,) but every number"),
        (("--sweep.budget", "0"), "`sweep.budget` is 0.0 but it needs to be"),
        (("--minutes", "0"), "`minutes` is 0.0 but it needs to be"),
    ],
)
def test_what_cannot_be_run_is_refused(flags, message, tmp_path, capsys):
    workdir = tmp_path / "run"
    with pytest.raises(SystemExit) as stopped:
        program.main(
            benchmark.PROGRAM,
            ["--workdir", str(workdir), "--data.source", "embedded", *flags],
        )
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not workdir.exists()
