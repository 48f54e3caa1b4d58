"""Curves over epochs, and over sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from jboltz.plotting.style import (
    legend_below,
    move_apart,
    new_figure,
    panel_grid,
    styled,
    titled,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

_SPIKES = 5.0
"""Single values are spikes where they make the axis so many times as long."""

_MARKED = 60
"""Longer curves are lines without a marker at each epoch, which would touch."""


@styled()
def curves(series: Mapping[str, Sequence[float]], *, title: str, ylabel: str) -> Figure:
    """Named curves over epochs, each labelled at its end with its last value.

    A spike is a value of a single epoch beside which the rest would be a flat line. It
    leaves the frame, and its value stands below the axis.
    """
    figure = new_figure(7.0, 4.4)
    axes = figure.subplots()
    labels = _draw_curves(axes, series, width=6.0)
    axes.set(title=wrapped(title, 6.2, 11), ylabel=ylabel)
    legend_below(figure, axes)
    move_apart(figure, labels)
    return figure


@styled()
def curve_panels(
    panels: Mapping[str, Mapping[str, Sequence[float]]], *, title: str
) -> Figure:
    """Small named panels of curves over epochs, three panels in a row; the axis starts
    at 0 if no value is below, and values that are not finite are left out."""
    figure, grid = panel_grid(panels, 3, 11 / 3, [2.7] * len(panels))
    labels = []
    for axes, series in zip(grid, panels.values(), strict=True):
        labels += _draw_curves(axes, series, width=2.8)
    legend_below(figure, grid[0])
    titled(figure, title)
    move_apart(figure, labels)
    return figure


@styled()
def curves_over(
    panels: Mapping[str, Mapping[str, Sequence[tuple[int | float, float]]]],
    *,
    title: str,
    xlabel: str,
    yscale: Literal["linear", "log"] = "linear",
) -> Figure:
    """Named panels of curves through points (x, y), x on a logarithmic scale."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure, grid = panel_grid(panels, min(len(panels), 3), 4.8, [3.4] * len(panels))
    for axes, series in zip(grid, panels.values(), strict=True):
        for label, points in series.items():
            x, y = np.transpose(points)
            axes.plot(x, y, label=label)
        axes.set_xscale("log", base=2)
        axes.set_yscale(yscale)
        if yscale == "linear":
            axes.set_ylim(bottom=0)
        else:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        axes.grid()
        axes.set_xlabel(xlabel)
    legend_below(figure, grid[0])
    return titled(figure, title)


def _draw_curves(
    axes: Axes, series: Mapping[str, Sequence[float]], *, width: float
) -> list[Annotation]:
    """Draws curves, and their last values right of the frame.

    Args:
      width: of the axes, in inches.
    """
    from matplotlib.ticker import MaxNLocator

    labels, arrays = [], {k: np.asarray(y, np.float64) for k, y in series.items()}
    last = max([1, *map(len, arrays.values())])
    for name, values in arrays.items():
        (line,) = axes.plot(np.arange(1, len(values) + 1), values, label=name)
        if len(values) > _MARKED:
            line.set_marker("")
        if len(values) and np.isfinite(values[-1]):
            labels.append(_label_end(axes, values[-1], str(line.get_color())))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    margin = min(0.03 * (last - 1), 0.5) or 0.5  # There is no epoch 0.
    axes.set_xlim(1 - margin, last + margin)
    notes = _leave_out_spikes(axes, arrays)
    # Errors are shown from 0 on; contrasts may be negative and keep their range.
    if axes.dataLim.y0 >= 0:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(wrapped("\n".join(["epoch", *notes]), width, 10))
    axes.grid()
    return labels


def _label_end(axes: Axes, value: float, colour: str) -> Annotation:
    return axes.annotate(
        f"{value:#.4g}".rstrip(".").replace("-", "−"),
        (1, value),
        xycoords=axes.get_yaxis_transform(),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=colour,
    )


def _leave_out_spikes(axes: Axes, series: Mapping[str, np.ndarray]) -> list[str]:
    """Sets the vertical range to that of the values without spikes.

    Returns:
      A sentence on each curve that leaves the range.
    """
    calm = np.concatenate([_without_spikes(values) for values in series.values()])
    found = np.concatenate([values for values in series.values()])
    found, calm = found[np.isfinite(found)], calm[np.isfinite(calm)]
    if not len(calm) or np.ptp(found) <= _SPIKES * np.ptp(calm):
        return []
    room = 0.05 * float(np.ptp(calm)) or 1.0
    low, high = calm.min() - room, calm.max() + room
    axes.set_ylim(low, high)
    notes = []
    for name, values in series.items():
        outside = np.flatnonzero((values < low) | (values > high))
        beyond = [f"{i + 1} ({_in_words(values[i])})" for i in outside]
        if len(beyond) > 8:
            beyond[8:] = [f"and {len(beyond) - 8} more"]
        if beyond:
            notes.append(f"{name} leaves the frame in epoch {', '.join(beyond)}")
    return notes


def _in_words(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")


def _without_spikes(values: np.ndarray) -> np.ndarray:
    """The running median of three epochs; the first and last are kept."""
    if len(values) < 3:
        return values
    middle = np.median([values[:-2], values[1:-1], values[2:]], axis=0)
    return np.concatenate([values[:1], middle, values[-1:]])
