"""Programs refuse what cannot be run, before training; nothing here is trained."""

import importlib

import numpy as np
import pytest

from jboltz.data import from_arrays
from jboltz.errors import InvalidValue
from jboltz.runs import checks, config, machine


@pytest.fixture(scope="module")
def images():
    """As many as the embedded digits."""
    labels = {
        "train_labels": np.arange(10_000) % 10,
        "test_labels": np.arange(2000) % 10,
    }
    train, test = (np.zeros((count, 784), np.uint8) for count in (10_000, 2000))
    return from_arrays(train, test, **labels, image_shape=(28, 28))


@pytest.fixture(scope="module")
def colours():
    images = np.zeros((100, 3072), np.uint8)
    return from_arrays(images, images, image_shape=(32, 32, 3))


def refuse(name, flags, data, message):
    module = importlib.import_module(f"jboltz.experiments.{name}")
    asked = config.parse(module.Config, name, flags.split())
    with pytest.raises(InvalidValue, match=message):
        module.PROGRAM.check(asked, data)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("dbn_mnist", "--layers 784 1000000 1000000", "`layers` .* 12,009.4 GB"),
        ("dbm_mnist", "--layers 784 1000000 1000000", "`layers` .* 12,009.4 GB"),
        ("labels_mnist", "--layers 784 900000 900000", "`layers` .* GB"),
        ("rbm_mnist", "--num-chains 1000000 --num-hidden 99999", "`num_chains` .* GB"),
        ("rbm_mnist", "--annealed-chains 999999 --num-hidden 99999", "`num_replicas`"),
        ("rbm_mnist", "--num-replicas 999999", "`num_replicas` .* GB"),
        ("rbm_mnist", "--tempering-steps 9999999 --annealed-chains 9999", "tempering"),
        ("rbm_mnist", "--raise-points 2000 --raise-chains 999999", "`raise_points` "),
        ("rbm_mnist", "--raise-points 2001", "`raise_points` is 2001 but .* 2000 imag"),
        ("rbm_mnist", "--raise-points 11 --held-out 10", "`raise_points` .* 10 images"),
        ("rbm_mnist", "--ladder-scale 900 --ladder-check 2", "product is at most 1000"),
        ("dbm_mnist", "--clamped-points 2001", "`clamped_points` .* 2000 images"),
        ("grbm_mnist", "--num-hidden 1000000 --num-chains 1000000", "`num_chains` "),
        ("grbm_mnist", "--batch-size 10001", "`batch_size` is 10001"),
        ("hybrid_mnist", "--channels 99999 99999", "`channels` .* GB"),
        ("hybrid_mnist", "--held-out 0", "`held_out` is 0"),
        ("hybrid_mnist", "", r"dbn_mnist --layers 784 500 400 .*--workdir runs/dbn_sq"),
        ("vae_mnist", "--hidden 999999 999999", "`hidden` .* GB"),
        ("vae_mnist", "--num-samples 2001", "`num_samples` .* 2000 images"),
        ("finetune_mnist", "--pretrained 'no'", r"dbn_mnist --workdir ''\"'\"'no'"),
        (
            "benchmark.__main__",
            "--sizes.num-hidden 999999 --sizes.num-chains 99999",
            "`sizes.num_chains`",
        ),
    ],
)
def test_what_no_machine_holds_or_no_data_give(
    name, flags, message, images, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 64 * 10**9)
    refuse(name, flags, images, message)


@pytest.mark.parametrize(
    "name", ["grbm_cifar10", "ssrbm_cifar10", "dbn_cifar10"], ids=str
)
def test_patches_that_no_machine_holds(name, colours, monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 64 * 10**9)
    refuse(name, "--num-patches 99999999", colours, "`num_patches` .* GB")


def test_memory_is_a_lower_bound_that_is_exact_enough(images, monkeypatch):
    """Three times the weights of 784-500-200, and a batch of 64 states."""
    asked = config.parse(
        importlib.import_module("jboltz.experiments.dbn_mnist").Config, "dbn_mnist", []
    )
    needed = 4 * (3 * (784 * 500 + 500 * 200) + 64 * (784 + 500 + 200))
    monkeypatch.setattr(machine, "memory_bytes", lambda: needed)
    checks.memory(asked, images)
    monkeypatch.setattr(machine, "memory_bytes", lambda: needed - 1)
    with pytest.raises(InvalidValue, match=r"`layers` is .*, which needs"):
        checks.memory(asked, images)


def test_the_memory_of_this_machine_is_known():
    assert machine.memory_bytes() > 10**8


def test_what_is_held_out_by_default_is_a_sixth_and_said(images, capsys):
    checks.held_out(None, 100, images)
    assert "the last 1666 of 10000 training images" in capsys.readouterr().out
    checks.held_out(200, 100, images)
    assert capsys.readouterr().out == ""
