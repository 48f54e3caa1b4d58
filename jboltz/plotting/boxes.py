"""Bars with intervals, and samples as boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from jboltz.plotting.style import panel_grid, styled, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled()
def bars(
    panels: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    title: str,
    xlabel: str,
) -> Figure:
    """Named panels of horizontal bars; a bar is (value, low end, high end).

    The first bar of a panel is coloured, and the others are compared with it. Bars are
    cut at ten times its length; the number beside a bar is its value.
    """
    heights = [0.32 * len(panel) + 1.1 for panel in panels.values()]
    figure, axes = panel_grid(panels, min(len(panels), 3), 4.8, heights)
    for axis, panel in zip(axes, panels.values(), strict=True):
        longest = 10 * next(iter(panel.values()))[0] or np.inf
        for row, (value, *ends) in enumerate(panel.values()):
            length, *ends = (min(x, longest) for x in (value, *ends))
            axis.barh(row, length, color="C0" if row == 0 else "0.7")
            axis.plot(ends, (row, row), color="black", linewidth=1, marker="")
            axis.annotate(
                f"{value:.3g}" if value <= longest else f"… {value:.3g}",
                (max(length, *ends), row),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        axis.set_yticks(range(len(panel)), list(panel))
        axis.set_ylim(len(panel) - 0.5, -0.5)
        axis.margins(x=0.15)
        axis.set_xlim(left=0)
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel(xlabel)
    return titled(figure, title)


@styled()
def distributions(
    panels: Mapping[str, Mapping[str, ArrayLike]], *, title: str
) -> Figure:
    """Panels of named samples, two in a row. Each sample is a box from the lower to the
    upper quartile, with the median, and whiskers over the middle 90 %."""
    heights = [0.3 * len(panel) + 0.9 for panel in panels.values()]
    figure, grid = panel_grid(panels, min(len(panels), 2), 5.0, heights)
    for axes, panel in zip(grid, panels.values(), strict=True):
        axes.boxplot(
            [np.asarray(x, np.float64) for x in panel.values()],
            orientation="horizontal",
            widths=0.6,
            whis=(5, 95),
            showfliers=False,
            medianprops={"color": "C1", "linewidth": 2},
        )
        axes.set_yticks(range(1, len(panel) + 1), list(panel))
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.grid(axis="x")
    return titled(figure, title)
