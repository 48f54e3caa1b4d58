"""Events say what the files of a workdir say, each epoch once."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from jboltz.runs.workdir import Workdir
from tests.runs.events import read_events

RUN = {"program": "rbm_mnist"}
FIRST = {"epoch": 1, "loss": 0.5, "gap": float("nan")}
SECOND = {"epoch": 2, "loss": 0.25, "gap": 1.0}


def epochs_of(scalars):
    return [(tag, step) for tag, step, _ in scalars]


def test_epochs_are_there_while_the_run_goes_on_and_figures_at_its_end(tmp_path):
    with Workdir(tmp_path, RUN, tensorboard=True) as workdir:
        workdir.write_metrics("train", [FIRST])
        scalars, _ = read_events(tmp_path)
        assert epochs_of(scalars) == [("train/loss", 1), ("train/gap", 1)]
        workdir.write_metrics("train", [FIRST, SECOND])
        figure = Figure(figsize=(2, 1), dpi=100)
        figure.subplots().plot([1, 2])
        workdir.write_figures({"losses": figure})
    scalars, images = read_events(tmp_path)
    np.testing.assert_array_equal(
        [value for *_, value in scalars], [0.5, np.nan, 0.25, 1.0]
    )
    (tag, image), *others = images.items()
    assert (tag, others) == ("figures/losses", [])
    assert (image.width, image.height) == (200, 100)
    png = (tmp_path / "figures" / "losses.png").read_bytes()
    assert image.encoded_image_string == png


@pytest.mark.parametrize("before", [False, True])
def test_a_run_that_goes_on_has_all_its_epochs_once(before, tmp_path):
    """Whether or not it began with events."""
    with Workdir(tmp_path, RUN, tensorboard=before) as workdir:
        workdir.write_metrics("train", [FIRST])
    with Workdir(tmp_path, RUN, tensorboard=True) as workdir:
        workdir.write_metrics("train", [FIRST])
        workdir.write_metrics("train", [FIRST, SECOND])
    expected = [(f"train/{name}", epoch) for epoch in (1, 2) for name in FIRST]
    expected = [pair for pair in expected if pair[0] != "train/epoch"]
    assert epochs_of(read_events(tmp_path)[0]) == expected


def test_no_events_unless_asked_for(tmp_path):
    with Workdir(tmp_path, RUN) as workdir:
        workdir.write_metrics("train", [FIRST])
    assert not (tmp_path / "tensorboard").exists()
