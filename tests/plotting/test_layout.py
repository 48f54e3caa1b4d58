"""No text of a figure is clipped, and none lies over another."""

import io
import itertools

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from jboltz import plotting
from tests.plotting.cases import CASES, SPIKED


def texts(figure):
    """The texts that are drawn and the boxes that they fill, in pixels."""
    figure.draw_without_rendering()
    found = [text for text in figure.findobj(Text) if text.get_visible()]
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                inside = low <= tick.get_loc() <= high
                if not (axes.axison and inside):
                    hidden |= {tick.label1, tick.label2}
            if not axes.axison:
                hidden |= {axis.label, axis.offsetText}
    return [
        (text.get_text(), Text.get_window_extent(text))
        for text in found
        if text.get_text().strip() and text not in hidden
    ]


def test_every_function_has_a_case():
    drawn = {name.split()[0] for name in CASES}
    assert drawn == {*plotting.__all__} - {"Drawing", "describe", "encode"}


@pytest.mark.parametrize("name", CASES)
def test_text_is_neither_clipped_nor_over_other_text(name):
    figure = CASES[name]()
    width, height = figure.canvas.get_width_height()
    shown = texts(figure)
    assert shown
    for text, box in shown:
        assert 0 <= box.x0 < box.x1 <= width, text
        assert 0 <= box.y0 < box.y1 <= height, text
    for (one, a), (other, b) in itertools.combinations(shown, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        up = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(across, up) < 1, (one, other)


def test_a_text_that_is_too_long_would_be_found():
    figure = plotting.curves({"a": [1.0]}, title="", ylabel="")
    figure.axes[0].set_title("too long " * 30)
    assert any(box.x0 < 0 for _, box in texts(figure))


def test_a_spike_leaves_the_frame_and_is_named():
    figure = plotting.curves(SPIKED, title="", ylabel="")
    low, high = figure.axes[0].get_ylim()
    assert -30 < low < -20
    assert -6 < high < 0
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), SPIKED["contrast"])
    note = " ".join(figure.axes[0].get_xlabel().split())
    assert note == "epoch contrast leaves the frame in epoch 3 (480 000), 6 (90 000)"


FALL = [9.0, 5.0, 3.0, 2.0, 1.5, 1.2]


@pytest.mark.parametrize(
    "values", [FALL, [0.0, 0.0, 0.0], [1e9, 1.0, 1.0, 1.0], [5.0, 9e9]]
)
def test_a_start_a_fall_and_a_constant_are_no_spikes(values):
    (axes,) = plotting.curves({"a": values}, title="", ylabel="").axes
    low, high = axes.get_ylim()
    assert low <= min(values) <= max(values) <= high
    assert axes.get_xlabel() == "epoch"


@pytest.mark.parametrize("last", [1, 5, 100, 800])
def test_the_axis_of_epochs_ends_with_the_epochs(last):
    (axes,) = plotting.curves({"a": [1.0] * last}, title="", ylabel="").axes
    low, high = axes.get_xlim()
    assert 0 < low <= 1
    assert last <= high < last + 1


def test_files_are_the_same_each_time():
    one, other = (plotting.encode(CASES["curves"]()) for _ in range(2))
    assert one == other
    assert one["png"].startswith(b"\x89PNG")
    assert b"<svg" in one["svg"]


def test_drawing_leaves_the_style_of_matplotlib_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plotting.encode(CASES["states"]())
    assert dict(matplotlib.rcParams) == before


def test_a_figure_is_described_in_its_files():
    figure = plotting.curves({"net": [3.0, 1.0]}, title="Errors", ylabel="%")
    assert plotting.describe(figure) == "Errors. net from 3 to 1"
    files = plotting.encode(figure)
    with Image.open(io.BytesIO(files["png"])) as picture:
        assert picture.info["Description"] == "Errors. net from 3 to 1"
    assert b"Errors. net from 3 to 1" in files["svg"]
