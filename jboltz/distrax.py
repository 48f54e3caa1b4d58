"""p(v) of a Boltzmann machine for Distrax: `pip install 'jboltz[distrax]'`."""

from typing import Any

from jboltz.checks import check_count
from jboltz.errors import MissingPackage
from jboltz.evaluation import visible

try:
    import distrax  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise MissingPackage(
        "`jboltz.distrax` needs Distrax; run `pip install 'jboltz[distrax]'`."
    ) from error


_Distribution: Any = distrax.Distribution  # pyright: ignore


class VisibleState(_Distribution):
    """p(v) = exp(−F(v))/Z of `model`, with the arguments of `jboltz.numpyro`'s."""

    def __init__(self, model, params, *, log_partition=None, warm_up=1000) -> None:
        self._shape = visible.visible_shape(model, params)
        self._log_z = visible.known_log_partition(model, params, log_partition)
        self._model, self._params = model, params
        self._warm_up = check_count("warm_up", warm_up, at_least=0)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self._shape

    def _sample_n(self, key, n) -> Any:
        return visible.draws(self._model, self._params, key, (n,), self._warm_up)

    def log_prob(self, value) -> Any:
        return visible.log_probability(self._model, self._params, self._log_z, value)
