"""Few labels and many: as many of each class, resumed, beside controls."""

import json

import pytest
from matplotlib.image import imread

from jboltz.experiments import few_labels_mnist
from tests.experiments.pretraining import crash_after, pretrain, start

FLAGS = "--epochs 2 --num-labels 8 170 --batch-size 40 --learning-rates 0.01 0.003"


@pytest.fixture(autouse=True, scope="module")
def short_epochs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few_labels_mnist, "ROWS_PER_EPOCH", 80)
        yield


@pytest.fixture(scope="module")
def dbn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dbn")
    pretrain("dbn_mnist", folder)
    return folder


def tune(workdir, pretrained, *flags, images=None):
    arguments = ["--pretrained", pretrained, *FLAGS.split(), *flags]
    return start("few_labels_mnist", workdir, *arguments, images=images)


def outcome(workdir):
    results = json.loads((workdir / "results.json").read_text())
    for nets in results["num_labels"].values():
        for net in nets.values():
            for epoch in net["epochs"]:
                del epoch["seconds"]
    figures = {f.name: f.read_bytes() for f in (workdir / "figures").glob("*.png")}
    return results["num_labels"], figures


def test_it_runs(dbn, tmp_path, capsys):
    assert tune(tmp_path, dbn) == 0
    assert "8 labels:\npretrained: test error" in capsys.readouterr().out
    numbers, figures = outcome(tmp_path)
    assert list(numbers) == ["8", "170"]
    for nets in numbers.values():
        assert all(0 <= net["test"]["error"] <= 1 for net in nets.values())
    assert numbers["8"]["pretrained"]["learning_rate"] == 0.01
    assert numbers["170"]["pretrained"]["learning_rate"] == 0.003
    assert set(figures) == {"errors.png", "losses.png"}
    for figure in (tmp_path / "figures").glob("*.png"):
        assert imread(figure)[..., :3].std() > 0.02, f"{figure.name} shows nothing"


@pytest.mark.slow
def test_it_resumes_bit_for_bit(dbn, tmp_path, capsys):
    assert tune(tmp_path / "whole", dbn) == 0
    with crash_after(7):  # After the first epoch of the last control.
        tune(tmp_path / "stopped", dbn)
    capsys.readouterr()
    assert tune(tmp_path / "stopped", dbn) == 0
    assert "control_170: goes on after epoch 1 of 2" in capsys.readouterr().out
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


def test_held_out_images_judge_and_have_no_labels(dbn, tmp_path, monkeypatch):
    seen = []
    choose = few_labels_mnist.balanced_subset

    def watch(labels, *rest):
        seen.append(len(labels))
        return choose(labels, *rest)

    monkeypatch.setattr(few_labels_mnist, "balanced_subset", watch)
    flags = "--num-labels 8 --learning-rates 0.01 --held-out 40 --no-read-test".split()
    assert tune(tmp_path, dbn, *flags) == 0
    assert set(seen) == {130}
    (nets,) = outcome(tmp_path)[0].values()
    assert all("test" not in net and "held_out_error" in net for net in nets.values())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--num-labels 3", ["num_labels", "3", "4 classes"]),
        ("--num-labels 171", ["num_labels", "171", "170"]),
        ("--num-labels 8 8", ["num_labels", "each once"]),
        ("--learning-rates 1 1 1", ["learning_rates", "2 numbers of labels"]),
        ("--control-learning-rates 0", ["control_learning_rates", "at least 1e-09"]),
        ("--held-out 10", ["num_labels", "170", "160"]),
        ("--no-read-test", ["held_out", "read_test"]),
    ],
)
def test_rubbish_is_refused_before_anything_is_written(
    flags, words, dbn, tmp_path, capsys
):
    assert tune(tmp_path / "new", dbn, "--learning-rates", 0.01, *flags.split()) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not (tmp_path / "new").exists()
