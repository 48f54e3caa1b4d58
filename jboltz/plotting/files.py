"""A figure as files, and in words."""

import io
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Drawing(Protocol):
    """A figure of matplotlib, which is not imported for this."""

    def savefig(self, fname: Any, *, format: str, metadata: Any) -> None: ...


def encode(figure: Drawing) -> dict[str, bytes]:
    """The figure as files, by their suffix: "png" for screens, "svg" for print.

    The same figure gives the same bytes. The entry "Description" of their metadata says
    what the figure shows.

    Args:
      figure: of matplotlib.
    """
    from matplotlib import rc_context

    files, description = {}, {"Description": describe(figure)}
    # Names inside of an SVG are otherwise random.
    with rc_context({"svg.hashsalt": "jboltz"}):
        for suffix, dated in (("png", {}), ("svg", {"Date": None})):
            file = io.BytesIO()
            figure.savefig(file, format=suffix, metadata=description | dated)
            files[suffix] = file.getvalue()
    return files


def describe(figure: Any) -> str:
    """What a figure shows, for those who do not see it: its titles, the names at its
    axes, and where its curves begin and end.

    Args:
      figure: of matplotlib.
    """
    said = (" ".join(text.split()) for text in _texts(figure))
    return ". ".join(text for text in said if text)


def _texts(figure: Any) -> Iterator[str]:
    yield figure.get_suptitle()
    for axes in figure.axes:
        yield axes.get_title()
        names = [label.get_text() for label in axes.get_yticklabels()]
        # Other labels are the numbers of a scale.
        yield ", ".join(x for x in names if any(letter.isalpha() for letter in x))
        for line in axes.lines:
            values = np.asarray(line.get_ydata(), np.float64)
            values = values[np.isfinite(values)]
            # Matplotlib's own names, of lines without one, begin so.
            if len(values) and not line.get_label().startswith("_"):
                yield f"{line.get_label()} from {values[0]:.4g} to {values[-1]:.4g}"
