"""Early stopping: the best epoch's parameters travel in the state of the estimator."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz.base import Batch, Estimator, Leaf, Metrics, Params, State, record
from jboltz.checks import check_callable, is_traced, require
from jboltz.errors import InvalidType, InvalidValue
from jboltz.learning.step import TrainState
from jboltz.products import full_precision


@record
class BestSoFarState:
    """The state of the estimator within, and the parameters of the best epoch."""

    inner: State
    params: Params  # after the first of the epochs with the least error
    error: Leaf  # () of held-out examples; infinite before the first epoch


@dataclasses.dataclass(frozen=True)
class BestSoFar:
    """Any estimator, with room in its state for the parameters of the best epoch.

    Its gradient is that of `estimator`. `keep_least`, as the `end_epoch` of `fit`,
    compares the epochs; the best parameters are `state.estimator_state.params`.
    """

    estimator: Estimator

    def __post_init__(self) -> None:
        require(self.estimator, Estimator, "early stopping", "estimator")

    @property
    def model(self) -> Any:
        return self.estimator.model

    def init(self, params: Params, key: Key[Array, ""]) -> BestSoFarState:
        return BestSoFarState(
            inner=self.estimator.init(params, key),
            params=params,
            # With a dtype, or it is weak, and the second epoch compiled anew.
            error=jnp.full((), jnp.inf, float),
        )

    def estimate(
        self, params: Params, state: BestSoFarState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, BestSoFarState, Metrics]:
        gradient, inner, metrics = self.estimator.estimate(
            params, state.inner, batch, key
        )
        state = BestSoFarState(inner=inner, params=state.params, error=state.error)
        return gradient, state, metrics


def keep_least(
    judge: Callable[[Params], Metrics], name: str
) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
    """The `end_epoch` of `fit` that remembers the parameters with the least error.

    Args:
      judge: parameters → numbers of held-out examples.
      name: the one of these numbers that is to be small. NaN is never the least.

    Returns:
      `state -> (state, metrics)`, for states of a `BestSoFar`. The metrics are those of
      `judge`, each with `held_out_` before its name.

    Raises:
      TypeError: the estimator is no `BestSoFar`.
      ValueError: `judge` returns no such number.
    """

    check_callable("judge", judge, "params -> numbers by name")

    def end_epoch(state: TrainState) -> tuple[TrainState, Metrics]:
        if not isinstance(state.estimator_state, BestSoFarState):
            raise InvalidType(
                "`state.estimator_state` has no room for the best parameters; put "
                "`BestSoFar` around the estimator, outermost."
            )
        found = full_precision(judge)(state.params)
        least = found.get(name) if isinstance(found, Mapping) else None
        if least is None or jnp.shape(least) != ():
            raise InvalidValue(
                f"`judge` returned {found!r} but one number called {name!r} is needed; "
                "return a dict with it."
            )
        if not is_traced(least) and jnp.isnan(least):
            warnings.warn(
                f"`judge` returned NaN as {name!r}, so the best parameters stay those "
                "of an earlier epoch; look for a diverged run, or another measure.",
                stacklevel=2,
            )
        state = TrainState(
            step=state.step,
            params=state.params,
            opt_state=state.opt_state,
            estimator_state=_better(state.estimator_state, state.params, least),
        )
        return state, {f"held_out_{name}": x for name, x in found.items()}

    return end_epoch


@jax.jit
def _better(best: BestSoFarState, params: Params, error: Array) -> BestSoFarState:
    is_better = error < best.error
    return BestSoFarState(
        inner=best.inner,
        params=jax.tree.map(partial(jnp.where, is_better), params, best.params),
        error=jnp.where(is_better, error, best.error),
    )
