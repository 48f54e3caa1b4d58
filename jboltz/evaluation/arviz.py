"""Traces and samples for ArviZ."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jboltz.errors import InvalidValue, MissingPackage


def to_arviz(traces: Mapping[str, Any], *, group: str = "posterior") -> Any:
    """The `DataTree` of ArviZ with the arrays of `traces` as variables of `group`.

    Each has the axes (chains, draws, …). This is the order of ArviZ, of the traces that
    `run_chains` returns, and of all that `sample` returns: `to_arviz({"v": samples})`.
    It needs `pip install 'jboltz[arviz]'`.

    Raises:
      ValueError: the arrays differ in their first two axes, or lack one of them.
    """
    shapes = {name: np.shape(trace) for name, trace in dict(traces).items()}
    axes = {shape[:2] for shape in shapes.values()}
    if len(axes) != 1 or len(axes.pop()) != 2:
        raise InvalidValue(
            f"`traces` has arrays of shapes {shapes} but each needs the axes (chains, "
            "draws, …) of the same lengths; pass the metrics of a `TracedSampler`, and "
            "give a single chain a first axis by `trace[None]`."
        )
    try:
        import arviz_base  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingPackage(
            "`to_arviz` needs ArviZ; run `pip install 'jboltz[arviz]'`."
        ) from error
    return arviz_base.from_dict({group: {k: np.asarray(x) for k, x in traces.items()}})
