"""The spike-and-slab RBM as an estimator."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from sklearn.utils.validation import check_is_fitted

from jboltz.checks import check_count
from jboltz.evaluation.partition import log_partition
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.spike_and_slab import SpikeAndSlab, SpikeSlab
from jboltz.sklearn import programs
from jboltz.sklearn.base import RealEstimator, estimator
from jboltz.sklearn.rows import to_dense
from jboltz.units.gaussian import GaussianParams


def spike_means(model, params, v):
    """p(spike = 1 | v)."""
    return model.mean_hidden_state(params, v).spikes


def visible_means(model, params, spikes):
    """E[v | spikes, slabs], with slabs at their mean μ."""
    h = SpikeSlab(spikes=spikes, slabs=params.slab_mean)
    return model.mean_visible_state(params, h)


@partial(jax.jit, static_argnames="model")
def exact_log_partition(model, params):
    """log Z by enumeration of the spikes."""
    return log_partition(partial(model.hidden_free_energy, params), model.num_hidden)


@estimator
class SpikeAndSlabRBM(RealEstimator):
    """A spike-and-slab RBM of real features; `jboltz.SpikeAndSlab` has the equations.

    Features need scales near 1; put `StandardScaler` in front. `transform` returns the
    probabilities of the spikes, and `inverse_transform` takes slabs at their means. The
    parameters are those of `BernoulliRBM`. The model is of the rows minus `location_`,
    the means of the first batch.
    """

    n_components: Any = 256

    _encode = staticmethod(spike_means)
    _decode = staticmethod(visible_means)

    def score_samples(self, X):
        """log p(v) of each row, in nats.

        log Z is exact for at most 14 hidden units. For more it is an estimate by
        annealed importance sampling, too low on average, which is the same for all rows
        and calls; `score_kind_` is then "estimated log-likelihood".
        """
        check_is_fitted(self)
        X, params = self._validated(X), self.params_
        if self.score_kind_ == "log-likelihood":
            log_z = float(exact_log_partition(self.model_, params))
        else:
            log_variance = -params.log_visible_precision
            mean = params.visible_bias * jnp.exp(log_variance)
            base = (GaussianParams(mean=mean, log_variance=log_variance),)
            annealed = AnnealedSpikeAndSlab(self.model_)
            log_z = programs.annealed_log_partition(annealed, params, base, self._seed)
        return (-self._map(SpikeAndSlab.free_energy, X) - log_z).astype(X.dtype)

    @property
    def score_kind_(self):
        is_small = 2**self.model_.num_hidden <= programs.MOST_STATES
        return "log-likelihood" if is_small else "estimated log-likelihood"

    @property
    def _n_features_out(self):
        return self.model_.num_hidden

    def _rows(self, X):
        return to_dense(X) - self.location_

    def _as_data(self, rows):
        return rows + self.location_

    def _make_model(self, X):
        num_hidden = check_count("n_components", self.n_components, at_least=1)
        # With means far from 0, precisions and biases would change the same mean.
        self.location_ = to_dense(X[: self._batch_size]).mean(axis=0)
        return SpikeAndSlab(X.shape[1], num_hidden)
