"""Early stopping: the best epoch's parameters travel in the state of the estimator."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jboltz.base import Leaf, Metrics, Params, record
from jboltz.learning.step import TrainState
from jboltz.products import full_precision


@record
class BestSoFar:
    """The parameters after the epoch with the least error so far, the first of those
    that tie."""

    params: Params
    error: Leaf  # () of held-out examples; infinite before the first epoch


def before_training(params: Params) -> BestSoFar:
    """What an estimator that stops early remembers at first: any epoch is better."""
    # With a dtype, or it is weak, and the second epoch compiled anew.
    return BestSoFar(params=params, error=jnp.full((), jnp.inf, float))


def keep_least(
    judge: Callable[[Params], Metrics], name: str
) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
    """The `end_epoch` of `fit` that remembers the parameters with the least error.

    It replaces the estimator's state, which is a `BestSoFar`.

    Args:
      judge: parameters → numbers of held-out examples.
      name: that of them which is to be small.

    Returns:
      `state -> (state, metrics)`, the metrics those of `judge`, as `held_out_…`.
    """

    def end_epoch(state: TrainState) -> tuple[TrainState, Metrics]:
        found = full_precision(judge)(state.params)
        state = TrainState(
            step=state.step,
            params=state.params,
            opt_state=state.opt_state,
            estimator_state=_better(state.estimator_state, state.params, found[name]),
        )
        return state, {f"held_out_{name}": x for name, x in found.items()}

    return end_epoch


@jax.jit
def _better(best: BestSoFar, params: Params, error: Array) -> BestSoFar:
    is_better = error < best.error
    return BestSoFar(
        params=jax.tree.map(partial(jnp.where, is_better), params, best.params),
        error=jnp.where(is_better, error, best.error),
    )
