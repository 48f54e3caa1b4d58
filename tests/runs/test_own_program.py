"""The program in the documentation of `jboltz.runs` runs as it is written there."""

import importlib
import json
import textwrap

import numpy as np
import pytest

import jboltz
import jboltz.runs
from jboltz.runs import program


def source():
    text = jboltz.runs.__doc__
    code = text[text.index('    """An RBM') : text.index("`Program` says")]
    return textwrap.dedent(code)


@pytest.fixture
def answers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_program.py").write_text(source())
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, (400, 1))
    np.save("answers.npy", (rng.random((400, 6)) < 0.2 + 0.6 * kinds).astype(int))


def test_it_runs_and_goes_on(answers, tmp_path, capsys):
    made = importlib.import_module("my_program").PROGRAM
    flags = ["--epochs", "3", "--num-hidden", "4", "--batch-size", "20"]
    program.main(made, flags)
    folder = tmp_path / "runs" / "my_program"
    results = json.loads((folder / "results.json").read_text())
    losses = [record["loss"] for record in results["epochs"]]
    assert losses[-1] < losses[0]
    assert f"left out: {results['test']:.2f} nats" in capsys.readouterr().out
    rbm, params = jboltz.load(folder / "model.safetensors")
    assert rbm.visible.size, rbm.hidden.size == params.weights.shape
    program.main(made, flags)
    assert "holds a finished run" in capsys.readouterr().out
