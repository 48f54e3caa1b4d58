"""Checks of the arguments of annealing."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from jboltz.abilities import AnnealedModel
from jboltz.base import Params
from jboltz.checks import (
    cast_states,
    check_count,
    check_distribution,
    check_like,
    dtype_of,
    is_traced,
    require,
)
from jboltz.errors import InvalidValue
from jboltz.models.annealed import AnnealedParams


def rungs_of(
    annealed: AnnealedModel, params: Params, base: Params, betas: ArrayLike
) -> AnnealedParams:
    """The rungs `betas` between `base` and `params` as one record, with checks."""
    example = "Annealed(model)"
    require(annealed, AnnealedModel, "annealing", "annealed", example=example)
    check_distribution(annealed.model, params)
    like = jax.eval_shape(annealed.init, jax.random.key(0)).base
    remedy = "fit it to values that the lowest layer can have, as gray images in [0, 1]"
    check_like(like, base, "base", annealed, if_not_finite=remedy)
    dtype = dtype_of(params)
    if not is_traced(betas):
        _check_ladder(np.asarray(betas, float), dtype)
    return AnnealedParams(
        params=params,
        base=cast_states(base, params),
        beta=jnp.asarray(betas, dtype),
    )


def _check_ladder(betas, dtype):
    is_ladder = betas.ndim == 1 and len(betas) > 1 and betas[0] == 0 and betas[-1] == 1
    if not is_ladder or not (np.diff(betas.astype(dtype)) > 0).all():
        raise InvalidValue(
            f"`betas` is {np.array2string(betas, threshold=8)} but a ladder needs one "
            f"axis of {dtype} numbers that increase from exactly 0 to exactly 1; take "
            "`annealing_ladder()`, or `np.linspace(0, 1, 1001)`."
        )


def check_num_chains(count: int, name: str = "num_chains") -> None:
    """Refuses fewer than two chains."""
    if check_count(name, count, at_least=0) < 2:
        raise InvalidValue(
            f"`{name}` is {count} but an interval needs at least 2 chains; for the "
            "weight of one chain alone call `jboltz.evaluation.annealing.anneal`."
        )
