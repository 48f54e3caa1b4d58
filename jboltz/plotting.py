"""Figures from arrays. The only module that imports matplotlib, at the first figure:
a program then shows its first epoch half a second sooner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# `pyplot` is avoided: it may open windows and it changes global state.
_DPI = 120

_LABEL_POINTS = 11
"""The distance between two labels in points, a little more than their height."""


def filters(weights: ArrayLike, image_shape: tuple[int, ...], *, title: str) -> Figure:
    """The weights of each hidden unit, (num_visible, num_hidden), as an image.

    All tiles have one colour scale, red above zero and blue below, so that a unit that
    learnt nothing looks empty. At most 100 units are shown, those of the largest norm.
    """
    weights = np.asarray(weights, np.float64)
    strongest = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[:100]
    tiles = weights[:, strongest].T.reshape(-1, *image_shape)
    limit = float(np.quantile(np.abs(tiles), 0.995)) or 1.0
    figure = _figure(7.0, 7.8)
    axes = figure.add_axes((0.02, 0.11, 0.96, 0.84))
    image = axes.imshow(_tile(tiles, 10), cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_title(title)
    axes.set_axis_off()
    bar = figure.add_axes((0.25, 0.08, 0.5, 0.02))
    figure.colorbar(image, cax=bar, orientation="horizontal", label="weight")
    return figure


def colour_tiles(
    panels: Mapping[str, ArrayLike], image_shape: tuple[int, ...], *, title: str
) -> Figure:
    """Named panels of filters, gray or coloured, (count, num_features) each.

    Gray is zero. Each tile has a scale of its own, so that a weak filter is visible.
    A panel shows at most its first 100 filters.
    """
    figure, axes = _panels(len(panels), len(panels), (4.6, 5.1))
    for axis, (name, filters) in zip(axes, panels.items(), strict=True):
        tiles = np.asarray(filters, np.float64)[:100]
        largest = np.abs(tiles).max(axis=1, keepdims=True)
        tiles = 0.5 + 0.5 * tiles / np.where(largest > 0, largest, 1)
        axis.imshow(
            _tile(tiles.reshape(-1, *image_shape), 10),
            interpolation="nearest",
            cmap="gray",  # for gray tiles; `imshow` ignores it for coloured ones
            vmin=0,
            vmax=1,
        )
        axis.set_title(name)
        axis.set_axis_off()
    return _titled(figure, title)


def image_rows(
    rows: Mapping[str, ArrayLike], image_shape: tuple[int, ...], *, title: str
) -> Figure:
    """Named rows of images with values in [0, 1], one row below another."""
    arrays = {
        name: np.asarray(row).reshape(-1, *image_shape) for name, row in rows.items()
    }
    columns = max(len(row) for row in arrays.values())
    figure, axes = _panels(len(rows), 1, (0.62 * columns, 0.68), (1.4, 0.7))
    for axis, (name, row) in zip(axes, arrays.items(), strict=True):
        axis.imshow(_tile(row, columns), cmap="gray", vmin=0, vmax=1)
        axis.set_yticks([image_shape[0] / 2], [name])
        axis.set_xticks([])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    return _titled(figure, title)


def states(
    columns: Mapping[str, ArrayLike], image_shape: tuple[int, ...], *, title: str
) -> Figure:
    """Named columns of states in [0, 1], (examples, size) each; an example is a row.

    A state as large as an image is shown as an image, any other as the smallest square
    that has room for it.
    """
    arrays = {name: np.asarray(x, np.float64) for name, x in columns.items()}
    rows = max(len(x) for x in arrays.values())
    figure = _figure(1.15 * len(arrays) + 0.3, 1.15 * rows + 0.8)
    axes = figure.subplots(rows, len(arrays), squeeze=False)
    for column, (name, x) in zip(axes.T, arrays.items(), strict=True):
        column[0].set_title(name, fontsize=9)
        for axis, state in zip(column, x, strict=True):
            shape = image_shape
            if state.size != np.prod(image_shape):
                shape = (int(np.ceil(np.sqrt(state.size))),) * 2
            picture = np.full(shape, np.nan)
            picture.flat[: state.size] = state
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
    return _titled(figure, title)


def scatter(
    points: ArrayLike,
    labels: ArrayLike | None,
    *,
    title: str,
    axis_labels: tuple[str, str],
) -> Figure:
    """Points of a plane, (count, 2), coloured by class where labels are given."""
    points = np.asarray(points)
    classes = np.zeros(len(points), int) if labels is None else np.asarray(labels)
    figure = _figure(7.0, 6.0)
    axes = figure.subplots()
    for index in np.unique(classes):
        of_class = points[classes == index]
        color = f"C{index % 10}"
        axes.scatter(*of_class.T, s=8, alpha=0.6, color=color, label=str(index))
        if labels is not None:  # In writing too: ten colours are hard to tell apart.
            middle = np.median(of_class, axis=0)
            axes.annotate(
                str(index),
                (float(middle[0]), float(middle[1])),
                weight="bold",
                bbox={"boxstyle": "circle", "facecolor": "white", "edgecolor": color},
            )
    axes.set(title=title, xlabel=axis_labels[0], ylabel=axis_labels[1])
    axes.grid(alpha=0.3)
    figure.tight_layout()
    return figure


def circles(
    panels: Mapping[str, tuple[ArrayLike, ArrayLike]],
    image_shape: tuple[int, ...],
    *,
    title: str,
) -> Figure:
    """Named panels of circles on an empty image: centres, (count, 2) rows and columns,
    and radii, (count,), in pixels."""
    from matplotlib.patches import Circle

    height, width = image_shape[:2]
    figure, axes = _panels(len(panels), len(panels), (3.4, 3.9))
    for axis, (name, (centres, radii)) in zip(axes, panels.items(), strict=True):
        of_units = list(zip(np.asarray(centres), np.asarray(radii), strict=True))
        for (row, column), radius in of_units:
            circle = Circle((column, row), radius, fill=False, color="C0", alpha=0.3)
            axis.add_patch(circle)
        axis.set(title=f"{name}: {len(of_units)} units", aspect="equal")
        axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axis.set(xticks=[], yticks=[])
    return _titled(figure, title)


def distributions(
    panels: Mapping[str, Mapping[str, ArrayLike]], *, title: str
) -> Figure:
    """Panels of named samples, two in a row. Each sample is a box from the lower to the
    upper quartile, with the median, and whiskers over the middle 90 %."""
    height = 0.3 * max(map(len, panels.values())) + 0.9
    figure, grid = _panels(len(panels), 2, (5.0, height), (0.0, 0.6))
    for axes, (name, panel) in zip(grid, panels.items(), strict=True):
        values = [np.asarray(x, np.float64) for x in panel.values()]
        axes.boxplot(
            values,
            orientation="horizontal",
            widths=0.6,
            whis=(5, 95),
            showfliers=False,
        )
        axes.set_yticks(range(1, len(panel) + 1), list(panel))
        axes.invert_yaxis()
        axes.set_title(name)
        axes.set_xlim(left=0)
        axes.grid(axis="x", alpha=0.3)
    return _titled(figure, title)


def curves(series: Mapping[str, Sequence[float]], *, title: str, ylabel: str) -> Figure:
    """Named curves over epochs, each labelled at its end with its last value."""
    figure = _figure(7.0, 4.2)
    axes = figure.subplots()
    _draw_curves(axes, series, room=0.15)
    axes.set(title=title, xlabel="epoch", ylabel=ylabel)
    axes.legend(frameon=False)
    figure.tight_layout()
    _label_ends(axes)
    return figure


def curve_panels(
    panels: Mapping[str, Mapping[str, Sequence[float]]], *, title: str
) -> Figure:
    """Small named panels of curves over epochs, three panels in a row; the axis starts
    at 0 if no value is below, and values that are not finite are left out."""
    figure, grid = _panels(len(panels), 3, (11 / 3, 2.6), (0.0, 0.8))
    for axes, (name, series) in zip(grid, panels.items(), strict=True):
        _draw_curves(axes, series, room=0.35)
        axes.set_title(name)
    grid[0].legend(frameon=False)
    figure.supxlabel("epoch")
    _titled(figure, title)
    for axes in grid:
        _label_ends(axes)
    return figure


def _draw_curves(
    axes: Axes, series: Mapping[str, Sequence[float]], *, room: float
) -> None:
    """Draws curves with `room` for labels at the right, as a share of the width."""
    from matplotlib.ticker import MaxNLocator

    for name, values in series.items():
        epochs = np.arange(1, len(values) + 1)
        axes.plot(epochs, values, marker="o", markersize=4, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    last = max(map(len, series.values()), default=1)
    span = max(last - 1, 1)
    axes.set_xlim(1 - 0.05 * span, last + room * span)
    # Errors are shown from 0 on; contrasts may be negative and keep their range.
    if axes.dataLim.y0 >= 0:
        axes.set_ylim(bottom=0)
    # A label is as high as the margin that it has.
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.05 * (high - low))
    axes.grid(alpha=0.3)


def _label_ends(axes: Axes) -> None:
    """Writes the last value beside the end of each line, without overlaps; the layout
    of the figure has to be final."""
    ends = []
    for line in axes.lines:
        x, y = (np.asarray(data, float) for data in line.get_data())
        if len(x) and np.isfinite(y[-1]):
            ends.append((y[-1], x[-1], line.get_color()))
    taken = dict.fromkeys((x for _, x, _ in ends), -np.inf)
    for y, x, colour in sorted(ends, key=lambda end: end[0]):
        height = axes.transData.transform((x, y))[1] * 72 / _DPI
        taken[x] = max(height, taken[x] + _LABEL_POINTS)
        axes.annotate(
            f"{y:#.4g}",
            (x, y),
            xytext=(6, taken[x] - height),
            textcoords="offset points",
            va="center",
            color=colour,
        )


def _tile(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Images (n, height, width) or (n, height, width, colours) side by side, one blank
    pixel apart."""
    count, height, width, *colours = tiles.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    shape = (rows * (height + 1) - 1, columns * (width + 1) - 1, *colours)
    grid = np.full(shape, 1.0 if colours else np.nan)
    for index, tile in enumerate(tiles):
        top, left = (height + 1) * (index // columns), (width + 1) * (index % columns)
        grid[top : top + height, left : left + width] = tile
    return grid


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
    figure, axes = _wide_panels(len(panels), max(map(len, panels.values())))
    for axis, (name, panel) in zip(axes, panels.items(), strict=True):
        longest = 10 * next(iter(panel.values()))[0] or np.inf
        for row, (value, *ends) in enumerate(panel.values()):
            length, *ends = (min(x, longest) for x in (value, *ends))
            axis.barh(row, length, color="C0" if row == 0 else "C7")
            axis.plot(ends, (row, row), color="black", linewidth=1)
            text = f" {value:.3g}" if value <= longest else f" … {value:.3g}"
            axis.text(max(length, *ends), row, text, va="center")
        axis.set_yticks(range(len(panel)), list(panel))
        axis.invert_yaxis()
        axis.margins(x=0.15)
        axis.set_xlim(left=0)
        axis.set(title=name, xlabel=xlabel)
        axis.spines[["top", "right"]].set_visible(False)
    # The default, 0.98, would leave more than a line above the title of a tall figure.
    return _titled(figure, title, y=0.998)


def curves_over(
    panels: Mapping[str, Mapping[str, Sequence[tuple[int | float, float]]]],
    *,
    title: str,
    xlabel: str,
    yscale: Literal["linear", "log"] = "linear",
) -> Figure:
    """Named panels of curves through points (x, y), x on a logarithmic scale."""
    figure, axes = _wide_panels(len(panels), 6)
    for axis, (name, series) in zip(axes, panels.items(), strict=True):
        for label, points in series.items():
            axis.plot(*zip(*points, strict=True), "o-", markersize=4, label=label)
        axis.set_xscale("log", base=2)
        axis.set_yscale(yscale)
        if yscale == "linear":
            axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.set(title=name, xlabel=xlabel)
    axes[0].legend(frameon=False)
    return _titled(figure, title)


def _wide_panels(count: int, num_bars: int) -> tuple[Figure, np.ndarray]:
    """At most three panels in a row, each as high as `num_bars` bars."""
    return _panels(count, min(count, 3), (4.6, 0.42 * num_bars + 1.2), (0.8, 0.4))


def _panels(
    count: int,
    columns: int,
    size: tuple[float, float],
    margin: tuple[float, float] = (0.0, 0.0),
) -> tuple[Figure, np.ndarray]:
    """A figure and the axes of its panels, `columns` in a row.

    Args:
      size: width and height of a panel, in inches.
      margin: what all panels together leave free.
    """
    rows = -(-count // columns)
    width, height = columns * size[0] + margin[0], rows * size[1] + margin[1]
    figure = _figure(width, height)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def _figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI)


def _titled(figure: Figure, title: str, y: float = 0.98) -> Figure:
    """The figure with a title, and its panels laid out below."""
    figure.suptitle(title, y=y)
    figure.tight_layout()
    return figure
