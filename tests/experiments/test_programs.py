"""Each program runs, resumes bit for bit, saves its model, and refuses rubbish."""

import functools
import importlib
import json

import numpy as np
import pytest
from matplotlib.image import imread

import jboltz
from jboltz import data
from jboltz.runs import config, program, sources
from tests.experiments.pretraining import crash_after

# Module, flags of a run of seconds, and where its data are loaded.
MNIST = "--epochs 2 --batch-size 40 --sample-steps 4 --num-chains 5".split()
ANNEALING = (
    "--ladder-scale 0.02 --ladder-check 2 --annealed-chains 50 --num-replicas 3 "
    "--tempering-steps 5"
).split()
HELD_OUT = "--held-out", "40"
PATCHES = "--epochs 2 --batch-size 40 --num-patches 130 --patch-size 4".split()
PROGRAMS = {
    "rbm_mnist": [
        *MNIST,
        *ANNEALING,
        *HELD_OUT,
        *"--num-hidden 8 --raise-points 3 --raise-ladders 0.02".split(),
    ],
    "dbm_mnist": [
        *MNIST,
        *ANNEALING,
        *"--layers 64 8 6 --pretrain-epochs 1 --clamped-points 3".split(),
    ],
    "grbm_mnist": [*MNIST, *"--num-hidden 8".split()],
    "grbm_cifar10": [*PATCHES, *"--num-components 10 --num-hidden 4".split()],
    "ssrbm_cifar10": [*PATCHES, *"--num-components 10 --num-hidden 4".split()],
    "labels_mnist": (
        "--epochs 2 --batch-size 40 --sample-steps 4 --layers 64 8 6 "
        "--up-down-epochs 1 2 --up-down-steps 1 2 --held-out 40"
    ).split(),
}
each_program = pytest.mark.parametrize("name", PROGRAMS)


@pytest.fixture(autouse=True, scope="module")
def small_data():
    """170 smooth images in place of the real ones, gray or coloured."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(-1, 1, 8)
    centre = rng.uniform(-0.6, 0.6, (190, 2, 1))
    bumps = np.exp(-((ramp - centre) ** 2) / 0.25)
    gray = 255 * bumps[:, 0, :, None] * bumps[:, 1, None, :]
    colour = gray[..., None] * rng.uniform(0, 1, (190, 1, 1, 3))
    sets = [np.round(x).astype(np.uint8) for x in (gray, colour)]
    quarter = (centre[..., 0] > 0) @ np.array([2, 1])
    labels = {"train_labels": quarter[:170], "test_labels": quarter[170:]}
    mnist, cifar = (
        data.from_arrays(x[:170], x[170:], name="bumps", **labels) for x in sets
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load_mnist", lambda *_, **__: mnist)
        patch.setattr(sources, "load_cifar10", lambda *_, **__: cifar)
        yield


def start(name, workdir, *flags):
    """The exit status of one run."""
    module = importlib.import_module(f"jboltz.experiments.{name}")
    try:
        program.main(
            module.PROGRAM,
            ["--workdir", str(workdir), *PROGRAMS[name], *map(str, flags)],
        )
    except SystemExit as stop:
        return stop.code
    return 0


def outcome(workdir):
    """All of a run that must not depend on where it was interrupted."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    for record in metrics:
        del record["seconds"]
    results = results_of(workdir)
    about_the_run = {"wall_seconds", "compile_seconds", "peak_memory_mb", "config"}
    numbers = {k: v for k, v in results.items() if k not in about_the_run}
    for epoch in [*numbers.get("epochs", ()), *numbers.get("joint", ())]:
        del epoch["seconds"]
    figures = {f.name: f.read_bytes() for f in (workdir / "figures").glob("*.png")}
    return metrics, numbers, figures


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a program that has run; the tests share it."""

    @functools.cache
    def run(name):
        workdir = tmp_path_factory.mktemp(name)
        assert start(name, workdir) == 0
        return workdir

    return run


def results_of(workdir):
    return json.loads((workdir / "results.json").read_text())


@each_program
def test_it_runs(name, finished):
    for figure in (finished(name) / "figures").glob("*.png"):
        assert imread(figure)[..., :3].std() > 0.02, f"{figure.name} shows nothing"
    spec, params = jboltz.load(finished(name) / "model.safetensors")
    assert spec is not None or isinstance(params, dict)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rbm_mnist", "labels_mnist"])
def test_without_held_out_images_the_test_set_judges(name, tmp_path):
    assert start(name, tmp_path, "--held-out", 0) == 0
    assert results_of(tmp_path)["judged_by"] == "test"


# What is the same in all of them, `test_dbn_mnist` holds for every place to stop.
@pytest.mark.slow
@each_program
def test_it_resumes_bit_for_bit(name, finished, tmp_path, capsys):
    # After an epoch of the last stage.
    with crash_after({"dbm_mnist": 2, "labels_mnist": 6}.get(name, 1)):
        start(name, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "results.json").exists()
    capsys.readouterr()
    assert start(name, tmp_path / "stopped") == 0
    assert "goes on after epoch 1 of 2" in capsys.readouterr().out
    assert outcome(tmp_path / "stopped") == outcome(finished(name))


@pytest.mark.parametrize(
    ("name", "flags", "words"),
    [
        ("rbm_mnist", "--held-out 140", ["held_out", "140", "170"]),
        ("rbm_mnist", "--ladder-scale 0.001", ["scale", "0.001"]),
        ("rbm_mnist", "--annealed-chains 1", ["annealed_chains", "1"]),
        ("rbm_mnist", "--raise-ladders 0.0001", ["raise_ladders", "0.0001"]),
        ("rbm_mnist", "--binarisation none", ["none", "threshold"]),
        ("dbm_mnist", "--num-replicas 1", ["num_replicas", "1"]),
        ("dbm_mnist", "--layers 64", ["layers", "hidden"]),
        ("dbm_mnist", "--layers 63 8", ["63", "64 pixels"]),
        ("dbm_mnist", "--tolerance -1", ["tolerance", "-1"]),
        ("dbm_mnist", "--num-chains 0", ["num_chains", "0"]),
        ("labels_mnist", "--held-out 3", ["3 entries", "4 classes"]),
        ("labels_mnist", "--held-out 140", ["held_out", "140", "170"]),
        ("labels_mnist", "--layers 64 8", ["layers", "below the top RBM"]),
        ("labels_mnist", "--up-down-steps 3", ["up_down_steps", "one length"]),
        ("labels_mnist", "--up-down-steps 1 0", ["up_down_steps", "at least 1"]),
        ("labels_mnist", "--momentum 1", ["momentum", "below 1"]),
        ("grbm_mnist", "--learning-rate nan", ["learning_rate", "nan"]),
        ("grbm_mnist", "--log-variance-range 1 -1", ["low", "high"]),
        ("grbm_mnist", "--num-hidden 0", ["num_hidden", "0"]),
        ("grbm_mnist", "--batch-size 171", ["171", "170"]),
        ("grbm_cifar10", "--patch-size 9", ["patch_size", "9", "8"]),
        ("grbm_cifar10", "--num-components 49", ["num_components", "49", "48"]),
        ("ssrbm_cifar10", "--num-patches 5", ["num_patches", "5"]),
        ("ssrbm_cifar10", "--epsilon 0", ["epsilon", "0"]),
        ("ssrbm_cifar10", "--kappa -1", ["kappa", "-1"]),
    ],
)
def test_rubbish_is_refused_before_anything_is_written(
    name, flags, words, tmp_path, capsys
):
    assert start(name, tmp_path / "new", *flags.split()) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not (tmp_path / "new").exists()


@each_program
def test_a_program_takes_tensorboard(name):
    module = importlib.import_module(f"jboltz.experiments.{name}")
    assert config.parse(module.Config, name, ["--tensorboard"]).tensorboard


@each_program
def test_presets_come_before_flags(name):
    module = importlib.import_module(f"jboltz.experiments.{name}")
    for preset, fields in module.Config.PRESETS.items():
        arguments = ["--preset", preset, "--epochs", "7"]
        found = config.parse(module.Config, name, arguments)
        assert found.epochs == 7
        for field, value in fields.items():
            if field != "epochs":
                got = getattr(found, field)
                assert (list(got) if isinstance(got, tuple) else got) == value


def test_an_unknown_preset_is_refused(tmp_path, capsys):
    assert start("grbm_mnist", tmp_path / "new", "--preset", "huge") == 2
    assert "small" in capsys.readouterr().err


def test_a_fixed_variance_stays_where_it_is(tmp_path):
    assert start("grbm_mnist", tmp_path, "--variance", "fixed") == 0
    found = results_of(tmp_path)["standard_deviation"]
    assert found == {"smallest": 1.0, "median": 1.0, "largest": 1.0}


def test_weights_without_penalty_stay_in_the_positive_region(tmp_path):
    """However fast they learn: 2 epochs at a rate that would leave it at once."""
    flags = "--penalty none --num-components 6 --learning-rate 0.3".split()
    assert start("ssrbm_cifar10", tmp_path, *flags) == 0
    assert results_of(tmp_path)["smallest_eigenvalue"] > 0


def test_enumerated_likelihoods_stand_beside_those_of_a_gaussian(finished):
    results = results_of(finished("grbm_cifar10"))
    for part in ("train", "validation", "test"):
        assert np.isfinite(list(results[part].values())).all()
    # Nothing learnt in two epochs of a few patches: near a Gaussian, not far above.
    assert abs(results["train"]["log_likelihood"] - results["train"]["gaussian"]) < 20


def test_likelihoods_by_annealing_stand_beside_the_exact_one(finished):
    results = results_of(finished("rbm_mnist"))
    assert results["judged_by"] == "held-out"
    assert results["binarisation"] == "stochastic once, seed 0"
    found = results["log_likelihood"]
    exact = found.pop("enumeration")["mean"]
    assert set(found) == {"AIS", "AIS, longer ladder", "reverse AIS"}
    for name in ("AIS", "AIS, longer ladder"):
        assert found[name]["lower"] <= exact <= found[name]["upper"]
    assert np.isfinite(results["pseudo_log_likelihood"]["mean"])


def test_label_units_are_judged_before_and_after_up_down(finished):
    """By held-out images where there are some, which are then followed, too."""
    results = results_of(finished("labels_mnist"))
    assert results["judged_by"] == "held-out"
    for stage in ("greedy", "up_down"):
        assert results[stage]["num_examples"] == 40
        assert 0 <= results[stage]["error"] <= 1
    assert [epoch["num_steps"] for epoch in results["epochs"]] == [1, 2, 2]
    last = results["epochs"][-1]["held_out_error"]
    np.testing.assert_allclose(last, results["up_down"]["error"], rtol=1e-6)


def test_images_without_labels_are_refused(tmp_path, monkeypatch, capsys):
    images = np.zeros((100, 8, 8), np.uint8)
    monkeypatch.setattr(
        sources, "load_mnist", lambda *_, **__: data.from_arrays(images)
    )
    assert start("labels_mnist", tmp_path / "new") == 2
    assert "no `train_labels`" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
