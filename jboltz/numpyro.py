"""p(v) of a Boltzmann machine for NumPyro: `pip install 'jboltz[numpyro]'`."""

from typing import Any

import numpy as np

from jboltz.checks import check_count
from jboltz.errors import MissingPackage
from jboltz.evaluation import visible

try:
    from numpyro import distributions  # pyright: ignore[reportMissingImports]
    from numpyro.distributions import constraints  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise MissingPackage(
        "`jboltz.numpyro` needs NumPyro; run `pip install 'jboltz[numpyro]'`."
    ) from error


_Distribution: Any = distributions.Distribution  # pyright: ignore


class VisibleState(_Distribution):
    """p(v) = exp(−F(v))/Z of `model`, for `numpyro.sample`, NUTS and the like.

    Args:
      model: a `FreeEnergyModel` whose visible state is one array, such as an RBM.
      params: its parameters.
      log_partition: log Z in nats, such as the `value` of an estimate. None computes
        it by `model_log_partition`, where that can be done. To infer v alone, pass 0.
      warm_up: Gibbs steps from noise to a draw of `sample`, which follows p(v) as far
        as the chains mix.
      validate_args: whether NumPyro checks values against `support`. None: as NumPyro
        is set.
    """

    has_rsample = False
    pytree_data_fields = ("params", "log_partition")
    pytree_aux_fields = ("model", "warm_up")

    def __init__(
        self, model, params, *, log_partition=None, warm_up=1000, validate_args=None
    ) -> None:
        shape = visible.visible_shape(model, params)
        self.log_partition = visible.known_log_partition(model, params, log_partition)
        self.model, self.params = model, params
        self.warm_up = check_count("warm_up", warm_up, at_least=0)
        super().__init__(event_shape=shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        """Numbers between the bounds of the domain; whole ones if v is discrete."""
        low, high = self.model.domain.bounds
        each = constraints.real if low < 0 else constraints.nonnegative
        if np.isfinite(self.model.domain.num_states):
            each = constraints.integer_interval(int(low), int(high))
        return constraints.independent(each, len(self.event_shape))

    def sample(self, key, sample_shape=()) -> Any:
        """Draws of v, each at the end of a chain of its own.

        Args:
          sample_shape: the axes in front of one visible state.
        """
        return visible.draws(self.model, self.params, key, sample_shape, self.warm_up)

    def log_prob(self, value) -> Any:
        """−F(v) − log Z, in nats.

        Args:
          value: visible states v, with any leading axes.
        """
        log_z = self.log_partition
        return visible.log_probability(self.model, self.params, log_z, value)
