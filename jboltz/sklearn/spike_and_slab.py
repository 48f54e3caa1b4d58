"""The spike-and-slab RBM as an estimator."""

import jax.numpy as jnp
from sklearn.utils.validation import check_is_fitted

from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.spike_and_slab import SpikeAndSlab
from jboltz.sklearn import programs
from jboltz.sklearn.base import RealEstimator, to_dense
from jboltz.units.gaussian import GaussianParams


class SpikeAndSlabRBM(RealEstimator):
    """A spike-and-slab RBM of real features; `jboltz.SpikeAndSlab` has the equations.

    Features need scales near 1; put `StandardScaler` in front. `transform` returns the
    probabilities of the spikes, and `inverse_transform` takes slabs at their means. The
    parameters are those of `BernoulliRBM`. The model is of the rows minus `location_`,
    the means of the first batch.
    """

    _code = staticmethod(programs.spike_code)
    _picture = staticmethod(programs.spike_picture)
    _gibbs = staticmethod(programs.gibbs_step)
    _score_kinds = "log-likelihood", "estimated log-likelihood"

    def score_samples(self, X):
        """log p(v) of each row, in nats.

        log Z is exact for at most 14 hidden units. For more it is an estimate by
        annealed importance sampling, too low on average, which is the same for all rows
        and calls; `score_kind_` is then "estimated log-likelihood".
        """
        check_is_fitted(self)
        X, params = self._validated(X), self._params()
        if self.score_kind_ == self._score_kinds[0]:
            log_z = float(programs.spike_log_partition(self._model, params))
        else:
            log_variance = -params.log_visible_precision
            mean = params.visible_bias * jnp.exp(log_variance)
            base = (GaussianParams(mean=mean, log_variance=log_variance),)
            annealed = AnnealedSpikeAndSlab(self._model)
            log_z = programs.annealed_log_partition(annealed, params, base, self._seed)
        return (-self._map(programs.free_energy, X) - log_z).astype(X.dtype)

    def _rows(self, X):
        return to_dense(X) - self.location_

    def _as_data(self, rows):
        return rows + self.location_

    def _make_model(self, X):
        # With means far from 0, precisions and biases would change the same mean.
        self.location_ = to_dense(X[: self.batch_size]).mean(axis=0)
        return SpikeAndSlab(X.shape[1], self.n_components)

    def _num_states(self):
        return 2**self._model.num_hidden
