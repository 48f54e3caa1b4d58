"""How many programs XLA compiles before the first epoch of the main job is shown.

Each costs tens of milliseconds, the smallest too: what is computed outside `jit`, one
operation at a time, soon costs more than the training.
"""

import dataclasses

import jax
import numpy as np
import pytest

from jboltz import data
from jboltz.experiments import dbn_mnist
from jboltz.runs import program, progress, sources

FLAGS = "--layers 64 12 6 --epochs 1 --batch-size 40 --sample-steps 5".split()

COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compiled():
    """The durations of what has been compiled, which the list goes on to collect."""
    durations = []

    def listen(event, duration, **_):
        if event == COMPILED:
            durations.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    jax.clear_caches()
    return durations


@pytest.mark.slow
def test_few_programs_are_compiled_up_to_an_epoch(compiled, monkeypatch, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (190, 8, 8), np.uint8)
    digits = data.from_arrays(images[:170], images[170:], name="noise")
    monkeypatch.setattr(sources, "load_mnist", lambda *_, **__: digits)
    counts = []
    monkeypatch.setattr(progress, "say", lambda line: counts.append(len(compiled)))
    quiet = dataclasses.replace(dbn_mnist.PROGRAM, draw_figures=lambda *_: {})
    program.main(quiet, ["--workdir", str(tmp_path), *FLAGS])
    first_layer, second_layer, *_ = counts
    assert first_layer <= 26
    assert second_layer - first_layer <= 9
