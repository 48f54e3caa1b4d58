"""Deep belief networks as a transformer."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.utils.validation import check_is_fitted

from jboltz import random
from jboltz.base import Batch
from jboltz.evaluation.partition import num_states
from jboltz.learning.contrastive import PersistentContrastiveDivergence
from jboltz.learning.pretrain import LayerFeatures
from jboltz.models.annealed import Annealed
from jboltz.models.dbn import DBN
from jboltz.samplers.gibbs import Gibbs
from jboltz.sklearn import programs
from jboltz.sklearn.attributes import attributes_of, record_from
from jboltz.sklearn.base import BoltzmannEstimator
from jboltz.units.bernoulli import Bernoulli

_LISTS = "components_", "intercept_hidden_", "intercept_visible_"


@dataclasses.dataclass(frozen=True)
class Layerwise:
    """PCD of each layer of a DBN, on the features of the layers below as they are.

    The state is a tuple: which layers are trained, and the chains of each layer.
    """

    model: DBN
    num_chains: int

    def init(self, params, key):
        rules = enumerate(zip(self.rules, params, strict=True))
        chains = [rule.init(p, random.fold_in(key, i)) for i, (rule, p) in rules]
        return jnp.ones(len(params), bool), tuple(chains)

    @property
    def rules(self):
        return tuple(
            PersistentContrastiveDivergence(layer, Gibbs(layer), self.num_chains)
            for layer in self.model.layers
        )

    def estimate(self, params, state, batch, key):
        is_trained, chains = state
        gradients, moved = [], []
        for index, rule in enumerate(self.rules):
            key_features, key_rule = random.split(random.fold_in(key, index))
            features = LayerFeatures(self.model.layers[: index + 1])

            def update(
                own,
                chain,
                rule=rule,
                features=features,
                below=params[:index],
                key_features=key_features,
                key_rule=key_rule,
            ):
                values = features(below, batch.values, key_features)
                rows = Batch(values=values, weights=batch.weights)
                return rule.estimate(own, chain, rows, key_rule)[:2]

            def leave(own, chain):
                return jax.tree.map(jnp.zeros_like, own), chain

            own = params[index], chains[index]
            gradient, chain = jax.lax.cond(is_trained[index], update, leave, *own)
            gradients.append(gradient)
            moved.append(chain)
        return tuple(gradients), (is_trained, tuple(moved)), {}


class DBNTransformer(BoltzmannEstimator):
    """A deep belief network of binary units: `transform` returns the top layer.

    `fit` trains layer by layer, each with `n_iter` passes over the rows. `partial_fit`
    updates all layers in every batch, each on the features of the layers below.

    The other parameters are those of `BernoulliRBM`. The attributes `components_`,
    `intercept_hidden_` and `intercept_visible_` are lists with an array per layer.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(256, 128)
        The number of units of each hidden layer, bottom first.
    """

    _code = staticmethod(programs.encode)
    _picture = staticmethod(programs.decode)
    _gibbs = staticmethod(programs.dbn_gibbs_step)
    _score_kinds = "lower bound", "estimated lower bound"

    def __init__(
        self,
        hidden_layer_sizes=(256, 128),
        *,
        learning_rate=0.1,
        batch_size=10,
        n_iter=10,
        verbose=0,
        random_state=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.verbose = verbose
        self.random_state = random_state

    def score_samples(self, X):
        """A lower bound of log p(v) of each row, in nats, from 16 passes upwards.

        All rows have the same random numbers. log Z of the top RBM is exact for a layer
        of at most 14 units, and otherwise an estimate by annealed importance sampling,
        too low on average; `score_kind_` says which.
        """
        check_is_fitted(self)
        X, params = self._validated(X), self._params()
        top, own = self._model.layers[-1], params[-1]
        if self.score_kind_ == self._score_kinds[0]:
            log_z = float(programs.rbm_log_partition(top, own))
        else:
            base = own.visible, top.hidden.init()
            annealed = Annealed(top)
            log_z = programs.annealed_log_partition(annealed, own, base, self._seed)
        given = params, jax.random.key(self._seed)
        return (self._map(programs.dbn_bound, X, params=given) - log_z).astype(X.dtype)

    @property
    def _n_features_out(self):
        return self.components_[-1].shape[0]

    def _make_model(self, X):
        sizes = X.shape[1], *np.atleast_1d(self.hidden_layer_sizes).tolist()
        return DBN.chain(*map(Bernoulli, sizes))

    def _num_states(self):
        return min(map(num_states, self._model.layers[-1].units))

    def _estimator(self):
        return Layerwise(self._model, self.batch_size)

    def _run_passes(self, X):
        """Trains the layers one after the other."""
        _, chains = self._chains
        for layer in np.eye(len(chains), dtype=bool):
            self._chains = layer, self._chains[1]
            super()._run_passes(X)
        self._chains = np.ones(len(chains), bool), self._chains[1]

    def _params(self):
        return tuple(
            record_from(like, {name: vars(self)[name][layer] for name in _LISTS})
            for layer, like in enumerate(programs.params_like(self._model))
        )

    def _store(self, params, chains):
        layers = [attributes_of(record, self._dtype) for record in params]
        for name in _LISTS:
            setattr(self, name, [layer[name] for layer in layers])
        self._chains = programs.to_host(chains)
