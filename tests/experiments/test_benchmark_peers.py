"""The other libraries do jboltz's work, and whoever does other work is not timed."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.experiments.benchmark import contest, in_jboltz, peers, tasks, works
from jboltz.experiments.benchmark.sizes import Sizes


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


@pytest.fixture
def make_job(getkey):
    def make(num_images, batch_size=1, weight=1.0):
        """A small RBM, and images of as few pixels."""
        weights = weight * jax.random.normal(getkey(), (9, 4))
        visible_bias, hidden_bias = (
            jax.random.normal(getkey(), (size,)) for size in weights.shape
        )
        images = jax.random.uniform(getkey(), (num_images, 9))
        sizes = Sizes(
            num_examples=num_images,
            batch_size=batch_size,
            num_chains=num_images,
            num_sweeps=2,
        )
        arrays = ((weights, visible_bias, hidden_bias),)
        return works.Job(arrays=arrays, rows=np.array(images), sizes=sizes, seed=0)

    return make


def test_where_pytorch_cannot_compile_it_is_left_out(monkeypatch, capsys, make_job):
    in_torch = file_of("torch")

    def compiled(function):
        def call(*arguments):
            raise RuntimeError("no compiler found\nwith a trace")

        return call

    monkeypatch.setattr(in_torch.torch, "compile", compiled)
    in_torch.can_compile.cache_clear()
    assert in_torch.cd_compiled(make_job(8)) is None
    in_torch.can_compile.cache_clear()
    expected = "torch.compile does not run here and is left out: no compiler found\n"
    assert expected in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_compiled_by_pytorch(make_job):
    in_torch = file_of("torch")
    if not in_torch.can_compile():
        pytest.skip("torch.compile does not run here")
    job = make_job(20, batch_size=8)
    found, expected = in_torch.cd_compiled(job)(), in_torch.cd(job)()
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=0.02)


@torch_script
@pytest.mark.parametrize("package", ["torch", "rbms"])
@pytest.mark.parametrize("rule", ["cd", "pcd"])
def test_a_peer_learns_by_the_gradient(package, rule, make_job):
    """An epoch of one batch, without weights: no draw meets what is expected."""
    file_of(package)
    job = make_job(4000, batch_size=4000, weight=0.0)
    _, visible_bias, hidden_bias = job.arrays[0]
    p_v, p_h = jax.nn.sigmoid(visible_bias), jax.nn.sigmoid(hidden_bias)
    expected = jnp.outer(jnp.mean(job.rows, axis=0) - p_v, p_h)
    weights, _, _ = peers.build(f"in_{package}.{rule}", job)()
    gradient = np.asarray(weights) / peers.LEARNING_RATE
    # Of the visible means, and for rbms' PCD of where its chains start.
    np.testing.assert_allclose(gradient, expected, atol=5 / np.sqrt(4000))


@pytest.mark.slow
@torch_script
@pytest.mark.parametrize("package", ["torch", "rbms", "sklearn", "thrml"])
def test_a_peer_samples_the_machine(package, make_job, promotion, monkeypatch):
    peer, job = file_of(package), make_job(2000)
    monkeypatch.setattr(peer, "MOST_CHAINS", 2000, raising=False)  # Of thrml.
    check = tasks.same_means(job, package, peer.gibbs(job)(), in_jboltz.gibbs(job)())
    contest.require_same_work("Gibbs", package, check)


def test_a_contestant_that_samples_something_else_is_not_timed(make_job):
    rng, job = np.random.default_rng(0), make_job(1)
    ours = (rng.random((200, 6)) < 0.5).astype(np.float32)
    # Also with fewer chains.
    same = (rng.random((20, 6)) < 0.5).astype(np.float32)
    frozen = np.zeros((200, 6), np.float32)
    fair = tasks.same_means(job, "torch", (same,), (ours,))
    contest.require_same_work("Gibbs", "torch", fair)
    unfair = tasks.same_means(job, "torch", (frozen,), (ours,))
    with pytest.raises(ValueError, match="PyTorch does not do jboltz's work"):
        contest.require_same_work("Gibbs", "torch", unfair)
    not_finite = {"what": "x", "value": float("nan"), "limit": 1.0}
    with pytest.raises(ValueError, match="PyTorch"):
        contest.require_same_work("CD-1", "torch", not_finite)


def test_a_contestant_that_learns_something_else_is_not_timed(make_job):
    job = make_job(20, weight=0.01)
    weights, visible_bias, hidden_bias = job.arrays[0]
    ours, theirs = (weights, visible_bias - 3, hidden_bias), job.arrays[0]
    same = tasks.same_errors(job, "torch", ours, ours)
    contest.require_same_work("CD-1", "torch", same)
    other = tasks.same_errors(job, "torch", theirs, ours)
    with pytest.raises(ValueError, match="CD-1: PyTorch"):
        contest.require_same_work("CD-1", "torch", other)


def test_a_title_says_how_much_a_call_does():
    task, rows = tasks.GIBBS, np.zeros((3, 784), np.uint8)
    sizes = Sizes(num_examples=2, num_hidden=3, num_chains=64)
    task = tasks.dataclasses.replace(task, start=tasks.untrained)
    job = task.job(rows, sizes, 0)
    assert len(job.rows) == 2
    assert [floor.num_steps for floor in task.floors(sizes)] == [sizes.num_sweeps]
    assert task.title_with(job.sizes) == "Gibbs, 784–3: 25 sweeps of 64 chains"
