"""Weights, images and states as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from jboltz.plotting.style import new_figure, panel_grid, styled, titled, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGE = 0.98
"""Weights above this quantile of a tile are drawn alike: scaled by its single largest
weight, most tiles would be gray."""


@styled()
def filters(weights: ArrayLike, image_shape: tuple[int, ...], *, title: str) -> Figure:
    """The weights of each hidden unit, (num_visible, num_hidden), as an image.

    All tiles have one colour scale, red above zero and blue below, so that a unit that
    learnt nothing looks empty. At most 100 units are shown, those of the largest norm.
    """
    weights = np.asarray(weights, np.float64)
    strongest = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[:100]
    tiles = weights[:, strongest].T.reshape(-1, *image_shape)
    limit = float(np.quantile(np.abs(tiles), 0.995)) or 1.0
    grid = _tile(tiles, 10)
    figure = new_figure(7.0, 6.8 * grid.shape[0] / grid.shape[1] + 1.2)
    axes = figure.subplots()
    image = axes.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_title(wrapped(title, 6.6, 11))
    axes.set_axis_off()
    figure.colorbar(
        image,
        ax=axes,
        location="bottom",
        shrink=0.5,
        aspect=40,
        pad=0.02,
        label="weight",
    )
    return figure


@styled()
def colour_tiles(
    panels: Mapping[str, ArrayLike], image_shape: tuple[int, ...], *, title: str
) -> Figure:
    """Named panels of filters, gray or coloured, (count, num_features) each.

    Gray is zero. Each tile has a scale of its own, so that a weak filter is visible.
    A panel shows at most its first 100 filters.
    """
    pictures = [_scaled(rows, image_shape) for rows in panels.values()]
    heights = [4.4 * grid.shape[0] / grid.shape[1] + 0.4 for grid in pictures]
    figure, axes = panel_grid(panels, len(panels), 4.6, heights)
    for axis, grid in zip(axes, pictures, strict=True):
        # `imshow` ignores the map of colours for tiles that are coloured.
        axis.imshow(grid, cmap="gray", vmin=0, vmax=1)
        axis.set_axis_off()
    return titled(figure, title)


@styled()
def image_rows(
    rows: Mapping[str, ArrayLike], image_shape: tuple[int, ...], *, title: str
) -> Figure:
    """Named rows of images with values in [0, 1], one row below another."""
    arrays = {
        name: np.asarray(row).reshape(-1, *image_shape) for name, row in rows.items()
    }
    columns = max(len(row) for row in arrays.values())
    width = max(4.5, 0.62 * columns + 1.6)
    figure = new_figure(width, 0.68 * len(rows) + 0.8)
    axes = figure.subplots(len(rows), 1, squeeze=False).ravel()
    for axis, (name, row) in zip(axes, arrays.items(), strict=True):
        axis.imshow(_tile(row, columns), cmap="gray", vmin=0, vmax=1)
        axis.set_yticks([image_shape[0] / 2], [wrapped(name, 1.5, 9)])
        axis.set_xticks([])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    return titled(figure, title)


@styled()
def states(
    columns: Mapping[str, ArrayLike], image_shape: tuple[int, ...], *, title: str
) -> Figure:
    """Named columns of states in [0, 1], (examples, size) each; an example is a row.

    A state as large as an image is shown as an image, any other as the smallest square
    that has room for it.
    """
    arrays = {name: np.asarray(x, np.float64) for name, x in columns.items()}
    rows = max(len(x) for x in arrays.values())
    figure = new_figure(max(4.5, 1.15 * len(arrays) + 0.3), 1.15 * rows + 0.9)
    axes = figure.subplots(rows, len(arrays), squeeze=False)
    for column, (name, x) in zip(axes.T, arrays.items(), strict=True):
        column[0].set_title(wrapped(name, 1.1, 9), fontsize=9)
        for axis, state in zip(column, x, strict=True):
            shape = image_shape
            if state.size != np.prod(image_shape):
                shape = (int(np.ceil(np.sqrt(state.size))),) * 2
            picture = np.full(shape, np.nan)
            picture.flat[: state.size] = state
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
    return titled(figure, title)


def _scaled(filters: ArrayLike, image_shape: tuple[int, ...]) -> np.ndarray:
    """The first 100 filters side by side, each on a scale of its own."""
    tiles = np.asarray(filters, np.float64)[:100]
    size = np.abs(tiles)
    large = np.quantile(size, _LARGE, axis=1, keepdims=True)
    # The quantile of a filter with only a few pixels is 0.
    large = np.where(large > 0, large, size.max(axis=1, keepdims=True))
    tiles = np.clip(0.5 + 0.5 * tiles / np.where(large > 0, large, 1), 0, 1)
    return _tile(tiles.reshape(-1, *image_shape), 10)


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
