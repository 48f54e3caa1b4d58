"""What all figures share: the style, the grid of panels, and text that stays apart."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

_POINTS_PER_INCH = 72

_CHARACTER = 0.62
"""The width of a character over the size of its font: rarely more in a whole line."""


@contextmanager
def styled() -> Iterator[None]:
    """A context, or a decorator, in which figures have the style sheet of jboltz."""
    from matplotlib import style

    with style.context("jboltz.plotting.jboltz"):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches.

    `pyplot` is avoided: it may open windows and it changes global state.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def wrapped(text: str, width: float, size: int) -> str:
    """The text in lines of at most `width` inches, in a font of `size` points."""
    count = max(8, int(width * _POINTS_PER_INCH / (_CHARACTER * size)))
    return "\n".join(textwrap.fill(line, count) for line in text.splitlines())


def titled(figure: Figure, title: str) -> Figure:
    """The figure with a title over its panels, in as many lines as it needs."""
    if title:
        figure.suptitle(wrapped(title, figure.get_figwidth() - 0.2, 12))
    return figure


def panel_grid(
    names: Iterable[str],
    columns: int,
    width: float,
    heights: Sequence[float],
) -> tuple[Figure, list[Axes]]:
    """A figure and its panels with their names as titles, `columns` in a row.

    Args:
      width: of a panel, in inches.
      heights: of the panels, in inches; the highest in a row decides.
    """
    rows = [max(heights[i : i + columns]) for i in range(0, len(heights), columns)]
    # The title over all panels needs a line or two.
    figure = new_figure(columns * width, sum(rows) + 0.6)
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=rows)
    axes = list(grid.ravel())
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(wrapped(name, width - 0.4, 11))
    for axis in axes[len(heights) :]:
        axis.set_axis_off()
    return figure, axes[: len(heights)]


def legend_below(figure: Figure, axes: Axes) -> None:
    """A legend of what `axes` shows, below all panels, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    width = 0.6 + max(map(len, labels), default=0) * _CHARACTER * 9 / _POINTS_PER_INCH
    columns = int(figure.get_figwidth() / width)
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(max(columns, 1), max(len(labels), 1)),
    )


def move_apart(figure: Figure, labels: Sequence[Annotation], gap: float = 1.0) -> None:
    """Moves labels up or down until they neither overlap nor stand above their axes.

    Call it last: nothing else in the figure may move afterwards.

    Args:
      gap: what each label keeps free around it, in points.
    """
    from matplotlib.text import Text

    figure.draw_without_rendering()
    scale = figure.dpi / _POINTS_PER_INCH
    boxes = [Text.get_window_extent(label).padded(gap * scale) for label in labels]
    tops = [axes.get_window_extent().y1 for x in labels if (axes := x.axes)]
    centres = [(box.y0 + box.y1) / 2 for box in boxes]

    def distances(index: int, placed: list[int]) -> Iterator[tuple[int, float]]:
        """The labels in one column with `index`, and how far they have to be."""
        one = boxes[index]
        for other in placed:
            if boxes[other].x0 < one.x1 and one.x0 < boxes[other].x1:
                yield other, (boxes[other].height + one.height) / 2

    # Up from the lowest label, then down again from the top of the axes.
    for way, furthest in ((1, max), (-1, min)):
        placed: list[int] = []
        for index in sorted(range(len(labels)), key=lambda i: way * centres[i]):
            ends = [centres[i] + way * x for i, x in distances(index, placed)]
            if way == -1:
                ends.append(tops[index] - boxes[index].height / 2)
            centres[index] = furthest([centres[index], *ends])
            placed.append(index)
    for label, box, centre in zip(labels, boxes, centres, strict=True):
        x, y = label.get_position()
        label.set_position((x, y + (centre - (box.y0 + box.y1) / 2) / scale))
