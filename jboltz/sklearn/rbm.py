"""Restricted Boltzmann machines as estimators: binary and real visible units."""

import jax.numpy as jnp
import numpy as np
from sklearn.utils.validation import check_is_fitted

from jboltz.evaluation.partition import num_states
from jboltz.evaluation.pseudo_likelihood import site_alternatives
from jboltz.models.rbm import RBM
from jboltz.sklearn import programs
from jboltz.sklearn.base import BoltzmannEstimator, RealEstimator
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.gaussian import Gaussian


class RBMEstimator(BoltzmannEstimator):
    """An RBM with binary hidden units, over one kind of visible units."""

    _code = staticmethod(programs.mean_hidden)
    _picture = staticmethod(programs.mean_visible)
    _gibbs = staticmethod(programs.gibbs_step)
    _energy = staticmethod(programs.free_energy)
    _pseudo = staticmethod(programs.pseudo_log_likelihood)
    _score_kinds = "log-likelihood", "pseudo-log-likelihood"

    def score_samples(self, X):
        """The log-likelihood of each row, or the pseudo-log-likelihood, in nats.

        `score_kind_` says which: it is the exact log p(v) if one of the two layers has
        at most 2¹⁴ states, such as 14 binary units, and otherwise Σ_i log p(v_i | the
        rest of v). To compare sizes on both sides of this limit, take
        `pseudo_log_likelihood` for all.
        """
        check_is_fitted(self)
        if self.score_kind_ == self._score_kinds[1]:
            return self.pseudo_log_likelihood(X)
        X = self._validated(X)
        log_z = float(programs.rbm_log_partition(self._model, self._params()))
        return (-self._map(type(self)._energy, X) - log_z).astype(X.dtype)

    def pseudo_log_likelihood(self, X):
        """Σ_i log p(v_i | the rest of v) of each row, in nats."""
        check_is_fitted(self)
        X, params = self._validated(X), self._pseudo_params(self._params())
        return self._map(type(self)._pseudo, X, params=params).astype(X.dtype)

    @property
    def h_samples_(self):
        """The hidden states of the persistent chains."""
        return self._chains.hidden.astype(self._dtype)

    def _pseudo_params(self, params):
        """What `_pseudo` takes as parameters."""
        return params, site_alternatives(self._model, params)

    def _progress(self, X):
        return "pseudo-likelihood", float(self.pseudo_log_likelihood(X).mean())

    def _num_states(self):
        return min(map(num_states, self._model.units))


class BernoulliRBM(RBMEstimator):
    """scikit-learn's `BernoulliRBM`, compiled: the same parameters and attributes.

    Data are in [0, 1], binary or gray; this is not checked, as in scikit-learn.

    Parameters
    ----------
    n_components : int, default=256
        Number of binary hidden units.
    learning_rate : float, default=0.1
    batch_size : int, default=10
        Number of rows of an update, and of persistent chains.
    n_iter : int, default=10
        Number of passes over the rows.
    verbose : int, default=0
        Whether to print the pseudo-likelihood of the first 1000 rows after each pass.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
    intercept_hidden_ : ndarray of shape (n_components,)
    intercept_visible_ : ndarray of shape (n_features,)
    h_samples_ : ndarray of shape (batch_size, n_components)
        The hidden states of the persistent chains.
    score_kind_ : str
        What `score_samples` returns.
    n_updates_ : int
        The number of updates so far.

    Examples
    --------
    >>> from jboltz.sklearn import BernoulliRBM
    >>> X = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> BernoulliRBM(n_components=2, random_state=0).fit_transform(X).shape
    (4, 2)
    """

    _pseudo = staticmethod(programs.flip_log_likelihood)

    def _make_model(self, X):
        return RBM(Bernoulli(X.shape[1]), Bernoulli(self.n_components))

    def _pseudo_params(self, params):
        return params

    def _as_samples(self, rows, dtype):
        return rows.astype(bool)

    # scikit-learn's own names, which programs may call.

    def _mean_hiddens(self, v):
        rows = self._map(type(self)._code, np.atleast_2d(v))
        return rows.reshape(*np.shape(v)[:-1], -1).astype(self._dtype)

    def _sample_hiddens(self, v, rng):
        p = self._mean_hiddens(v)
        return rng.uniform(size=p.shape) < p


class GaussianBernoulliRBM(RealEstimator, RBMEstimator):
    """An RBM of real features: v | h ~ N(μ + W h, σ²), with binary hidden units.

    Features need scales near 1; put `StandardScaler` in front. Variances are learned.
    The parameters and attributes are those of `BernoulliRBM`, with these differences:
    `intercept_visible_` is μ, and `log_variance_visible_` is log σ².
    """

    def _make_model(self, X):
        return RBM(Gaussian(X.shape[1]), Bernoulli(self.n_components))

    def _pseudo_params(self, params):
        """The nodes of the integrals, filled to a power of two, so that the program
        seldom has another shape."""
        _, table = super()._pseudo_params(params)
        activities, log_weights = map(np.asarray, table)
        levels = len(activities)
        more = (0, (1 << (levels - 1).bit_length()) - levels)
        filled = (
            jnp.asarray(np.pad(activities, (more, (0, 0), (0, 0)))),
            jnp.asarray(np.pad(log_weights, (more, (0, 0)), constant_values=-np.inf)),
        )
        return params, filled
