"""The base of estimators that wrap another estimator."""

import dataclasses
from typing import Any

from jaxtyping import Array, Key

from jboltz.base import Estimator, Params, State
from jboltz.checks import require


@dataclasses.dataclass(frozen=True)
class Wrapping:
    """An estimator of the model of another `estimator`."""

    estimator: Estimator

    def __post_init__(self) -> None:
        require(self.estimator, Estimator, type(self).__name__, "estimator")

    @property
    def model(self) -> Any:
        return self.estimator.model


@dataclasses.dataclass(frozen=True)
class StatelessWrapping(Wrapping):
    """A `Wrapping` whose state is the state of the wrapped estimator."""

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        return self.estimator.init(params, key)
