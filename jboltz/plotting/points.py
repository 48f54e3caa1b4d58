"""Points of a plane, and circles on an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from jboltz.plotting.style import (
    move_apart,
    new_figure,
    panel_grid,
    styled,
    titled,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled()
def scatter(
    points: ArrayLike,
    labels: ArrayLike | None,
    *,
    title: str,
    axis_labels: tuple[str, str],
) -> Figure:
    """Points of a plane, (count, 2), coloured by class where labels are given.

    The name of a class, its label, stands at the median of its points, or above it with
    a line to it where another name is in the way.
    """
    from matplotlib import rcParams

    points, cycle = np.asarray(points), list(rcParams["axes.prop_cycle"])
    classes = np.zeros(len(points), int) if labels is None else np.asarray(labels)
    figure = new_figure(7.0, 6.0)
    axes, names = figure.subplots(), []
    for index, name in enumerate(np.unique(classes)):
        of_class, look = points[classes == name], cycle[index % len(cycle)]
        axes.scatter(of_class[:, 0], of_class[:, 1], s=10, alpha=0.5, **look)
        if labels is not None:  # In writing too: ten colours are hard to tell apart.
            names.append(
                axes.annotate(
                    str(name),
                    tuple(np.median(of_class, axis=0)),
                    xytext=(0, 0),
                    textcoords="offset points",
                    ha="center",
                    va="center",
                    weight="bold",
                    bbox={
                        "boxstyle": "round",
                        "facecolor": "white",
                        "edgecolor": look["color"],
                    },
                    arrowprops={"arrowstyle": "-", "color": look["color"]},
                )
            )
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
    axes.set_title(wrapped(title, 6.2, 11))
    axes.grid()
    move_apart(figure, names, gap=6.0)
    return figure


@styled()
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
    names = [f"{name}: {len(np.asarray(x))} units" for name, (_, x) in panels.items()]
    figure, axes = panel_grid(names, len(panels), 3.4, [3.7] * len(panels))
    for axis, (centres, radii) in zip(axes, panels.values(), strict=True):
        pairs = zip(np.asarray(centres), np.asarray(radii), strict=True)
        for (row, column), radius in pairs:
            circle = Circle((column, row), radius, fill=False, color="C0", alpha=0.3)
            axis.add_patch(circle)
        axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axis.set(xticks=[], yticks=[], aspect="equal")
        axis.spines[:].set_visible(True)
    return titled(figure, title)
