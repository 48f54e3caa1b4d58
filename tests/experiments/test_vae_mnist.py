"""A VAE beside a pretrained DBN: both judged alike; it resumes, and refuses rubbish."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

import jboltz
from jboltz import seals
from jboltz.data import scale_pixels
from jboltz.evaluation.monitors import reconstruction_errors
from jboltz.experiments import vae_mnist
from jboltz.runs.pretrained import load_pretrained
from tests.experiments.pretraining import crash_after, dataset, pretrain, start

FLAGS = (
    "--epochs 2 --batch-size 40 --held-out 40 --num-weights 3 --bound-images 15 "
    "--ladder-scale 0.02 --ladder-check 2 --annealed-chains 15 --num-samples 20 "
    "--sample-steps 3"
).split()


def compare(workdir, pretrained, *flags, images=None):
    arguments = ["--pretrained", pretrained, *FLAGS, *flags]
    return start("vae_mnist", workdir, *arguments, images=images)


@pytest.fixture(scope="module")
def dbn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dbn")
    pretrain("dbn_mnist", folder)
    return folder


@pytest.fixture(scope="module")
def whole(dbn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert compare(folder, dbn) == 0
    return folder


def results_of(workdir):
    return json.loads((workdir / "results.json").read_text())


def outcome(workdir):
    """All of a run that must not depend on where it was interrupted."""
    results = results_of(workdir)
    del results["vae"]["training_seconds"]
    for epoch in results["vae"]["epochs"]:
        del epoch["seconds"]
    numbers = {key: results[key] for key in ("vae", "dbn", "test", "code_size")}
    return numbers, {
        f.name: f.read_bytes() for f in (workdir / "figures").glob("*.png")
    }


def vae_of(workdir, dbn):
    """The VAE that a run kept, and the DBN beside it, with their parameters."""
    before = load_pretrained(dbn, dataset())
    vae = vae_mnist.build(vae_mnist.Config(), before.model)
    _, params = jboltz.load(workdir / "model.safetensors")
    return before.model, vae, {"DBN": before.params, "VAE": params}


def test_it_records_what_it_kept(whole, dbn):
    """The parameters in its file are those of the best epoch, and both are counted."""
    results, (_, vae, params) = results_of(whole), vae_of(whole, dbn)
    found = results["vae"]
    losses = [epoch["held_out_negative_elbo"] for epoch in found["epochs"]]
    assert -found["held_out_elbo"] == min(losses) == losses[found["best_epoch"] - 1]
    assert (vae.hidden, vae.code_size) == ((8,), 6) == ((*found["hidden"],), 6)
    assert found["num_parameters"] == sum(
        x.size for x in jax.tree.leaves(params["VAE"])
    )
    assert results["dbn"]["num_parameters"] == 64 * 8 + 64 + 8 + 8 * 6 + 8 + 6
    for figure in (whole / "figures").glob("*.png"):
        assert imread(figure)[..., :3].std() > 0.02, f"{figure.name} shows nothing"
    names = {figure.stem for figure in (whole / "figures").glob("*.png")}
    assert names == {"reconstructions", "samples", "elbo"}


def test_reconstructions_are_judged_example_by_example(whole, dbn):
    model, vae, params = vae_of(whole, dbn)
    images, found = dataset(), results_of(whole)["test"]["reconstruction"]
    test = np.asarray(images.test, np.float32) / 255
    errors = reconstruction_errors(model, params["DBN"], jnp.asarray(test))
    assert found["DBN"]["squared_error"]["mean"] == pytest.approx(errors[-1], rel=1e-5)
    x = np.asarray(jax.vmap(lambda v: vae.apply({"params": params["VAE"]}, v))(test))
    p = np.asarray(jax.nn.sigmoid(x), np.float64)
    each = -np.mean(test * np.log(p) + (1 - test) * np.log1p(-p), axis=1)
    entropy = found["VAE"]["cross_entropy"]
    assert entropy["mean"] == pytest.approx(each.mean(), rel=1e-4)
    error = each.std(ddof=1) / np.sqrt(len(each))
    assert entropy["standard_error"] == pytest.approx(error, rel=1e-4)
    # As much is left as the gray values say, and no mean of pixels says more.
    assert all(
        found["least_cross_entropy"] < found[name]["cross_entropy"]["mean"]
        for name in ("DBN", "VAE", vae_mnist.MEAN_IMAGE)
    )


def test_bounds_are_of_the_same_images_and_carry_the_interval_of_log_z(whole):
    bounds = results_of(whole)["test"]["bounds"]
    assert (bounds["num_examples"], bounds["num_weights"]) == (15, 3)
    assert bounds["binarisation"] == "stochastic once, seed 0"
    assert set(bounds["models"]) == {"DBN by AIS", "DBN by AIS, longer ladder", "VAE"}
    for found in bounds["models"].values():
        assert found["elbo"]["mean"] < found["importance_weighted"]["mean"] < 0
    of_dbn, log_z = bounds["models"]["DBN by AIS"]["elbo"], bounds["log_partition"]
    width = log_z["AIS"]["upper"] - log_z["AIS"]["lower"]
    assert of_dbn["upper"] - of_dbn["lower"] == pytest.approx(width)
    of_vae = bounds["models"]["VAE"]["elbo"]
    assert of_vae["lower"] == of_vae["mean"] == of_vae["upper"]


def test_samples_do_not_depend_on_how_many_are_drawn(whole, dbn):
    model, vae, params = vae_of(whole, dbn)
    models, key = vae_mnist.Models(model, vae, "DBN", params), jax.random.key(1)
    config = vae_mnist.Config(sample_steps=3)
    many, few = (vae_mnist.sample(config, models, key, count) for count in (9, 4))
    for name, pictures in many.items():
        np.testing.assert_allclose(pictures[:4], few[name], atol=1e-5)
        assert np.all((pictures >= 0) & (pictures <= 1))


def test_a_finished_run_reports(whole, dbn, capsys):
    assert compare(whole, dbn) == 0  # It is finished: it reports.
    text = capsys.readouterr().out
    words = ("DBN, 8-6: 646 parameters", "held-out ELBO", "mean training image")
    words += ("bound of 3 weights", "longer ladder", "test images", "precision")
    assert all(word in text for word in words), text


@pytest.mark.slow
def test_it_resumes_bit_for_bit(whole, dbn, tmp_path, capsys):
    with crash_after(1):
        compare(tmp_path, dbn)
    capsys.readouterr()
    assert compare(tmp_path, dbn) == 0
    assert "vae: goes on after epoch 1 of 2" in capsys.readouterr().out
    assert outcome(tmp_path) == outcome(whole)


def test_an_rbm_is_a_dbn_of_one_layer_and_the_test_set_stays_closed(tmp_path, capsys):
    pretrain("rbm_mnist", tmp_path / "rbm")
    flags = ["--no-read-test", "--hidden", 7, 5]
    closed = dataset()
    assert compare(tmp_path / "new", tmp_path / "rbm", *flags, images=closed) == 0
    results = results_of(tmp_path / "new")
    assert "test" not in results
    assert (results["vae"]["hidden"], results["code_size"]) == ([7, 5], 8)
    assert results["dbn"]["hidden"] == []
    assert "\nRBM, 8: 584 parameters\n" in capsys.readouterr().out


def test_a_model_that_does_not_fit_is_refused(tmp_path, capsys):
    pretrain("dbm_mnist", tmp_path / "dbm")
    assert compare(tmp_path / "new", tmp_path / "dbm") == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("dbm_mnist", "dbn_mnist", "rbm_mnist")), error
    pretrain("rbm_mnist", tmp_path / "rbm")
    run = json.loads((tmp_path / "rbm" / "run.json").read_text())
    run["config"]["binarisation"] = "threshold"
    seals.write(tmp_path / "rbm", "run.json", json.dumps(run).encode())
    assert compare(tmp_path / "new", tmp_path / "rbm") == 2
    assert "compared with ½" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_images_are_scaled_as_they_were_for_the_dbn(dbn, tmp_path):
    for file in dbn.iterdir():
        if file.name != ".lock":
            (tmp_path / file.name).symlink_to(file)
    run = json.loads((dbn / "run.json").read_text())
    run["config"]["scaling"] = "min-max"
    (tmp_path / "run.json").unlink()
    (tmp_path / "checksums.json").unlink(missing_ok=True)
    seals.write(tmp_path, "run.json", json.dumps(run).encode())
    config = vae_mnist.Config(pretrained=tmp_path, held_out=40)
    images, expected = vae_mnist.load(config, dataset())[-1], dataset()
    expected = scale_pixels(expected, "min-max")
    np.testing.assert_array_equal(images.test, expected.test)
    np.testing.assert_array_equal(images.held_out, expected.train[-40:])
    assert images.train.min() == 0
    assert scale_pixels(dataset(), None).test.dtype == np.uint8


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--held-out 140", ["held_out", "140", "170"]),
        ("--held-out 0", ["held_out", "0"]),
        ("--learning-rate nan", ["learning_rate", "nan"]),
        ("--hidden 8 0", ["hidden", "0"]),
        ("--num-weights 0", ["num_weights", "0"]),
        ("--bound-images 21", ["bound_images", "21", "20"]),
        ("--num-samples 21", ["num_samples", "21", "20"]),
        ("--num-samples 5", ["num_samples", "5", "6"]),
        ("--ladder-scale 0.001", ["scale", "0.001"]),
        ("--sample-steps 0", ["sample_steps", "0"]),
    ],
)
def test_rubbish_is_refused_before_anything_is_written(
    flags, words, dbn, tmp_path, capsys
):
    assert compare(tmp_path / "new", dbn, *flags.split()) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not (tmp_path / "new").exists()


def test_a_workdir_of_other_images_is_refused(dbn, tmp_path, capsys):
    assert compare(tmp_path / "new", dbn, images=dataset(size=7)) == 2
    assert "64 pixels" in capsys.readouterr().err
