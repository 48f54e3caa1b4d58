"""The DBN on patches: it runs, resumes, refuses rubbish, and judges by its criteria."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from matplotlib.image import imread

from jboltz import data
from jboltz.checkpoint import Checkpoints
from jboltz.experiments import _config, _fields, _patches, dbn_cifar10
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
        patch.setattr(_patches, "load_cifar10", lambda *_, **__: given)
        try:
            dbn_cifar10.main(["--workdir", str(workdir), *SMALL, *map(str, flags)])
        except SystemExit as stop:
            return stop.code
    return 0


def outcome(workdir):
    """All of a run that must not depend on where it was interrupted."""
    results = json.loads((workdir / "results.json").read_text())
    for layer in results["layers"]:
        del layer["seconds"]
    names = ("layers", "reconstruction_errors", "forms", "class_errors", "verdicts")
    figures = {f.name: f.read_bytes() for f in (workdir / "figures").iterdir()}
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
            for name in _fields.FORMS:
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
    figures = {f.stem: imread(f) for f in (whole / "figures").iterdir()}
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
    with Checkpoints(whole / "model") as model:
        assert model._manager.all_steps() == [0]


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

    def untrained(workdir, dbn, *_, **__):
        return dbn.init(jax.random.key(0)), []

    monkeypatch.setattr(dbn_cifar10._greedy, "pretrain", untrained)
    monkeypatch.setattr(dbn_cifar10, "draw_figures", lambda *_: {})
    monkeypatch.setattr(dbn_cifar10, "report", lambda _: None)
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
        ("--sparsity-targets 0.1 0.1 1", ["target", "1.0", "between 0 and 1"]),
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
    config = _config.parse(dbn_cifar10.Config, "dbn_cifar10", arguments)
    assert config.epochs == 7
    assert config.layers == tuple(dbn_cifar10.Config.PRESETS["small"]["layers"])


def units(extent, orientation, colour_share):
    values = {"extent": extent, "orientation": orientation}
    values |= {"colour_share": colour_share, "exciting_extent": extent}
    return {name: np.asarray(x, float) for name, x in values.items()}


def test_edges_and_blobs_are_localised_and_oriented_or_coloured():
    control = units(np.linspace(0.9, 1.1, 101), np.linspace(0, 0.2, 101), [0.2] * 101)
    # An edge, a blob of colour, a blob of gray, a grating, a coloured grating.
    learnt = units(
        [0.3, 0.3, 0.3, 1.0, 1.0],
        [0.8, 0.0, 0.0, 0.9, 0.9],
        [0.0, 0.9, 0.1, 0.0, 0.9],
    )
    found = _fields.summary(learnt, control)
    assert found["learnt"]["edge_or_blob_share"] == 2 / 5
    assert found["control"]["edge_or_blob_share"] <= 0.01
    np.testing.assert_allclose(found["learnt"]["extent"]["mean"], 2.9 / 5)


def test_a_verdict_is_its_criterion():
    def layer(mean, share):
        form = {"mean": mean, "standard_error": 0.03}
        return {"learnt": {"exciting_extent": form, "edge_or_blob_share": share}}

    def errors(**gains):
        of = {f"less_than_{k}": x for k, x in gains.items()}
        return {k: {"mean": x, "standard_error": 0.01} for k, x in of.items()}

    # √2 · 0.03 · 2 = 0.085.
    layers = [layer(0.5, 0.5), layer(0.58, 0.0), layer(0.67, 0.0)]
    gains = [
        {},
        errors(control=0.03, below=0.021),
        errors(control=0.019, below=0.03),
        errors(control=0.03, below=-0.03),
    ]
    assert _fields.verdicts(layers, gains) == {
        "layer 1 is edges or blobs of colour": True,
        "layer 2 sees more of the patch than layer 1": False,
        "layer 3 sees more of the patch than layer 2": True,
        "layer 1 tells the class better than its control": True,
        "layer 1 tells the class better than the patches": True,
        "layer 2 tells the class better than its control": False,
        "layer 2 tells the class better than layer 1": True,
        "layer 3 tells the class better than its control": True,
        "layer 3 tells the class better than layer 2": False,
    }
    layers[0]["learnt"]["edge_or_blob_share"] = 0.49
    assert not next(iter(_fields.verdicts(layers, gains).values()))


def test_errors_are_over_images_and_not_over_patches():
    """Patches of one image that are all alike are one observation."""
    images = np.repeat(np.arange(10), 50)
    wrong = np.repeat([0.0, 1.0], 250)
    found = _fields._over_images(wrong, images)
    assert found["mean"] == 0.5
    np.testing.assert_allclose(found["standard_error"], np.sqrt(0.25 / 9))


def test_each_patch_has_the_class_of_the_image_it_was_cut_from():
    images = coloured_bumps()
    config = _config.parse(
        dbn_cifar10.Config, "dbn_cifar10", [*SMALL, "--contrast", "raw"]
    )
    config = dataclasses.replace(config, num_components=48, epsilon=1e-9)
    patches = _patches.cut(config, images)
    train = images.train.reshape(-1, 8, 8, 3) / 255
    for part in ("train", "validation"):
        white = getattr(patches, part)
        pixels = data.unwhiten(patches.whitening, white).reshape(-1, 4, 4, 3)
        for pixel, index in zip(pixels[:12], patches.images[part], strict=False):
            windows = np.lib.stride_tricks.sliding_window_view(
                train[index], (4, 4), axis=(0, 1)
            )
            distances = np.abs(np.moveaxis(windows, 2, -1) - pixel[None, None])
            assert distances.max(axis=(2, 3, 4)).min() < 1e-3
    assert patches.images["train"].max() < 153 <= patches.images["validation"].min()
