"""Small labelled images, and workdirs of programs that were pretrained on them."""

import dataclasses
import importlib
from contextlib import contextmanager

import jax
import numpy as np
import pytest

from jboltz import data
from jboltz.checkpoint import Checkpoints
from jboltz.runs import program, sources

PRETRAINING = {
    "dbn_mnist": "--batch-size 85 --layers 64 8 6".split(),
    "dbm_mnist": "--batch-size 85 --layers 64 8 6".split(),
    "rbm_mnist": "--batch-size 85 --num-hidden 8 --raise-points 3".split(),
}


def bumps(count, seed=0, size=8):
    """Images of a smooth bump, whose quarter is its class."""
    rng = np.random.default_rng(seed)
    ramp, centre = np.linspace(-1, 1, size), rng.uniform(-0.8, 0.8, (count, 2, 1))
    profile = np.exp(-((ramp - centre) ** 2) / 0.25)
    images = 255 * profile[:, 0, :, None] * profile[:, 1, None, :]
    labels = (centre[:, 0, 0] > 0) * 2 + (centre[:, 1, 0] > 0)
    return np.round(images).astype(np.uint8), labels.astype(np.int32)


def dataset(size=8, **without):
    images, labels = bumps(190, size=size)
    given = {"train_labels": labels[:170], "test_labels": labels[170:]} | without
    return data.from_arrays(images[:170], images[170:], name="bumps", **given)


def start(name, workdir, *flags, images=None, **functions):
    """The exit status of one run, on small images, with other functions for some."""
    module = importlib.import_module(f"jboltz.experiments.{name}")
    made = dataclasses.replace(module.PROGRAM, **functions)
    with pytest.MonkeyPatch.context() as patch:
        given = dataset() if images is None else images
        patch.setattr(sources, "load_mnist", lambda *_, **__: given)
        try:
            program.main(made, ["--workdir", str(workdir), *map(str, flags)])
        except SystemExit as stop:
            return stop.code
    return 0


def pretrain(name, workdir, images=None):
    """A finished run of a program, that trained for no time at all."""
    module = importlib.import_module(f"jboltz.experiments.{name}")

    def run(config, images, workdir):
        model = module.PROGRAM.model(config, images)
        return model.init(jax.random.key(0)), {}

    functions = {"draw_figures": lambda *_: {}, "report": lambda _: None, "run": run}
    flags = PRETRAINING[name]
    assert start(name, workdir, *flags, images=images, **functions) == 0


class Crash(BaseException):
    """As sudden as a kill: nothing in the program catches it."""


@contextmanager
def crash_after(num_saves):
    """The program that runs inside crashes right after so many checkpoints."""
    save, count = Checkpoints.save, 0

    def crash(*args, **kwargs):
        nonlocal count
        save(*args, **kwargs)
        count += 1
        if count == num_saves:
            raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", crash)
        with pytest.raises(Crash):
            yield
