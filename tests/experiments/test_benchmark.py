"""The benchmark, small: that it runs, and that what it compares with is honest."""

import importlib
import json
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
    deep,
    peers,
    sampling,
    targets,
    training,
    works,
)
from jboltz.runs import program

SMALL = ("--num-examples", "128", "--num-hidden", "16", "--num-chains", "32")
SMALL += ("--num-sweeps", "3", "--repetitions", "2", "--data.source", "embedded")
EVERY_TASK = benchmark.Config().tasks


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(contest, "PAUSE", 0.0)


@pytest.fixture
def small_tasks(monkeypatch):
    for module, name, value in (
        (benchmark, "LARGE_BATCH", 64),
        (benchmark, "SMALL_MODEL", 8),
        (benchmark, "MANY_CHAINS", 16),
        (sampling, "TEMPERING_CHAINS", 3),
        (sampling, "TEMPERING_STEPS", 2),
        (deep, "DBM_UPDATES", 2),
        (deep, "NUM_POSTERIORS", 6),
        (deep, "SWEEPS", 2),
        (sampling, "RUNGS", 4),
        (deep, "NET_UPDATES", 2),
    ):
        monkeypatch.setattr(module, name, value)
    if peers.is_installed("torch"):
        # It takes many seconds; `test_compiled_by_pytorch` is slow.
        monkeypatch.setattr(file_of("torch"), "can_compile", lambda: False)


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


@torch_script
@pytest.mark.parametrize(
    "tasks",
    [("cd_epoch", "gibbs"), pytest.param(EVERY_TASK, marks=pytest.mark.slow)],
    ids=["training and sampling", "every task"],
)
def test_smoke(tasks, tmp_path, capsys, small_tasks, promotion):
    program.main(
        benchmark.PROGRAM, ["--workdir", str(tmp_path), "--tasks", *tasks, *SMALL]
    )
    results = json.loads((tmp_path / "results.json").read_text())
    training, sampling = results["cd_epoch"], results["gibbs"]
    assert (training["num_examples"], training["num_steps"]) == (128, 2)

    alone, installed = {"jboltz", "products"}, peers.installed()
    others = {"scikit-learn": "sklearn", "torch": "torch", "rbms": "rbms"}
    others = {name for package, name in others.items() if installed[package]}
    notes = {"torch_loader", "torch_notes"} if installed["torch"] else set()
    thrml = {"thrml"} if installed["thrml"] else set()
    contestants = {
        **dict.fromkeys(("cd_epoch", "cd_epoch_large_batch"), alone | others | notes),
        "pcd_epoch": alone | others,
        "dbn_epoch": alone | notes,
        **dict.fromkeys(
            ("gibbs", "gibbs_small_model"), alone | others | thrml | {"threefry_13"}
        ),
        **dict.fromkeys(("tempering", "dbm_step", "mean_field"), alone),
        **dict.fromkeys(("ais", "finetune"), alone),
    }
    for name in contestants.keys() & tasks:
        task = results[name]
        assert task["contestants"].keys() == contestants[name]
        ours = task["contestants"]["jboltz"]["seconds"]["values"]
        for record in task["contestants"].values():
            seconds, ratio = record["seconds"], record["time_over_jboltz"]
            assert len(seconds["values"]) == 2
            assert min(seconds["values"]) > 0
            assert record["first_seconds"] > 0
            expected = np.array(seconds["values"]) / ours
            np.testing.assert_allclose(ratio["values"], expected)
            assert ratio["median"] == pytest.approx(np.median(expected))
            assert record["check"]["value"] <= record["check"]["limit"]
    check_rates(training, "connections", 784 * 16 * 128)
    check_rates(sampling, "unit_flips", (784 + 16) * 32 * 3)
    check_rates(sampling, "connections", 2 * 784 * 16 * 32 * 3)

    products = sampling["contestants"]["products"]["time_over_jboltz"]["median"]
    target = results["targets"]["Gibbs, 500 hidden: share of the products' rate"]
    expected = {"value": products, "at_least": 0.7, "is_met": products >= 0.7}
    assert target == expected
    ours, products = (
        np.array(sampling["contestants"][k]["seconds"]["values"])
        for k in ("threefry_13", "products")
    )
    target = results["targets"]["Gibbs, 500 hidden: the same by THREEFRY_13"]
    assert target["value"] == pytest.approx(np.median(products / ours))
    if tasks == EVERY_TASK:
        check_the_others(results)
    assert results["peers"] == installed
    assert results["threads"]["cores"] == results["device"]["cpu_cores"]
    assert (tmp_path / "figures" / "benchmark.png").stat().st_size > 1000

    out = capsys.readouterr().out
    for name in contestants.keys() & tasks:
        assert results[name]["title"] in out
    for record in training["contestants"].values():
        assert record["label"] in out
    for package, version in results["peers"].items():
        is_left_out = f"{package} is not installed" in out
        assert is_left_out == (version is None)
    assert max(len(line) for line in out.splitlines() if "─" in line) <= 80


def check_the_others(results):
    """All but training and sampling."""
    assert results["cd_epoch_large_batch"]["batch_size"] == 64
    small = results["gibbs_small_model"]
    assert (small["num_hidden"], small["num_chains"]) == (8, 16)
    joint, ladders = results["dbm_step"], results["ais"]
    assert (joint["layers"], joint["updates"]) == ([784, 500, 1000], 2)
    assert (ladders["num_chains"], ladders["rungs"]) == (100, 4)
    assert results["finetune"]["layers"] == [784, 500, 500, 2000, 10]
    check_rates(results["tempering"], "unit_flips", (784 + 16) * 10 * 3 * 2)
    start = results["start"]
    assert len(start["warm_seconds"]["values"]) == 2
    imports = start["import_seconds"]["libraries"]["median"]
    assert 0 < imports < start["warm_seconds"]["median"]
    assert results["targets"]["Start, seconds"]["at_most"] == max(8, 2 * imports)


def check_rates(task, name, amount):
    for record in task["contestants"].values():
        expected = amount / record["seconds"]["median"]
        assert record[f"{name}_per_second"] == pytest.approx(expected)


def test_a_sweep_leaves_out_what_is_over_its_budget_and_says_so(tmp_path, capsys):
    sizes = ("--sweep.num-hidden", "5", "--sweep.batch-sizes", "64")
    sizes += ("--sweep.num-chains", "3", "1000000", "--sweep.seconds", "1e-6")
    sizes += ("--sweep.budget", "0.02")
    arguments = ("--preset", "sweep", *sizes, *SMALL)
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


def test_a_fraction_of_a_task_counts_as_all_of_it(monkeypatch):
    monkeypatch.setattr(contest, "timed", lambda work: (work(), 2.0))
    works = {"jboltz": lambda: (), "thrml": lambda: ()}
    seconds = contest.take_turns("Gibbs", works, 1, seed=0, fractions={"thrml": 0.01})
    assert seconds == {"jboltz": [2.0], "thrml": [200.0]}


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
    params = works.as_params(machine)
    ours = sampling.chains_of(sampler, params, starts, getkey(), num_steps=1)()
    check = sampling.same_means(theirs, ours)
    contest.require_same_work("Gibbs", "thrml", check)


def machine_and_images(getkey, num_images):
    weights = jax.random.normal(getkey(), (9, 4))
    biases = (jax.random.normal(getkey(), (size,)) for size in weights.shape)
    images = jax.random.uniform(getkey(), (num_images, 9))
    return (weights, *biases), np.array(images)


@pytest.mark.parametrize(
    ("run", "num_rows", "num_products"),
    [
        (lambda w, v: training.products(w, v, num_steps=7), 32, 5),
        (lambda w, v: sampling.products(w, v, num_sweeps=7), 32, 2),
    ],
    ids=["cd", "gibbs"],
)
def test_no_product_is_left_out(run, num_rows, num_products):
    """Nor by the compiler, whose count is that of one pass of the loop."""
    arguments = works.orthonormal((96, 64), num_rows)
    assert str(jax.make_jaxpr(run)(*arguments)).count("dot_general") == num_products
    compiled = jax.jit(run).lower(*arguments).compile()
    assert "while(" in compiled.as_text()
    flops = compiled.cost_analysis()["flops"]
    assert flops == pytest.approx(num_products * 2 * num_rows * 96 * 64, rel=0.01)


def test_no_product_of_a_joint_update_is_left_out():
    """Two up, 2 a mean-field sweep, 4 a Gibbs step, 4 outer ones; each loop once."""
    (W0, W1), (v, h) = works.orthonormal_layers((96, 64, 80), 32)
    run = partial(deep.dbm_products, updates=3)
    assert str(jax.make_jaxpr(run)(W0, W1, v, h)).count("dot_general") == 12
    compiled = jax.jit(run).lower(W0, W1, v, h).compile()
    flops = compiled.cost_analysis()["flops"]
    expected = 2 * 32 * 64 * (5 * 96 + 7 * 80)
    assert flops == pytest.approx(expected, rel=0.02)
    assert all(np.isfinite(x).all() for x in run(W0, W1, v, h))


def test_no_product_of_mean_field_is_left_out(monkeypatch):
    """One up from the data, two a sweep; the loop once."""
    monkeypatch.setattr(deep, "SWEEPS", 7)
    (W0, W1), (v, _) = works.orthonormal_layers((96, 64, 80), 32)
    compiled = jax.jit(deep.mean_field_products).lower(W0, W1, v).compile()
    flops = compiled.cost_analysis()["flops"]
    assert flops == pytest.approx(2 * 32 * 64 * (96 + 2 * 80), rel=0.02)


def test_no_product_of_pretraining_is_left_out():
    """Of the second layer one up from the data, and five of CD-1; the loop once."""
    weights, _ = works.orthonormal_layers((96, 64, 80))
    batches = jax.random.normal(jax.random.key(0), (3, 32, 96))
    run = partial(training.pretraining_products, layer=1)
    compiled = jax.jit(run).lower(weights, batches).compile()
    flops = compiled.cost_analysis()["flops"]
    assert flops == pytest.approx(2 * 32 * 64 * (96 + 5 * 80), rel=0.02)
    expected = training.products(weights[1], batches[-1] @ weights[0], num_steps=1)
    for x, y in zip(run(weights, batches), expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-3)


def test_no_product_of_fine_tuning_is_left_out():
    """Of each layer one up, one for its gradient, and one down but for the first."""
    weights, _ = works.orthonormal_layers((96, 64, 80, 10))
    batches = jax.random.normal(jax.random.key(0), (3, 32, 96))
    compiled = jax.jit(deep.net_products).lower(weights, batches).compile()
    flops = compiled.cost_analysis()["flops"]
    expected = 2 * 32 * (2 * 96 * 64 + 3 * 64 * 80 + 3 * 80 * 10)
    assert flops == pytest.approx(expected, rel=0.02)

    def score(weights):
        v = batches[-1]
        for W in weights:
            v = v @ W
        return jnp.sum(v**2) / 2

    found = deep.net_products(weights, batches)
    for x, y in zip(found, jax.grad(score)(weights), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-3)


def test_products_are_those_of_cd_and_stay_in_range():
    weights, v = (np.asarray(x) for x in works.orthonormal((12, 5), 8))
    once = training.products(jnp.asarray(weights), jnp.asarray(v), num_steps=1)
    h, v_k = v @ weights, v @ weights @ weights.T
    for found, expected in zip(
        once, (v_k, v.T @ h, v_k.T @ (v_k @ weights)), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    often = training.products(jnp.asarray(weights), jnp.asarray(v), num_steps=1000)
    np.testing.assert_allclose(often[0], v_k, atol=1e-2)
    swept, up = sampling.products(jnp.asarray(weights), jnp.asarray(v), num_sweeps=1)
    np.testing.assert_allclose(swept, v_k, atol=1e-5)
    np.testing.assert_allclose(up, h, atol=1e-5)


def test_rounds_take_turns():
    calls, names = [], ("jboltz", "products", "torch")
    works = {name: lambda name=name: (calls.append(name),) for name in names}
    seconds = contest.take_turns("task", works, 4, seed=0, fractions={})
    assert [len(x) for x in seconds.values()] == [4, 4, 4]
    turns = {tuple(calls[i : i + 3]) for i in range(0, 12, 3)}
    assert len(turns) > 1
    assert all(set(turn) == set(names) for turn in turns)


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


def test_a_contest_is_not_held_where_one_does_something_else():
    calls = []

    def check(contestant, outcome, ours):
        return {"what": "distance", "value": abs(outcome[0] - ours[0]), "limit": 0.5}

    def result(name, value):
        return lambda: lambda: (calls.append(name) or value,)

    contestants = {
        "jboltz": result("jboltz", 1.0),
        "torch_compiled": lambda: None,
        "threefry_13": result("threefry_13", 2.0),
    }
    fair = contest.Contest("title: size", {}, {"jboltz": contestants["jboltz"]}, check)
    assert contest.hold(fair, 2, seed=0)["contestants"].keys() == {"jboltz"}
    assert calls == ["jboltz"] * 3
    unfair = contest.Contest("title: size", {}, contestants, check)
    with pytest.raises(ValueError, match="title: jboltz, THREEFRY_13 does not do"):
        contest.hold(unfair, 2, seed=0)
    assert calls[3:] == ["jboltz", "threefry_13"]


def test_recorded_results_are_compared_with_the_targets():
    recorded = json.loads((targets.FILE.parent / "results.json").read_text())
    assert targets.compare(benchmark.measured(recorded)) == recorded["targets"]
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
        (("--num-examples", "20000"), "there are 10000 training images"),
        (("--num-examples", "100"), "of 512 images a batch, but an epoch has 100"),
        (("--sweep.num-chains", "0"), "`sweep.num_chains` is (0,) but every number"),
        (("--sweep.budget", "0"), "`sweep.budget` is 0.0 but it needs to be"),
        (("--num-examples", "10"), "`batch_size` is 64 but an epoch has 10 images"),
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
