"""Traces and samples for ArviZ."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jboltz.errors import InvalidType, InvalidValue, MissingPackage
from jboltz.evaluation.diagnostics import Traces


def to_arviz(traces: Traces, *, group: str = "posterior") -> Any:
    """The `DataTree` of ArviZ with `traces` as the variables of `group`.

    An array has the axes (chains, draws, …). This is the order of the traces that
    `run_chains` returns, of the samples and metrics that `sample` returns, and of
    ArviZ: `to_arviz(traces | {"v": samples})`. It needs `pip install 'jboltz[arviz]'`.

    Raises:
      ValueError: the arrays differ in their first two axes, or lack one of them.
    """
    if not isinstance(traces, Mapping) or not traces:
        raise InvalidType(
            f"`traces` is {traces!r} but a dictionary of arrays, (chains, draws, …) "
            "each, is needed; pass the metrics of a `TracedSampler`."
        )
    arrays = {name: np.asarray(trace) for name, trace in traces.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    axes = {shape[:2] for shape in shapes.values()}
    if len(axes) != 1 or len(axes.pop()) != 2:
        raise InvalidValue(
            f"`traces` has arrays of shapes {shapes} but each needs the axes (chains, "
            "draws, …) of the same lengths; give a single chain a first axis by "
            "`trace[None]`."
        )
    try:
        import arviz_base
    except ImportError as error:
        raise MissingPackage(
            "`to_arviz` needs ArviZ, which is not installed; run "
            "`pip install 'jboltz[arviz]'`."
        ) from error
    return arviz_base.from_dict({group: arrays})
