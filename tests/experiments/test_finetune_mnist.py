"""Fine-tuning of what other programs left: it resumes, and refuses rubbish."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

import jboltz
from jboltz import seals
from jboltz.runs.pretrained import load_pretrained
from tests.experiments.pretraining import crash_after, dataset, pretrain, start

FLAGS = "--epochs 2 --batch-size 40 --held-out 40 --dropout 0.1 0.2 0.2".split()


def tune(workdir, pretrained, *flags, images=None):
    arguments = ["--pretrained", pretrained, *FLAGS, *flags]
    return start("finetune_mnist", workdir, *arguments, images=images)


@pytest.fixture(scope="module")
def dbn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dbn")
    pretrain("dbn_mnist", folder)
    return folder


def outcome(workdir):
    """All of a run that must not depend on where it was interrupted."""
    results = json.loads((workdir / "results.json").read_text())
    for net in results["nets"].values():
        for epoch in net["epochs"]:
            del epoch["seconds"]
    figures = {f.name: f.read_bytes() for f in (workdir / "figures").glob("*.png")}
    return results["nets"], figures


def test_it_runs(dbn, tmp_path, capsys):
    assert tune(tmp_path, dbn) == 0
    text = capsys.readouterr().out
    assert "pretrained: held-out error" in text
    assert "control: held-out error" in text
    nets, figures = outcome(tmp_path)
    assert set(nets) == {"pretrained", "control"}
    for net in nets.values():
        errors = [epoch["held_out_error"] for epoch in net["epochs"]]
        assert net["held_out_error"] == min(errors) == errors[net["best_epoch"] - 1]
        assert 0 <= net["test"]["error"] <= 1
    assert set(figures) == {
        "errors.png",
        "filters_before.png",
        "filters_after.png",
        "filters_control.png",
    }
    for figure in (tmp_path / "figures").glob("*.png"):
        assert imread(figure)[..., :3].std() > 0.02, f"{figure.name} shows nothing"


@pytest.mark.slow
def test_it_resumes_bit_for_bit(dbn, tmp_path, capsys):
    assert tune(tmp_path / "whole", dbn) == 0
    with crash_after(3):  # After the first epoch of the control.
        tune(tmp_path / "stopped", dbn)
    capsys.readouterr()
    assert tune(tmp_path / "stopped", dbn) == 0
    assert "control: goes on after epoch 1 of 2" in capsys.readouterr().out
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


def test_a_frozen_body_stays_and_the_test_set_stays_closed(dbn, tmp_path):
    assert tune(tmp_path, dbn, "--train", "head", "--no-read-test") == 0
    nets, _ = outcome(tmp_path)
    assert all("test" not in net for net in nets.values())
    before = load_pretrained(dbn, dataset())
    after = jboltz.load(tmp_path / "model.safetensors")[1]["pretrained"]
    np.testing.assert_array_equal(after["hidden_1"]["kernel"], before.first_weights)
    assert np.any(after["head"]["bias"])


def test_without_held_out_images_all_are_trained_on_and_the_last_net_is_kept(
    dbn, tmp_path, capsys
):
    assert tune(tmp_path, dbn, "--held-out", 0) == 0
    nets, _ = outcome(tmp_path)
    assert "control: test error" in capsys.readouterr().out
    for net in nets.values():
        assert "held_out_error" not in net
        assert "held_out_error" not in net["epochs"][0]
        assert 0 <= net["test"]["error"] <= 1


@pytest.mark.parametrize("name", ["dbm_mnist", "rbm_mnist"])
def test_other_pretraining_is_taken(name, tmp_path):
    pretrain(name, tmp_path / "before")
    flags = ["--dropout"] if name == "rbm_mnist" else []
    assert tune(tmp_path / "after", tmp_path / "before", *flags) == 0
    results = json.loads((tmp_path / "after" / "results.json").read_text())
    assert results["pretraining"]["program"] == name


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--held-out 140", ["held_out", "140", "170"]),
        ("--held-out 3", ["3 entries", "4 classes"]),
        ("--held-out -1", ["held_out", "-1"]),
        ("--held-out 0 --no-read-test", ["held_out", "read_test", "hold images out"]),
        ("--learning-rate 0", ["learning_rate", "0"]),
        ("--control-learning-rate nan", ["control_learning_rate", "nan"]),
        ("--dropout 0.5", ["dropout", "2 hidden layers", "3 numbers"]),
        ("--dropout 0 0 1", ["dropout", "below 1"]),
        ("--rates 1 1 -1", ["rates", "at least 0"]),
        ("--max-norm -1", ["max_norm", "-1"]),
    ],
)
def test_rubbish_is_refused_before_anything_is_written(
    flags, words, dbn, tmp_path, capsys
):
    assert tune(tmp_path / "new", dbn, *flags.split()) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (dataset(size=7), ["64 pixels", "49"]),
        (dataset(train_labels=None), ["other images", "170"]),
    ],
    ids=["another shape", "other images"],
)
def test_a_workdir_of_other_images_is_refused(images, words, dbn, tmp_path, capsys):
    assert tune(tmp_path / "new", dbn, images=images) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error


def test_a_workdir_without_finished_pretraining_is_refused(dbn, tmp_path, capsys):
    assert tune(tmp_path / "new", tmp_path) == 2
    assert "holds no run" in capsys.readouterr().err
    run = json.loads((dbn / "run.json").read_text())

    def record(run):
        seals.write(tmp_path, "run.json", json.dumps(run).encode())

    record(run)
    assert tune(tmp_path / "new", tmp_path) == 2
    assert "dbn_mnist has not finished" in capsys.readouterr().err
    (tmp_path / "results.json").write_text("{}")
    record(run | {"program": "grbm_mnist"})
    assert tune(tmp_path / "new", tmp_path) == 2
    error = capsys.readouterr().err
    assert "grbm_mnist" in error
    assert "scaled to [0, 1]" in error
    record(run)
    assert tune(tmp_path / "new", tmp_path) == 2
    assert "without a model.safetensors" in capsys.readouterr().err
    (tmp_path / "run.json").write_text(json.dumps(run | {"seed": 1}))
    assert tune(tmp_path / "new", tmp_path) == 2
    assert "run.json changed since it was written" in capsys.readouterr().err


def test_a_workdir_of_another_scaling_is_refused(dbn, tmp_path, capsys):
    for name in ("results.json", "model.safetensors"):
        (tmp_path / name).symlink_to(dbn / name)
    run = json.loads((dbn / "run.json").read_text())
    run["config"]["scaling"] = "min-max"
    seals.write(tmp_path, "run.json", json.dumps(run).encode())
    assert tune(tmp_path / "new", tmp_path) == 2
    error = capsys.readouterr().err
    assert "'min-max' scaling" in error
    assert "pretrain without" in error


def test_images_without_labels_are_refused(tmp_path, capsys):
    unlabelled = dataset(test_labels=None)
    pretrain("dbn_mnist", tmp_path / "before", unlabelled)
    assert tune(tmp_path / "new", tmp_path / "before", images=unlabelled) == 2
    assert "no `test_labels`" in capsys.readouterr().err
