"""Hybrids and their controls: they run, resume, and refuse what makes no hybrid."""

import json

import jax
import numpy as np
import pytest
from matplotlib.image import imread

from jboltz.experiments import hybrid_mnist
from jboltz.experiments.hybrid_mnist import Config, maps
from jboltz.nets.hybrid import encode, fit_code_scaler
from jboltz.runs.pretrained import load_pretrained
from tests.experiments import pretraining
from tests.experiments.pretraining import crash_after, dataset, pretrain
from tests.experiments.test_finetune_mnist import outcome

FLAGS = (
    "--epochs 2 --batch-size 25 --held-out 40 --num-labels 50 --channels 2 3 "
    "--num-dense 6"
).split()
NETS = ["map_pretrained", "map_untrained", "joined_pretrained", "joined_untrained"]


def start(workdir, pretrained, *flags, images=None):
    arguments = ["--pretrained", pretrained, *FLAGS, *flags]
    return pretraining.start("hybrid_mnist", workdir, *arguments, images=images)


@pytest.fixture(scope="module", autouse=True)
def a_square_top():
    """The DBN of these tests has 16 units at its top."""
    flags = "--batch-size 85 --layers 64 8 16".split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pretraining.PRETRAINING, "dbn_mnist", flags)
        yield


@pytest.fixture(scope="module")
def dbn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dbn")
    pretrain("dbn_mnist", folder)
    return folder


@pytest.fixture(scope="module")
def whole(dbn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert start(folder, dbn) == 0
    return folder


def test_it_records_every_net(whole):
    results = json.loads((whole / "results.json").read_text())
    assert list(results["nets"]) == ["pixels", *NETS]
    assert results["num_labels"] == 50
    assert results["pretraining"]["program"] == "dbn_mnist"
    for net in results["nets"].values():
        errors = [epoch["held_out_error"] for epoch in net["epochs"]]
        assert net["held_out_error"] == min(errors) == errors[net["best_epoch"] - 1]
        for found, error, count in (
            (net["held_out_standard_error"], net["held_out_error"], 40),
            (net["test"]["standard_error"], net["test"]["error"], 20),
        ):
            assert found == pytest.approx((error * (1 - error) / count) ** 0.5)
    counts = {name: net["num_parameters"] for name, net in results["nets"].items()}
    # 25·2 + 2, 2·9·3 + 3, 2·2·3·6 + 6, 6·4 + 4; a map of 4 × 4 shrinks to 1 × 1.
    assert counts["pixels"] == 52 + 57 + 78 + 28
    assert counts["map_pretrained"] == counts["map_untrained"] == 52 + 57 + 24 + 28
    assert counts["joined_pretrained"] == counts["pixels"] + 16 * 4


def test_its_figures_show_something(whole):
    figures = {file.name for file in (whole / "figures").glob("*.png")}
    assert figures == {"errors_map.png", "errors_joined.png", "maps.png"}
    for figure in (whole / "figures").glob("*.png"):
        assert imread(figure)[..., :3].std() > 0.02, f"{figure.name} shows nothing"


def test_its_report_names_nets_errors_and_parameters(dbn, whole, capsys):
    assert start(whole, dbn) == 0
    text = capsys.readouterr().out
    assert "50 labelled images" in text
    assert "joined_untrained: held-out error" in text
    assert "parameters: pixels 215" in text


@pytest.mark.slow
def test_it_resumes_bit_for_bit(dbn, whole, tmp_path, capsys):
    with crash_after(5):  # After the first epoch of the third net.
        start(tmp_path, dbn)
    assert not (tmp_path / "results.json").exists()
    capsys.readouterr()
    assert start(tmp_path, dbn) == 0
    assert "map_untrained: goes on after epoch 1 of 2" in capsys.readouterr().out
    assert outcome(tmp_path) == outcome(whole)


def test_a_control_has_the_same_start_and_other_codes(dbn):
    config, images = Config(pretrained=dbn, held_out=40, num_labels=50), dataset()
    pretrained = load_pretrained(dbn, images)
    model = hybrid_mnist.dbn_of(pretrained)
    parts, num_classes = hybrid_mnist.split(config, images, pretrained)
    assert np.ptp(np.bincount(np.asarray(parts["train"].labels))) <= 1
    coders = {
        "pretrained": fit_code_scaler(model, pretrained.params, parts["train"].images),
        "untrained": fit_code_scaler(
            model, model.init(jax.random.key(5)), parts["train"].images
        ),
    }
    nets = hybrid_mnist.make_nets(config, images, model, num_classes)
    for form in config.forms:
        a, b = (nets[f"{form}_{codes}"] for codes in coders)
        assert a.module == b.module
        seen = [
            hybrid_mnist.seen_by(net, model, coders, parts["held_out"])
            for net in (a, b)
        ]
        codes = [x.above[0] if form == "joined" else x.images for x in seen]
        for code, coder in zip(codes, coders.values(), strict=True):
            expected = encode(model, coder, parts["held_out"].images)
            np.testing.assert_array_equal(code, expected)
        starts = [
            hybrid_mnist.glorot(net, x, jax.random.key(2))
            for net, x in zip((a, b), seen, strict=True)
        ]
        jax.tree.map(np.testing.assert_array_equal, *starts)
    # A digit of each class, and codes around gray.
    shown = maps(config, images, coders)
    assert {name: x.shape for name, x in shown.items()} == {
        "digit": (4, 64),
        "pretrained": (4, 16),
        "untrained": (4, 16),
    }
    assert all(np.all((x >= 0) & (x <= 1)) for x in shown.values())


def test_one_form_is_the_same_without_the_other(dbn, whole, tmp_path):
    assert start(tmp_path, dbn, "--forms", "joined", "--no-read-test") == 0
    alone, both = outcome(tmp_path)[0], outcome(whole)[0]
    assert list(alone) == ["pixels", "joined_pretrained", "joined_untrained"]
    for name, net in alone.items():
        assert "test" not in net
        assert net["epochs"] == both[name]["epochs"]


def test_a_top_that_is_no_square_is_joined_alone(tmp_path, capsys):
    pretrain("rbm_mnist", tmp_path / "rbm")
    assert start(tmp_path / "map", tmp_path / "rbm") == 2
    error = capsys.readouterr().err
    assert "8 units" in error
    assert "4 or 9 units" in error
    assert not (tmp_path / "map").exists()
    flags = "--forms joined --epochs 1 --num-labels 0 --batch-size 130".split()
    assert start(tmp_path / "joined", tmp_path / "rbm", *flags) == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--forms joined joined", ["forms", "once each"]),
        ("--num-labels 3", ["`num_labels` is 3", "4 classes"]),
        ("--num-labels 131", ["`num_labels` is 131", "130"]),
        ("--num-labels 10", ["`batch_size` is 25", "`num_labels` is 10"]),
        ("--num-labels -1", ["num_labels", "-1"]),
        ("--held-out 0", ["held_out", "0"]),
        ("--held-out 160", ["held_out", "160", "170"]),
        ("--learning-rate nan", ["learning_rate", "nan"]),
        ("--dropout 1", ["dropout", "below 1"]),
        ("--channels 0 3", ["channels", "at least 1"]),
    ],
)
def test_rubbish_is_refused_before_anything_is_written(
    flags, words, dbn, tmp_path, capsys
):
    assert start(tmp_path / "new", dbn, *flags.split()) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not (tmp_path / "new").exists()


def test_a_dbm_is_refused(tmp_path, capsys):
    pretrain("dbm_mnist", tmp_path / "dbm")
    assert start(tmp_path / "new", tmp_path / "dbm") == 2
    assert "dbm_mnist but a code is the top layer of a DBN" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
