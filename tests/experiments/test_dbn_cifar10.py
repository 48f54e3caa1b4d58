"""The DBN on patches: it runs, resumes, refuses rubbish, and judges by its criteria."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from matplotlib.image import imread

import jboltz
from jboltz import data
from jboltz.evaluation import fields
from jboltz.experiments import dbn_cifar10
from jboltz.models.dbn import DBN
from jboltz.runs import config as configs
from jboltz.runs import program, sources
from tests.experiments.pretraining import crash_after

SMALL = (
    "--epochs 2 --batch-size 65 --num-patches 130 --patch-size 4 --num-components 12 "
    "--layers 8 6 4 --sample-steps 4"
).split()


def coloured_bumps(**without):
    """Images of a smooth bump, whose quarter is their class."""
    rng = np.random.default_rng(0)
    ramp, centre = np.linspace(-1, 1, 8), rng.uniform(-0.6, 0.6, (190, 2, 1))
    bumps = np.exp(-((ramp - centre) ** 2) / 0.25)
    gray = 255 * bumps[:, 0, :, None] * bumps[:, 1, None, :]
    images = gray[..., None] * rng.uniform(0, 1, (190, 1, 1, 3))
    images = np.round(images).astype(np.uint8)
    labels = (centre[..., 0] > 0) @ np.array([2, 1])
    given = {"train_labels": labels[:170], "test_labels": labels[170:]} | without
    return data.from_arrays(images[:170], images[170:], name="bumps", **given)


def start(workdir, *flags, images=None):
    """The exit status of one run."""
    given = coloured_bumps() if images is None else images
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load_cifar10", lambda *_, **__: given)
        try:
            program.main(
                dbn_cifar10.PROGRAM,
                ["--workdir", str(workdir), *SMALL, *map(str, flags)],
            )
        except SystemExit as stop:
            return stop.code
    return 0


def outcome(workdir):
    """All of a run that must not depend on where it was interrupted."""
    results = json.loads((workdir / "results.json").read_text())
    for layer in results["layers"]:
        del layer["seconds"]
    names = ("layers", "reconstruction_errors", "forms", "class_errors", "verdicts")
    figures = {f.name: f.read_bytes() for f in (workdir / "figures").glob("*.png")}
    return {name: results[name] for name in names}, figures


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    assert start(workdir) == 0
    return workdir


def test_a_run_leaves_numbers_and_figures_of_every_layer(whole):
    results = json.loads((whole / "results.json").read_text())
    assert results["judged_by"] == "test"
    assert [x["num_visible"] for x in results["layers"]] == [12, 8, 6]
    assert all(len(x["losses"]) == 2 for x in results["layers"])
    assert len(results["forms"]) == len(results["reconstruction_errors"]) == 3
    for layer in results["forms"]:
        for stack in layer.values():
            for name in fields.FORMS:
                assert 0 <= stack[name]["mean"] < 2
                assert stack[name]["standard_error"] >= 0
            assert 0 <= stack["edge_or_blob_share"] <= 1
    assert list(results["class_errors"][0]) == ["patches"]
    for layer in results["class_errors"][1:]:
        learnt, control = (layer[k]["mean"] for k in ("learnt", "control"))
        assert 0 <= learnt <= 1
        gain = layer["less_than_control"]["mean"]
        np.testing.assert_allclose(gain, control - learnt, atol=1e-12)
    assert len(results["verdicts"]) == 1 + 2 + 2 * 3
    figures = {f.stem: imread(f) for f in (whole / "figures").glob("*.png")}
    assert set(figures) == {
        "filters",
        "combined_filters",
        "maximised_activations",
        "top_patches",
        "fields",
        "forms",
        "reconstructions",
        "chains",
        "codes",
        "samples",
        "losses",
        "monitors",
    }
    for name, figure in figures.items():
        assert figure[..., :3].std() > 0.02, f"{name} shows nothing"
    dbn, params = jboltz.load(whole / "model.safetensors")
    assert len(dbn.layers) == len(params) == 3


def test_a_finished_run_reports(whole, capsys):
    assert start(whole) == 0
    out = capsys.readouterr().out
    assert "layer 3 tells the class better than its control: " in out


@pytest.mark.slow
def test_it_resumes_bit_for_bit(whole, tmp_path, capsys):
    with crash_after(3):  # After an epoch of layer 2.
        start(tmp_path)
    capsys.readouterr()
    assert start(tmp_path) == 0
    assert "layer_2: goes on after epoch 1 of 2" in capsys.readouterr().out
    assert outcome(tmp_path) == outcome(whole)


def test_without_the_test_set_held_out_images_judge(tmp_path, monkeypatch):
    """And what the test images are does not matter."""

    def untrained(workdir, layers, *_, **__):
        return DBN(layers).init(jax.random.key(0)), []

    monkeypatch.setattr(dbn_cifar10.greedy, "pretrain", untrained)
    quiet = dataclasses.replace(
        dbn_cifar10.PROGRAM, draw_figures=lambda *_: {}, report=lambda _: None
    )
    monkeypatch.setattr(dbn_cifar10, "PROGRAM", quiet)
    found = []
    for name, given in (("a", {}), ("b", {"test_labels": np.full(20, 3)})):
        assert (
            start(tmp_path / name, "--no-read-test", images=coloured_bumps(**given))
            == 0
        )
        results = json.loads((tmp_path / name / "results.json").read_text())
        assert results["judged_by"] == "validation"
        found.append(results["class_errors"])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--patch-size 9", ["patch_size", "9", "8"]),
        ("--num-components 49", ["num_components", "49", "48"]),
        ("--batch-size 131", ["batch_size", "131", "130"]),
        ("--layers 8 1 4", ["layers", "at least 2"]),
        ("--layers 8 6", ["sparsity_targets", "2 `layers`"]),
        ("--sparsity-strengths 1 1", ["sparsity_strengths", "3 `layers`"]),
        ("--sparsity-targets 0.1 0.1 1", ["sparsity_targets", "1.0", "below 1"]),
        ("--deviation 0", ["deviation", "0"]),
        ("--num-steps 0", ["num_steps", "0"]),
        ("--epochs 0", ["epochs", "0"]),
        ("--seed -1", ["seed", "-1"]),
    ],
)
def test_rubbish_is_refused_before_anything_is_written(flags, words, tmp_path, capsys):
    assert start(tmp_path / "new", *flags.split()) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not (tmp_path / "new").exists()


def test_images_without_labels_are_refused(tmp_path, capsys):
    images = coloured_bumps(train_labels=None, test_labels=None)
    assert start(tmp_path / "new", images=images) == 2
    assert "no `train_labels`" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_preset_comes_before_flags():
    arguments = ["--preset", "small", "--epochs", "7"]
    config = configs.parse(dbn_cifar10.Config, "dbn_cifar10", arguments)
    assert config.epochs == 7
    assert config.layers == tuple(dbn_cifar10.Config.PRESETS["small"]["layers"])
