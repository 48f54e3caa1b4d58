"""The benchmark, small: that it runs, and that what it compares with is honest."""

import importlib.util
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.experiments import _benchmark_annealing as annealing
from jboltz.experiments import _benchmark_cd as cd
from jboltz.experiments import _benchmark_dbm as dbm
from jboltz.experiments import _benchmark_finetune as finetune
from jboltz.experiments import _benchmark_gibbs as gibbs
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments import benchmark

SMALL = ("--num-examples", "128", "--num-hidden", "16", "--num-chains", "32")
SMALL += ("--num-sweeps", "3", "--repetitions", "2", "--data.source", "embedded")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(timing, "PAUSE", 0.0)


def test_smoke(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dbm, "UPDATES", 2)
    monkeypatch.setattr(annealing, "RUNGS", 4)
    monkeypatch.setattr(finetune, "UPDATES", 2)
    benchmark.main(["--workdir", str(tmp_path), *SMALL])
    results = json.loads((tmp_path / "results.json").read_text())
    training, sampling = results["cd_epoch"], results["gibbs"]
    assert (training["num_examples"], training["num_steps"]) == (128, 2)

    peers = {"jboltz", "products"}
    if importlib.util.find_spec("torch"):
        peers |= {"torch", "torch_loader", "torch_notes"}
    if importlib.util.find_spec("sklearn"):
        peers |= {"sklearn"}
    assert training["contestants"].keys() == peers
    assert sampling["contestants"].keys() == peers - {"torch_loader", "torch_notes"}
    joint = results["dbm_step"]
    assert joint["contestants"].keys() == {"jboltz", "products"}
    assert (joint["layers"], joint["updates"]) == ([784, 500, 1000], 2)
    ladders = results["ais"]
    assert ladders["contestants"].keys() == {"jboltz", "products"}
    assert (ladders["num_chains"], ladders["rungs"]) == (100, 4)
    tuning = results["finetune"]
    assert tuning["contestants"].keys() == {"jboltz", "products"}
    assert tuning["layers"] == [784, 500, 500, 2000, 10]
    for task in (training, sampling, joint, ladders, tuning):
        ours = task["contestants"]["jboltz"]["seconds"]["values"]
        for record in task["contestants"].values():
            seconds, ratio = record["seconds"], record["time_over_jboltz"]
            assert len(seconds["values"]) == 2
            assert min(seconds["values"]) > 0
            expected = np.array(seconds["values"]) / ours
            np.testing.assert_allclose(ratio["values"], expected)
            assert ratio["median"] == pytest.approx(np.median(expected))
            assert record["check"]["value"] <= record["check"]["limit"]

    products = sampling["contestants"]["products"]["time_over_jboltz"]["median"]
    target = results["targets"]["Gibbs: share of the matrix-product rate"]
    expected = {"value": products, "at_least": 0.65, "is_met": products >= 0.65}
    assert target == expected
    assert results["import_seconds"]["jboltz_beyond_jax"]["median"] > 0
    assert results["peers"].keys() == {"torch", "scikit-learn"}
    assert results["threads"]["cores"] == results["device"]["cpu_cores"]
    assert (tmp_path / "figures" / "benchmark.png").stat().st_size > 1000

    out = capsys.readouterr().out
    for record in training["contestants"].values():
        assert record["label"] in out
    for package, version in results["peers"].items():
        is_left_out = f"{package} is not installed" in out
        assert is_left_out == (version is None)
    assert max(len(line) for line in out.splitlines() if "─" in line) <= 80


@pytest.mark.parametrize(
    ("run", "num_rows", "num_products"),
    [
        (lambda w, v: cd.products(w, v, num_steps=7), 32, 5),
        (lambda w, v: gibbs.products(w, v, num_sweeps=7), 32, 2),
    ],
    ids=["cd", "gibbs"],
)
def test_no_product_is_left_out(run, num_rows, num_products):
    """Nor by the compiler, whose count is that of one pass of the loop."""
    arguments = cd.orthonormal((96, 64), num_rows)
    assert str(jax.make_jaxpr(run)(*arguments)).count("dot_general") == num_products
    compiled = jax.jit(run).lower(*arguments).compile()
    assert "while(" in compiled.as_text()
    flops = compiled.cost_analysis()["flops"]
    assert flops == pytest.approx(num_products * 2 * num_rows * 96 * 64, rel=0.01)


def test_no_product_of_a_joint_update_is_left_out():
    """Two up, 2 a mean-field sweep, 4 a Gibbs step, 4 outer ones; each loop once."""
    (W0, v), (W1, h) = cd.orthonormal((96, 64), 32), cd.orthonormal((64, 80), 32)
    run = partial(dbm.products, updates=3)
    assert str(jax.make_jaxpr(run)(W0, W1, v, h)).count("dot_general") == 12
    compiled = jax.jit(run).lower(W0, W1, v, h).compile()
    flops = compiled.cost_analysis()["flops"]
    expected = 2 * 32 * 64 * (5 * 96 + 7 * 80)
    assert flops == pytest.approx(expected, rel=0.02)
    assert all(np.isfinite(x).all() for x in run(W0, W1, v, h))


def test_no_product_of_fine_tuning_is_left_out():
    """Of each layer one up, one for its gradient, and one down but for the first."""
    shapes = ((96, 64), (64, 80), (80, 10))
    weights = tuple(cd.orthonormal(shape, 1)[0] for shape in shapes)
    batches = jax.random.normal(jax.random.key(0), (3, 32, 96))
    compiled = jax.jit(finetune.products).lower(weights, batches).compile()
    flops = compiled.cost_analysis()["flops"]
    expected = 2 * 32 * (2 * 96 * 64 + 3 * 64 * 80 + 3 * 80 * 10)
    assert flops == pytest.approx(expected, rel=0.02)

    def score(weights):
        v = batches[-1]
        for W in weights:
            v = v @ W
        return jnp.sum(v**2) / 2

    found = finetune.products(weights, batches)
    for x, y in zip(found, jax.grad(score)(weights), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-3)


def test_products_are_those_of_cd_and_stay_in_range():
    weights, v = (np.asarray(x) for x in cd.orthonormal((12, 5), 8))
    once = cd.products(jnp.asarray(weights), jnp.asarray(v), num_steps=1)
    h, v_k = v @ weights, v @ weights @ weights.T
    for found, expected in zip(
        once, (v_k, v.T @ h, v_k.T @ (v_k @ weights)), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    often = cd.products(jnp.asarray(weights), jnp.asarray(v), num_steps=1000)
    np.testing.assert_allclose(often[0], v_k, atol=1e-2)
    swept, up = gibbs.products(jnp.asarray(weights), jnp.asarray(v), num_sweeps=1)
    np.testing.assert_allclose(swept, v_k, atol=1e-5)
    np.testing.assert_allclose(up, h, atol=1e-5)


def test_rounds_take_turns():
    calls, names = [], ("jboltz", "products", "torch")
    works = {name: lambda name=name: (calls.append(name),) for name in names}
    seconds = timing.rounds("task", works, 4, seed=0)
    assert [len(x) for x in seconds.values()] == [4, 4, 4]
    turns = {tuple(calls[i : i + 3]) for i in range(0, 12, 3)}
    assert len(turns) > 1
    assert all(set(turn) == set(names) for turn in turns)


def test_a_contestant_that_samples_something_else_is_not_timed():
    rng = np.random.default_rng(0)
    ours = (rng.random((200, 6)) < 0.5).astype(np.float32)
    same = (rng.random((200, 6)) < 0.5).astype(np.float32)
    frozen = np.zeros((200, 6), np.float32)
    fair = gibbs.check({"jboltz": (ours,), "torch": (same,)})
    timing.require_same_work("Gibbs", fair)
    unfair = gibbs.check({"jboltz": (ours,), "torch": (frozen,)})
    with pytest.raises(ValueError, match="PyTorch does not do jboltz's work"):
        timing.require_same_work("Gibbs", unfair)
    not_finite = {"torch": {"what": "x", "value": float("nan"), "limit": 1.0}}
    with pytest.raises(ValueError, match="PyTorch"):
        timing.require_same_work("CD-1", not_finite)


def test_a_contestant_that_learns_something_else_is_not_timed(getkey):
    model = jboltz.RBM(jboltz.Bernoulli(9), jboltz.Bernoulli(4))
    weights, visible_bias, hidden_bias = cd.as_machine(model.init(getkey()))
    images = np.asarray(jax.random.bernoulli(getkey(), 0.2, (20, 9)), np.float32)
    outcomes = {
        "jboltz": (weights, visible_bias - 1, hidden_bias),
        "torch": (weights, visible_bias, hidden_bias),
    }
    checks = cd.check(model, outcomes, images)
    with pytest.raises(ValueError, match="CD-1: PyTorch"):
        timing.require_same_work("CD-1", checks)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--repetitions", "0"), "`repetitions` is 0 but needs to be at least 1"),
        (("--seed", str(2**32)), "needs to be below"),
        (("--num-examples", "20000"), "there are 10000 training images"),
        (("--num-examples", "10"), "`batch_size` is 64 but an epoch has 10 images"),
    ],
)
def test_what_cannot_be_run_is_refused(flags, message, tmp_path, capsys):
    workdir = tmp_path / "run"
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(["--workdir", str(workdir), "--data.source", "embedded", *flags])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not workdir.exists()
