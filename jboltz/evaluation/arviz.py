"""Traces and samples for ArviZ."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jboltz.checks import check_type
from jboltz.errors import InvalidValue, MissingPackage


def to_arviz(traces: Mapping[str, Any], *, group: str = "posterior") -> Any:
    """The `DataTree` of ArviZ with the arrays of `traces` as variables of `group`.

    The axes (chains, draws, …) are in the order of ArviZ, of the traces that
    `run_chains` returns, and of all that `sample` returns: `to_arviz({"v": samples})`.

    Args:
      traces: arrays by the names of their variables, each with the axes (chains, draws,
        …). A single chain gets its first axis by `trace[None]`.
      group: the group of the tree that gets the variables, by ArviZ's names, such as
        "posterior" or "prior".

    Raises:
      ImportError: ArviZ is missing; `pip install 'jboltz[arviz]'` installs it.
    """
    try:
        import arviz_base  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingPackage(
            "`to_arviz` needs ArviZ; run `pip install 'jboltz[arviz]'`."
        ) from error
    check_type("traces", traces, Mapping, "pass `{'v': samples}`")
    check_type("group", group, str, "pass 'posterior' or 'prior'")
    shapes = {name: np.shape(trace) for name, trace in traces.items()}
    wrong = [name for name, shape in shapes.items() if len(shape) < 2]
    if wrong or len({shape[:2] for shape in shapes.values()}) != 1:
        raise InvalidValue(
            f"`traces` have the shapes {shapes} but need the axes (chains, draws, …), "
            "alike in all of them; pass `trace[None]` of a single chain, and traces of "
            "other lengths as another group."
        )
    return arviz_base.from_dict({group: {k: np.asarray(x) for k, x in traces.items()}})
