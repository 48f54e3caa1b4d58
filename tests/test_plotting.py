"""Curves are seen, whichever sign they have."""

import pytest

from jboltz import plotting


@pytest.mark.parametrize(("values", "bottom"), [([3.0, 1.0], 0), ([-9.0, -2.0], None)])
def test_a_curve_is_within_its_axes(values, bottom):
    (axes,) = plotting.curves({"loss": values}, title="", ylabel="").axes
    low, high = axes.get_ylim()
    assert low <= min(values) < max(values) <= high
    assert bottom is None or low == bottom
