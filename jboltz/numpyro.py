"""The visible state of a Boltzmann machine as a distribution of NumPyro.

`pip install 'jboltz[numpyro]'`.
"""

from typing import Any

import numpy as np

from jboltz.checks import check_count
from jboltz.errors import MissingPackage
from jboltz.evaluation import visible

try:
    from numpyro.distributions import (  # pyright: ignore[reportMissingImports]
        Distribution,
        constraints,
    )
except ImportError as error:
    raise MissingPackage(
        "`jboltz.numpyro` needs NumPyro, which is not installed; run "
        "`pip install 'jboltz[numpyro]'`."
    ) from error


class VisibleState(Distribution):
    """p(v) = exp(−F(v))/Z of `model`, for `numpyro.sample` and NUTS.

    Args:
      model: a `FreeEnergyModel` whose visible state is one array, such as an RBM.
      log_partition: log Z in nats, a number or a `LogEstimate`. None computes it by
        `model_log_partition`, which takes up to 25 binary units on one side. For
        inference of v alone any number will do, such as 0.
      warm_up: `sample` returns the ends of chains of this many Gibbs steps, which
        follow p(v) as far as the chains mix.
    """

    has_rsample = False
    pytree_data_fields = ("params", "log_partition")
    pytree_aux_fields = ("model", "warm_up")

    def __init__(
        self,
        model: Any,
        params: Any,
        *,
        log_partition: Any = None,
        warm_up: int = 1000,
        validate_args: bool | None = None,
    ) -> None:
        shape = visible.event_shape(model, params)
        self.model, self.params = model, params
        self.log_partition = visible.log_partition_of(model, params, log_partition)
        self.warm_up = check_count("warm_up", warm_up, at_least=0)
        super().__init__(event_shape=shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        """Of the domain of v; for one-hot states it has other arrays of 0 and 1 too."""
        domain = self.model.domain
        low, high = domain.bounds
        if np.isfinite(domain.num_states):
            each = constraints.integer_interval(int(low), int(high))
        else:
            each = constraints.real if low < 0 else constraints.nonnegative
        return constraints.independent(each, len(self.event_shape))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        return visible.draws(self.model, self.params, key, sample_shape, self.warm_up)

    def log_prob(self, value: Any) -> Any:
        return visible.log_probability(
            self.model, self.params, self.log_partition, value
        )
