"""Early stopping: the estimator's state keeps the parameters of the best epoch."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz.base import Batch, Leaf, Metrics, Params, State, record
from jboltz.checks import check_callable, is_traced
from jboltz.errors import InvalidType, InvalidValue
from jboltz.learning.step import TrainState
from jboltz.learning.wrapping import Wrapping
from jboltz.products import full_precision


@record
class BestSoFarState:
    """The state of the wrapped estimator, and the parameters of the best epoch."""

    inner: State
    params: Params  # after the epoch with the least error, the first of several
    error: Leaf  # () the least error; infinite before the first epoch


@dataclasses.dataclass(frozen=True)
class BestSoFar(Wrapping):
    """An estimator that keeps the parameters of the best epoch in its state.

    The gradient comes from the wrapped `estimator`. Pass `keep_least(…)` to `fit` as
    `end_epoch`; the best parameters are then `state.estimator_state.params`.
    """

    def init(self, params: Params, key: Key[Array, ""]) -> BestSoFarState:
        return BestSoFarState(
            inner=self.estimator.init(params, key),
            params=params,
            # With an explicit dtype: a weak one would make the second epoch recompile.
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
    """An `end_epoch` for `fit` that keeps the parameters with the least error.

    Args:
      judge: parameters → numbers by name, measured on held-out examples.
      name: the number to minimise. NaN never counts as the least.

    Returns:
      `state -> (state, metrics)`, for states of a `BestSoFar`. The metrics are the
      numbers of `judge`, with `held_out_` before each name.

    Raises:
      TypeError: the estimator is not a `BestSoFar`.
      ValueError: `judge` returns no number called `name`.
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
