"""Figures show the numbers that they are given."""

import itertools

import numpy as np
import pytest

from jboltz import plotting


@pytest.mark.parametrize(("values", "bottom"), [([3.0, 1.0], 0), ([-9.0, -2.0], None)])
def test_a_curve_is_within_its_axes(values, bottom):
    (axes,) = plotting.curves({"loss": values}, title="", ylabel="").axes
    low, high = axes.get_ylim()
    assert low <= min(values) < max(values) <= high
    assert bottom is None or low == bottom


def test_labels_of_curves_that_end_close_do_not_overlap():
    """And each is that of its curve, in the order of the curves."""
    ends = {"a": 0.5, "b": 0.501, "c": 0.5005, "far": 0.9}
    series = {name: [1.0, value] for name, value in ends.items()}
    figure = plotting.curves(series, title="", ylabel="")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert [text.get_text() for text in figure.axes[0].texts] == [
        *("0.5000", "0.5005", "0.5010", "0.9000")
    ]
    for below, above in itertools.pairwise(boxes):
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
