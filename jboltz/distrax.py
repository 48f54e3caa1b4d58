"""The visible state of a Boltzmann machine as a distribution of Distrax.

`pip install 'jboltz[distrax]'`.
"""

from typing import Any

from jboltz.checks import check_count
from jboltz.errors import MissingPackage
from jboltz.evaluation import visible

try:
    from distrax import Distribution  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise MissingPackage(
        "`jboltz.distrax` needs Distrax, which is not installed; run "
        "`pip install 'jboltz[distrax]'`."
    ) from error


class VisibleState(Distribution):
    """p(v) = exp(−F(v))/Z of `model`; the arguments are those of `jboltz.numpyro`."""

    def __init__(
        self,
        model: Any,
        params: Any,
        *,
        log_partition: Any = None,
        warm_up: int = 1000,
    ) -> None:
        super().__init__()
        self._shape = visible.event_shape(model, params)
        self._model, self._params = model, params
        self._log_partition = visible.log_partition_of(model, params, log_partition)
        self._warm_up = check_count("warm_up", warm_up, at_least=0)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self._shape

    def _sample_n(self, key: Any, n: int) -> Any:
        return visible.draws(self._model, self._params, key, (n,), self._warm_up)

    def log_prob(self, value: Any) -> Any:
        return visible.log_probability(
            self._model, self._params, self._log_partition, value
        )
