"""Figures show the numbers that they are given."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from jboltz import plotting


@pytest.mark.parametrize(("values", "bottom"), [([3.0, 1.0], 0), ([-9.0, -2.0], None)])
def test_a_curve_is_within_its_axes(values, bottom):
    (axes,) = plotting.curves({"loss": values}, title="", ylabel="").axes
    low, high = axes.get_ylim()
    assert low <= min(values) < max(values) <= high
    assert bottom is None or low == bottom


def test_labels_of_curves_that_end_close_do_not_overlap():
    ends = {"a": 0.5, "b": 0.501, "c": 0.5005, "far": 0.9}
    series = {name: [1.0, value] for name, value in ends.items()}
    figure = plotting.curves(series, title="", ylabel="")
    figure.draw_without_rendering()
    # In the order of the curves, whatever that of their values on the axis.
    labels = figure.axes[0].texts
    assert [text.get_text() for text in labels] == [f"{x:.4f}" for x in ends.values()]
    boxes = [Text.get_window_extent(text) for text in labels]
    order = sorted(boxes, key=lambda box: box.y0)
    assert order == [boxes[0], boxes[2], boxes[1], boxes[3]]
    for below, above in itertools.pairwise(order):
        assert below.y1 <= above.y0


def test_circles_are_where_and_as_large_as_they_are_said_to_be():
    panels = {"one": ([[2.0, 5.0], [0.0, 1.0]], [1.5, 3.0])}
    (axes,) = plotting.circles(panels, (8, 9, 3), title="").axes
    assert [circle.center for circle in axes.patches] == [(5.0, 2.0), (1.0, 0.0)]
    assert [circle.radius for circle in axes.patches] == [1.5, 3.0]
    assert axes.get_xlim() == (-0.5, 8.5)
    assert axes.get_ylim() == (7.5, -0.5)  # Rows go down.


def test_a_distribution_has_its_median_in_its_own_row():
    panels = {"size": {"a": np.arange(5.0), "b": np.arange(7.0, 10.0)}}
    axes = plotting.distributions(panels, title="").axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]
    lines = [np.asarray(line.get_xydata()) for line in axes.lines]
    for row, median in ((1, 2.0), (2, 8.0)):
        assert any((x[:, 0] == median).all() and x[:, 1].mean() == row for x in lines)


def test_a_bar_that_dwarfs_the_first_is_cut_and_keeps_its_number():
    bars = {"a": (2.0, 1.0, 3.0), "b": (4.0, 4.0, 4.0), "c": (800.0, 700.0, 900.0)}
    (axes,) = plotting.bars({"x": bars}, title="x", xlabel="x").axes
    assert [bar.get_width() for bar in axes.patches] == [2.0, 4.0, 20.0]
    assert [text.get_text().split()[-1] for text in axes.texts] == ["2", "4", "800"]
    assert axes.get_xlim()[0] == 0


def test_curves_go_through_their_points_three_panels_in_a_row():
    points = [(1, 0.5), (16, 0.25)]
    panels = {str(index): {"a": points, "b": points[:1]} for index in range(4)}
    figure = plotting.curves_over(panels, title="x", xlabel="x")
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == list(panels)
    assert len({axes.get_position().y0 for axes in shown}) == 2
    for axes in shown:
        (first, second) = (np.transpose(line.get_data()) for line in axes.lines)
        np.testing.assert_array_equal(first, points)
        np.testing.assert_array_equal(second, points[:1])
        assert axes.get_ylim()[0] == 0


def test_one_epoch_has_one_tick():
    panels = {"rank": {"layer 1": [120.31], "layer 2": [180.45]}, "none": {"a": [0.0]}}
    figure = plotting.curve_panels(panels, title="x")
    axes, _ = (axes for axes in figure.axes if axes.axison)
    low, high = axes.get_xlim()
    assert [x for x in axes.get_xticks() if low <= x <= high] == [1]
    assert [text.get_text() for text in axes.texts] == ["120.3", "180.4"]
