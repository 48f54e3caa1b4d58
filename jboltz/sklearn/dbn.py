"""Deep belief networks as a transformer."""

from typing import Any

import jax
import numpy as np
from sklearn.utils.validation import check_is_fitted

from jboltz import random
from jboltz.checks import check_count
from jboltz.evaluation.bounds import dbn_log_weight
from jboltz.evaluation.partition import num_states
from jboltz.learning.pretrain import LayerFeatures
from jboltz.learning.step import Prepare
from jboltz.models.annealed import Annealed
from jboltz.models.dbn import DBN
from jboltz.sklearn import programs
from jboltz.sklearn.base import BoltzmannEstimator, estimator
from jboltz.units.bernoulli import Bernoulli

_NUM_PASSES = 16


def bound(model, params, v):
    """log mean w + log Z, of passes upwards with the random numbers of `params[1]`."""
    own, key = params

    def log_weight(key):
        return dbn_log_weight(model, own, v, key)

    log_weights = jax.lax.map(log_weight, random.fold_in_range(key, _NUM_PASSES))
    return jax.nn.logsumexp(log_weights) - np.log(_NUM_PASSES)


@estimator
class DBNTransformer(BoltzmannEstimator):
    """A deep belief network of binary units: `transform` returns the top layer.

    `fit` trains layer by layer, each with `n_iter` passes over the rows. `partial_fit`
    trains all layers on each batch, the lower ones first.

    The other parameters are those of `BernoulliRBM`. `params_` has a record per layer.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(256, 128)
        The number of units of each hidden layer, bottom first.
    """

    hidden_layer_sizes: Any = (256, 128)

    _encode = staticmethod(DBN.encode)
    _decode = staticmethod(DBN.decode)

    def score_samples(self, X):
        """A lower bound of log p(v) of each row, in nats, from 16 passes upwards.

        All rows have the same random numbers. log Z of the top RBM is exact for a layer
        of at most 14 units, and otherwise an estimate by annealed importance sampling,
        too low on average; `score_kind_` says which. A row outside [0, 1] has NaN.
        """
        check_is_fitted(self)
        X, top, own = self._validated(X), self.model_.layers[-1], self.params_[-1]
        if self.score_kind_ == "lower bound":
            log_z = float(programs.exact_log_partition(top, own))
        else:
            annealed, base = Annealed(top), (own.visible, top.hidden.init())
            log_z = programs.annealed_log_partition(annealed, own, base, self._seed)
        given = self.params_, jax.random.key(self._seed)
        return self._scored(self._map(bound, X, params=given) - log_z, X)

    @property
    def score_kind_(self):
        sizes = map(num_states, self.model_.layers[-1].units)
        is_small = min(sizes) <= programs.MOST_STATES
        return "lower bound" if is_small else "estimated lower bound"

    @property
    def _params(self):
        """A record of each layer that has been started, bottom first."""
        count = len(self.model_.layers)
        return tuple(state.params for state in self._states[:count])

    def _layers(self, params):
        return params

    @property
    def _n_features_out(self):
        return self.model_.layers[-1].hidden.size

    def _make_model(self, X):
        hidden = np.atleast_1d(self.hidden_layer_sizes).tolist()
        for size in hidden or [None]:
            check_count("hidden_layer_sizes", size, at_least=1)
        return DBN.chain(*map(Bernoulli, (X.shape[1], *hidden)))

    def _parts(self):
        return [self._part(layer) for layer in self.model_.layers]

    def _prepare(self, below) -> Prepare:
        features = LayerFeatures(self.model_.layers[: len(below) + 1])
        return jax.tree_util.Partial(features, tuple(below))
