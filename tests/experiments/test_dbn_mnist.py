"""The program does what its help says, resumes, and refuses rubbish."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matplotlib.image import imread

import jboltz
from jboltz import data
from jboltz.checkpoint import Checkpoints
from jboltz.experiments import dbn_mnist
from jboltz.runs import program, sources
from jboltz.runs.workdir import Workdir
from tests.runs.events import read_events

SMALL = "--layers 64 12 6 --epochs 2 --batch-size 40 --sample-steps 5".split()


@pytest.fixture(scope="module")
def digits():
    """170 smooth 8×8 images in place of MNIST; the last batch of 40 is short."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(-1, 1, 8)
    centre, width = rng.uniform(-0.6, 0.6, (190, 2, 1)), 0.25
    bumps = np.exp(-((ramp - centre) ** 2) / width)
    images = 255 * bumps[:, 0, :, None] * bumps[:, 1, None, :]
    images = np.round(images).astype(np.uint8)
    dataset = data.from_arrays(images[:170], images[170:], name="bumps")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load_mnist", lambda *_, **__: dataset)
        yield dataset


def start(workdir, *flags):
    """The exit status of one run."""
    try:
        program.main(
            dbn_mnist.PROGRAM, ["--workdir", str(workdir), *SMALL, *map(str, flags)]
        )
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def no_figures(monkeypatch):
    """Where figures are not the point, they are not drawn."""
    quiet = dataclasses.replace(dbn_mnist.PROGRAM, draw_figures=lambda *_: {})
    monkeypatch.setattr(dbn_mnist, "PROGRAM", quiet)


def read_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def state_template(num_visible, num_hidden):
    rbm = jboltz.RBM(jboltz.Bernoulli(num_visible), jboltz.Bernoulli(num_hidden))
    estimator = jboltz.ContrastiveDivergence(rbm, jboltz.Gibbs(rbm))

    def init(key):
        params = rbm.init(key)
        return jboltz.init_train_state(params, estimator, optax.sgd(0.1), key)

    return jax.eval_shape(init, jax.random.key(0))


def outcome(workdir):
    """All of a run that must not depend on where it was interrupted."""
    results = json.loads((workdir / "results.json").read_text())
    metrics = read_lines(workdir / "metrics.jsonl")
    for record in metrics:
        del record["seconds"]
    arrays = []
    for index, layer in enumerate(results["layers"], start=1):
        template = state_template(layer["num_visible"], layer["num_hidden"])
        with Checkpoints(workdir / "checkpoints" / f"layer_{index}") as checkpoints:
            found, _ = checkpoints.restore(template)
        arrays += [np.asarray(x).tobytes() for x in jax.tree.leaves(found.state)]
    return {
        "losses": [layer["losses"] for layer in results["layers"]],
        "test": results["test"],
        "metrics": metrics,
        "arrays": arrays,
        "figures": {
            f.name: f.read_bytes() for f in (workdir / "figures").glob("*.png")
        },
    }


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    assert start(workdir) == 0
    return outcome(workdir)


def test_a_run_leaves_all_that_it_promises(digits, tmp_path, capsys):
    assert start(tmp_path, "--tensorboard") == 0
    out = capsys.readouterr().out
    assert "layer_2  epoch 2/2  reconstruction error" in out
    results = json.loads((tmp_path / "results.json").read_text())
    assert [len(layer["losses"]) for layer in results["layers"]] == [2, 2]
    assert results["layers"][0]["losses"][1] < results["layers"][0]["losses"][0]
    assert len(results["test"]["reconstruction_errors"]) == 2
    assert results["data"]["sha256"] == data.fingerprint(digits)
    assert results["config"]["layers"] == [64, 12, 6]
    assert results["versions"]["jax"]
    assert results["device"]["platform"] == "cpu"
    assert results["wall_seconds"] > results["compile_seconds"] >= 0
    assert results["peak_memory_mb"] > 0
    lines = read_lines(tmp_path / "metrics.jsonl")
    assert [line["loss"] for line in lines] == [
        loss for layer in results["layers"] for loss in layer["losses"]
    ]
    for layer in ("layer_1", "layer_2"):
        assert (tmp_path / "checkpoints" / layer / "2").is_dir()
    for name, values in results["layers"][1]["monitors"].items():
        assert values == [line[name] for line in lines[2:]]
        assert np.isfinite(values).all()
    figures = ["filters", "reconstructions", "samples", "losses", "combined_filters"]
    for name in [*figures, "maximised_activations", "chains", "codes", "monitors"]:
        picture = imread(tmp_path / "figures" / f"{name}.png")
        assert min(picture.shape[:2]) > 100
        assert picture[..., :3].std() > 0.02, f"{name} shows nothing"
    scalars, images = read_events(tmp_path)
    losses = [value for tag, _, value in scalars if tag.endswith("/loss")]
    np.testing.assert_allclose(losses, [line["loss"] for line in lines], rtol=1e-6)
    assert len(images) == len(list((tmp_path / "figures").glob("*.png")))


def test_a_finished_workdir_shows_its_results(digits, no_figures, tmp_path, capsys):
    assert start(tmp_path) == 0
    before = (tmp_path / "results.json").stat().st_mtime_ns
    capsys.readouterr()
    assert start(tmp_path) == 0
    out = capsys.readouterr().out
    assert "finished" in out
    assert "training losses" in out
    assert "epoch 1/" not in out
    assert (tmp_path / "results.json").stat().st_mtime_ns == before


def test_the_recipe_of_the_blog_is_reported_beside_it(
    digits, no_figures, tmp_path, capsys
):
    assert start(tmp_path, "--preset", "blog", "--clip", 0.01, "--layers", 64, 5) == 0
    out = capsys.readouterr().out
    assert "the blog has 0.235" in out
    assert "the blog has 0.128" not in out  # that is after 10 epochs
    results = json.loads((tmp_path / "results.json").read_text())
    chosen = {name: results["config"][name] for name in ("schedule", "scaling")}
    assert chosen == {"schedule": "blog", "scaling": "min-max"}
    # 64 × 5 weights that an update would move beyond the bound.
    norms = results["layers"][0]["monitors"]["weight_norm"]
    assert 0.05 < max(norms) <= 0.01 * np.sqrt(320) * 1.0001


def test_scaled_images_are_between_0_and_1(digits):
    scaled = data.scale_pixels(digits, "min-max")
    np.testing.assert_array_equal(scaled.train.min(axis=0), 0)
    np.testing.assert_array_equal(scaled.train.max(axis=0), 1)
    assert scaled.test.min() >= 0
    assert scaled.test.max() <= 1


class Crash(BaseException):
    """As sudden as a kill: nothing in the program catches it."""


@pytest.mark.parametrize(
    ("method", "call", "before"),
    [
        ("save", 1, True),
        ("save", 2, False),
        ("save", 3, True),
        ("save", 4, False),
        ("write_metrics", 2, True),
        ("write_figures", 1, True),
        ("write_results", 1, True),
    ],
)
def test_resume_is_bit_for_bit(
    method, call, before, uninterrupted, tmp_path, monkeypatch
):
    owner = Checkpoints if method == "save" else Workdir
    original, count = getattr(owner, method), 0

    def crash(*args, **kwargs):
        nonlocal count
        count += 1
        if count == call and before:
            raise Crash
        original(*args, **kwargs)
        if count == call:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, crash)
        with pytest.raises(Crash):
            start(tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "results.json").exists()
    assert start(tmp_path / "stopped") == 0
    assert outcome(tmp_path / "stopped") == uninterrupted


def test_a_damaged_checkpoint_is_reported_and_redone(
    uninterrupted, tmp_path, monkeypatch, capsys
):
    workdir = tmp_path / "run"
    assert start(workdir) == 0
    (workdir / "results.json").unlink()
    step = workdir / "checkpoints" / "layer_1" / "2"
    (step / "state" / "manifest.ocdbt").unlink()
    capsys.readouterr()
    assert start(workdir) == 0
    out = capsys.readouterr().out
    assert "is damaged" in out
    assert "layer_1: goes on after epoch 1 of 2" in out
    assert outcome(workdir) == uninterrupted


def test_another_config_is_refused_by_name(digits, no_figures, tmp_path, capsys):
    assert start(tmp_path) == 0
    before = (tmp_path / "results.json").read_bytes()
    assert start(tmp_path, "--learning-rate", 0.02) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("learning_rate", "0.02", "0.01"))
    assert (tmp_path / "results.json").read_bytes() == before
    assert start(tmp_path, "--learning-rate", 0.02, "--overwrite") == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["config"]["learning_rate"] == 0.02


def test_other_data_are_refused(digits, no_figures, tmp_path, monkeypatch, capsys):
    assert start(tmp_path) == 0
    fewer = data.from_arrays(digits.train[:100], digits.test, image_shape=(8, 8))
    monkeypatch.setattr(sources, "load_mnist", lambda *_, **__: fewer)
    assert start(tmp_path) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("num_train", "100", "170", "sha256"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--epochs 0", ["epochs", "0", "at least 1"]),
        ("--batch-size 0", ["batch_size", "at least 1"]),
        ("--batch-size 171", ["batch_size", "171", "170"]),
        ("--num-steps 0", ["num_steps", "at least 1"]),
        ("--learning-rate 0", ["learning_rate", "at least 1e-09"]),
        ("--learning-rate -1", ["learning_rate", "-1"]),
        ("--learning-rate nan", ["learning_rate", "nan"]),
        ("--learning-rate inf", ["learning_rate", "inf"]),
        ("--learning-rate 1e39", ["learning_rate", "1e+39"]),
        ("--layers 64", ["layers", "two or more"]),
        ("--layers 64 0", ["layers", "at least 1"]),
        ("--layers 65 10", ["layers", "65", "64"]),
        ("--seed -1", ["seed", "-1"]),
        ("--seed 4294967296", ["seed", "below 4294967296"]),
        ("--sample-steps 0", ["sample_steps"]),
        ("--clip 0", ["clip", "at least 1e-12"]),
        ("--scaling robust", ["scaling", "robust", "min-max"]),
        ("--epochs 2.5", ["epochs", "2.5"]),
        ("--epohcs 3", ["epohcs"]),
        ("--features mean", ["features", "means"]),
        ("--data.source web", ["source", "embedded"]),
        ("--config nowhere.toml", ["nowhere.toml", "config"]),
    ],
)
def test_rubbish_is_refused_before_anything_is_written(
    flags, words, digits, tmp_path, capsys
):
    workdir = tmp_path / "new"
    assert start(workdir, *flags.split()) == 2
    captured = capsys.readouterr()
    message = captured.err + captured.out
    assert all(word in message for word in words), message
    assert "Traceback" not in message
    assert not workdir.exists()


def test_a_workdir_that_cannot_be_written_is_named(digits, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert start(tmp_path / "file" / "run") == 2
    assert "--workdir" in capsys.readouterr().err


def test_a_workdir_in_use_is_refused(digits, tmp_path, capsys):
    with Workdir(tmp_path, {"program": "another"}):
        assert start(tmp_path) == 2
    assert "Another process" in capsys.readouterr().err


def test_a_folder_with_unclaimed_checkpoints_is_refused(digits, tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    assert start(tmp_path) == 2
    assert "delete that folder" in capsys.readouterr().err


def test_other_files_in_the_workdir_survive_overwrite(digits, no_figures, tmp_path):
    (tmp_path / "log.txt").write_text("mine")
    assert start(tmp_path) == 0
    assert start(tmp_path, "--overwrite") == 0
    assert (tmp_path / "log.txt").read_text() == "mine"


def test_a_full_disk_ends_in_one_message(
    digits, no_figures, tmp_path, monkeypatch, capsys
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Workdir, "write_figures", full)
        assert start(tmp_path) == 2
    out, err = capsys.readouterr()
    assert "No space left" in err
    assert "make room" in out
    assert start(tmp_path) == 0


def test_parameters_that_explode_are_named(digits, tmp_path, monkeypatch, capsys):
    sgd = optax.sgd

    def exploding(rate):
        # Five updates an epoch, so this is the third of the second epoch.
        return sgd(lambda count: jnp.where(count == 7, jnp.inf, rate))

    monkeypatch.setattr(dbn_mnist.optax, "sgd", exploding)
    assert start(tmp_path) == 2
    error = capsys.readouterr().err
    expected = ("layer_1", "Step 3 of 5 of epoch 2", "params.weights", "epoch 1 in")
    assert all(word in error for word in expected), error


def test_a_bug_keeps_its_traceback(digits, tmp_path, monkeypatch):
    quiet = dataclasses.replace(dbn_mnist.PROGRAM, draw_figures=lambda *_: [].index(0))
    monkeypatch.setattr(dbn_mnist, "PROGRAM", quiet)
    with pytest.raises(ValueError, match="not in list"):
        program.main(dbn_mnist.PROGRAM, ["--workdir", str(tmp_path), *SMALL])


def test_config_file_stands_for_its_flags(digits, no_figures, tmp_path, capsys):
    assert start(tmp_path / "flags", "--seed", 3, "--features", "samples") == 0
    saved = tmp_path / "flags" / "config.toml"
    again = tmp_path / "file"
    # The flags beside the file win: here the workdir.
    program.main(dbn_mnist.PROGRAM, ["--config", str(saved), "--workdir", str(again)])
    assert outcome(again) == outcome(tmp_path / "flags")


@pytest.mark.parametrize(
    ("toml", "word"),
    [("seed = 'many'", "seed"), ("epoch = 3", "epoch"), ("epochs = ", "TOML")],
    ids=["wrong type", "unknown field", "no toml"],
)
def test_a_wrong_config_file_is_refused(toml, word, digits, tmp_path, capsys):
    file = tmp_path / "config.toml"
    file.write_text(toml)
    assert start(tmp_path / "run", "--config", file) == 2
    captured = capsys.readouterr()
    assert word in captured.err + captured.out


def test_help_has_a_sentence_for_every_field(capsys):
    assert start("unused", "--help") == 0
    text = capsys.readouterr().out
    for flag in (
        "--workdir",
        "--layers",
        "--epochs",
        "--batch-size",
        "--learning-rate",
        "--schedule",
        "--clip",
        "--scaling",
        "--preset",
        "--num-steps",
        "--features",
        "--seed",
        "--data.source",
        "--data.manual-dir",
        "--config",
        "--overwrite",
    ):
        after = re.split(rf"{flag}[ ,]", text, maxsplit=1)[1].replace("│", " ")
        sentence = after.split("(default")[0].split()
        assert sum(word.islower() for word in sentence) >= 3, f"{flag}: {sentence}"


def test_without_the_extra_the_program_says_what_to_install(tmp_path):
    code = (
        "import importlib.util as u, runpy; find = u.find_spec; "
        "u.find_spec = lambda n, *a: None if n == 'tyro' else find(n, *a); "
        "runpy.run_module('jboltz.experiments.dbn_mnist', run_name='__main__')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 2
    assert "pip install 'jboltz[experiments]'" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_the_real_command_survives_kill_9(tmp_path):
    """The command line on the embedded digits, killed in mid-epoch, then finished."""
    flags = "--layers 784 8 --epochs 12 --batch-size 500 --sample-steps 5"
    flags += " --data.source embedded"
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

    def command(workdir):
        program = [sys.executable, "-m", "jboltz.experiments.dbn_mnist"]
        return [*program, "--workdir", str(workdir), *flags.split()]

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    whole = subprocess.run(command(tmp_path / "whole"), env=environment, **pipes)
    assert whole.returncode == 0, whole.stdout
    cut = command(tmp_path / "cut")
    with subprocess.Popen(cut, env=environment, **pipes) as process:
        for line in process.stdout:
            if "layer_1  epoch 3/12" in line:
                process.kill()
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run(command(tmp_path / "cut"), env=environment, **pipes)
    assert done.returncode == 0, done.stdout
    assert "layer_1: goes on after epoch" in done.stdout
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")
