"""The spike-and-slab RBM as an estimator."""

import jax
import numpy as np
from sklearn.utils.validation import check_is_fitted

from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.spike_and_slab import SpikeAndSlab, SpikeAndSlabParams
from jboltz.sklearn import programs
from jboltz.sklearn.base import BoltzmannEstimator, device
from jboltz.sklearn.rbm import MOST_STATES
from jboltz.units.gaussian import GaussianParams

_VECTORS = {
    "spike_bias": "intercept_hidden_",
    "visible_bias": "intercept_visible_",
    "slab_mean": "slab_mean_",
    "log_slab_precision": "log_slab_precision_",
    "log_visible_precision": "log_visible_precision_",
    "log_penalty": "log_penalty_",
}


class SpikeAndSlabRBM(BoltzmannEstimator):
    """A spike-and-slab RBM of real features; `jboltz.SpikeAndSlab` has the equations.

    Features need scales near 1; put `StandardScaler` in front. `transform` returns the
    probabilities of the spikes, and `inverse_transform` takes slabs at their means. The
    parameters are those of `BernoulliRBM`.
    """

    _code = staticmethod(programs.spike_code)
    _picture = staticmethod(programs.spike_picture)
    _gibbs = staticmethod(programs.gibbs_step)

    def __init__(
        self,
        n_components=256,
        *,
        learning_rate=0.001,
        batch_size=10,
        n_iter=10,
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            n_components,
            learning_rate=learning_rate,
            batch_size=batch_size,
            n_iter=n_iter,
            verbose=verbose,
            random_state=random_state,
        )

    def score_samples(self, X):
        """log p(v) of each row, in nats.

        log Z is exact for at most 14 hidden units. For more it is an estimate by
        annealed importance sampling, too low on average, which is the same for all rows
        and calls; `score_kind_` is then "estimated log-likelihood".
        """
        check_is_fitted(self)
        X, params = self._validated(X), self._params()
        if self.score_kind_ == "log-likelihood":
            log_z = float(programs.spike_log_partition(self._model, params))
        else:
            variance = -params.log_visible_precision
            mean = params.visible_bias * jax.numpy.exp(variance)
            base = (GaussianParams(mean=mean, log_variance=variance),)
            annealed = AnnealedSpikeAndSlab(self._model)
            log_z = programs.annealed_log_partition(annealed, params, base, self._seed)
        return (-self._map(programs.free_energy, X) - log_z).astype(X.dtype)

    def _begin(self, X):
        super()._begin(X)
        self._n_features_out = self.components_.shape[0]
        prefix = "" if 2**self._n_features_out <= MOST_STATES else "estimated "
        self.score_kind_ = f"{prefix}log-likelihood"

    def _make_model(self, X):
        return SpikeAndSlab(X.shape[1], self.n_components)

    def _params(self):
        vectors = {name: device(getattr(self, x)) for name, x in _VECTORS.items()}
        return SpikeAndSlabParams(weights=device(self.components_.T), **vectors)

    def _set_params(self, params):
        self.components_ = np.asarray(params.weights, self._dtype).T
        for name, attribute in _VECTORS.items():
            setattr(self, attribute, np.asarray(getattr(params, name), self._dtype))
