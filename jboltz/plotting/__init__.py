"""Figures from arrays, all in the style of jboltz.mplstyle.

This room alone imports matplotlib, and does so at the first figure: a program then
shows its first epoch half a second sooner.
"""

from jboltz.plotting.boxes import bars, distributions
from jboltz.plotting.files import Drawing, describe, encode
from jboltz.plotting.images import colour_tiles, filters, image_rows, states
from jboltz.plotting.lines import curve_panels, curves, curves_over
from jboltz.plotting.points import circles, scatter

__all__ = [
    "Drawing",
    "bars",
    "circles",
    "colour_tiles",
    "curve_panels",
    "curves",
    "curves_over",
    "describe",
    "distributions",
    "encode",
    "filters",
    "image_rows",
    "scatter",
    "states",
]
