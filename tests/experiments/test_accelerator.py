"""The benchmark of an accelerator, on a processor: what it measures and writes."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.experiments.benchmark import accelerator, on_device
from jboltz.experiments.benchmark.accelerator import SMALL, Sizes
from jboltz.experiments.benchmark.on_device import HIGH_LOW, Row, by_parts

ROOT = pathlib.Path(__file__).parents[2]
TINY = Row("CD-1", (6, 4), 8)


def records_of(folder):
    text = (folder / "benchmark.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("work", on_device.WORKS)
def test_every_work_takes_its_steps(work):
    """And so in the precision of two products, but for the library's `fit`."""
    row = dataclasses.replace(TINY, work=work, precision=HIGH_LOW)
    if work == "product":
        row = dataclasses.replace(row, shape=(8, 8))
    key = jax.random.key(0)
    state, advance = on_device.WORKS[work][0](row, 2, key)
    shapes = jax.tree.map(jnp.shape, state)
    state = advance(state, key)
    assert jax.tree.map(jnp.shape, state) == shapes
    for x in jax.tree.leaves(state):
        assert np.isfinite(np.asarray(x, np.float32)).all()


def test_a_row_counts_steps_connections_and_operations():
    found = accelerator.measure(TINY, 1e6, seconds=0.0)
    assert found["steps"] == 52  # 0.1 s at 1e6 a second; 5 products of 2·8·6·4
    assert found["calls"] == 1
    seconds = found["milliseconds_a_step"][1] / 1e3
    assert found["connections_per_second"] == pytest.approx(8 * 6 * 4 / seconds)
    assert found["flops_per_second"] == pytest.approx(10 * 8 * 6 * 4 / seconds)
    assert found["share_of_product_rate"] == pytest.approx(
        found["flops_per_second"] / 1e6
    )


def test_rows_have_every_size_precision_generator_and_library():
    rows = accelerator.rows(Sizes())
    assert len(set(rows)) == len(rows)
    assert {row.precision for row in rows} == {*accelerator.PRECISIONS}
    assert {row.keys for row in rows} == {*accelerator.KEYS}
    assert {row.library for row in rows} == {"jboltz", "torch", "torch_compiled"}
    for work in ("CD-1", "PCD-1", "Gibbs", "tempering", "AIS"):
        sizes = {(row.shape, row.num_rows) for row in rows if row.work == work}
        assert {shape for shape, _ in sizes} == {(784, 500), (784, 4096), (4096, 4096)}
        assert max(num_rows for _, num_rows in sizes) == 65_536
    # The rates of products come first: the others are compared with them.
    assert {row.work for row in rows[:4]} == {"product"}


def test_rows_are_written_and_those_that_fail_say_why(tmp_path, monkeypatch):
    failing = dataclasses.replace(TINY, keys="no generator")
    monkeypatch.setattr(accelerator, "rows", lambda sizes: [failing, TINY])
    accelerator.main([str(tmp_path), "--small", "--row-seconds", "0"])
    setting, failed, measured = records_of(tmp_path)
    assert setting["versions"]["jax"] == jax.__version__
    assert "no generator" in failed["left_out"]
    assert measured["steps"] == 10


def test_rows_for_which_there_is_no_time_are_named(tmp_path):
    accelerator.main([str(tmp_path), "--small", "--seconds", "0"])
    _, last = records_of(tmp_path)
    assert last["out_of_time"][0]["work"] == "product"
    assert len(last["out_of_time"]) == len(accelerator.rows(SMALL))


@pytest.mark.parametrize("work", ["CD-1", "Gibbs"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_torch_takes_the_same_steps(work, precision):
    torch = pytest.importorskip("torch", reason="torch is pinned for Python 3.11 only")
    from jboltz.experiments.benchmark import in_torch_gpu

    row = dataclasses.replace(TINY, work=work, precision=precision, library="torch")
    state, advance = in_torch_gpu.work(row, 3, None)
    W, _, _, v = advance(state, None)
    assert W.shape == (6, 4)
    assert (W == state[0]).all() == (work == "Gibbs")
    assert v.dtype == torch.float32
    assert set(np.unique(v)) <= {0, 1}


def test_two_products_keep_sixteen_bits_of_weights_and_gradients(getkey):
    """One product of bfloat16 keeps eight."""
    W = jax.random.normal(getkey(), (300, 40))
    x = jax.random.bernoulli(getkey(), 0.5, (20, 300)).astype(float)
    g = jax.random.normal(getkey(), (20, 40))
    found, pull_back = jax.vjp(lambda W: jax.vmap(partial(by_parts, weights=W))(x), W)
    exact = np.asarray(x, np.float64) @ np.asarray(W, np.float64)
    size = np.asarray(x) @ abs(np.asarray(W))
    assert (abs(found - exact) <= 2**-16 * size).all()
    exact = np.asarray(x, np.float64).T @ np.asarray(g, np.float64)
    size = np.asarray(x).T @ abs(np.asarray(g))
    assert (abs(pull_back(g)[0] - exact) <= 2**-16 * size).all()


@pytest.mark.slow
def test_without_an_accelerator_the_script_runs_its_small_form(tmp_path):
    done = subprocess.run(
        [ROOT / ".ci" / "accelerator", "", tmp_path],
        env={**os.environ, "PYTHON": sys.executable, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no accelerator: the small form" in done.stdout
    assert {x.name for x in tmp_path.iterdir()} >= {
        "tests.txt",
        "benchmark.txt",
        "benchmark.jsonl",
        "training.txt",
    }
    assert len(records_of(tmp_path)) > 1
