"""Restricted Boltzmann machines as estimators: binary and real visible units."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.utils.validation import check_is_fitted

from jboltz.base import log_normalizer_gain
from jboltz.checks import check_count
from jboltz.evaluation.partition import num_states
from jboltz.evaluation.pseudo_likelihood import site_alternatives, site_log_probability
from jboltz.models.rbm import RBM
from jboltz.sklearn import programs
from jboltz.sklearn.base import BoltzmannEstimator, RealEstimator, estimator
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.gaussian import Gaussian


def site_terms(model, params, v):
    """log p(v_i | the rest of v) of each site; `params` has `site_alternatives` too."""
    own, table = params
    sites = jnp.arange(model.visible.shape[0])
    return jax.lax.map(site_log_probability(model, own, table, v), sites)


def pseudo_log_likelihood(model, params, v):
    return jnp.sum(site_terms(model, params, v))


def flip_log_likelihood(model, params, v):
    """Σ_i −log(1 + exp(F(v) − F(v with v_i ↦ 1 − v_i))), as scikit-learn has it.

    For binary v it is the pseudo-log-likelihood. Gray v are taken as they are.
    """
    own, _ = params
    inputs = model.hidden_inputs(own, v)

    def of_site(site):
        change = 1 - 2 * v[site]
        weights = change * own.weights[site]
        gain = log_normalizer_gain(model.hidden, own.hidden, inputs, weights)
        return -jax.nn.softplus(gain + change * own.visible.bias[site])

    return jnp.sum(jax.lax.map(of_site, jnp.arange(v.size)))


@estimator
class RBMEstimator(BoltzmannEstimator):
    """An RBM with binary hidden units, over one kind of visible units."""

    n_components: Any = 256

    @property
    def _hidden(self):
        return Bernoulli(check_count("n_components", self.n_components, at_least=1))

    _encode = staticmethod(RBM.mean_hidden_state)
    _decode = staticmethod(RBM.mean_visible_state)
    _pseudo = staticmethod(pseudo_log_likelihood)

    def score_samples(self, X):
        """The log-likelihood of each row, or the pseudo-log-likelihood, in nats.

        `score_kind_` says which: it is the exact log p(v) if one of the two layers has
        at most 2¹⁴ states, such as 14 binary units, and otherwise Σ_i log p(v_i | the
        rest of v). To compare sizes on both sides of this limit, take
        `pseudo_log_likelihood` for all.
        """
        check_is_fitted(self)
        if self.score_kind_ == "pseudo-log-likelihood":
            return self.pseudo_log_likelihood(X)
        X = self._validated(X)
        log_z = float(programs.exact_log_partition(self.model_, self.params_))
        return self._scored(-self._map(RBM.free_energy, X) - log_z, X)

    def pseudo_log_likelihood(self, X):
        """Σ_i log p(v_i | the rest of v) of each row, in nats."""
        check_is_fitted(self)
        X, given = self._validated(X), (self.params_, self._alternatives())
        return self._scored(self._map(self._pseudo, X, params=given), X)

    @property
    def score_kind_(self):
        """What `score_samples` returns."""
        is_small = min(map(num_states, self.model_.units)) <= programs.MOST_STATES
        return "log-likelihood" if is_small else "pseudo-log-likelihood"

    @property
    def components_(self):
        """The weights, (n_components, n_features)."""
        return self.params_.weights.T.astype(self._dtype)

    @property
    def intercept_hidden_(self):
        """The biases of the hidden units."""
        return self.params_.hidden.bias.astype(self._dtype)

    @property
    def intercept_visible_(self):
        """The biases of the visible units."""
        return self.params_.visible.bias.astype(self._dtype)

    @property
    def h_samples_(self):
        """The hidden states of the persistent chains."""
        return self._states[0].estimator_state.hidden.astype(self._dtype)

    @property
    def _n_features_out(self):
        return self.model_.hidden.size

    def _alternatives(self) -> Any:
        """The values of each site, and their weights, for a pseudo-likelihood."""
        params = jax.tree.map(jnp.asarray, self.params_)
        return site_alternatives(self.model_, params)

    def _progress(self, X):
        return "pseudo-likelihood", float(self.pseudo_log_likelihood(X).mean())


@estimator
class BernoulliRBM(RBMEstimator):
    """scikit-learn's `BernoulliRBM`, compiled: the same parameters and attributes.

    Data are in [0, 1], binary or gray. As in scikit-learn, `fit` takes others too, with
    a `UserWarning`; but the score of a row outside [0, 1] is NaN. A score is a
    probability for binary rows alone.

    Parameters
    ----------
    n_components : int, default=256
        Number of binary hidden units.
    learning_rate : float, default=0.1
    batch_size : int, default=10
        Number of rows of an update, and of persistent chains. In `fit` it is at most
        the number of all rows.
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
    model_, params_ : jboltz.RBM, jboltz.RBMParams
        The model for all functions of jboltz. To load weights, set `params_`; the
        persistent chains stay as they are.

    Examples
    --------
    >>> from jboltz.sklearn import BernoulliRBM
    >>> X = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> BernoulliRBM(n_components=2, random_state=0).fit_transform(X).shape
    (4, 2)
    """

    _pseudo = staticmethod(flip_log_likelihood)

    def _make_model(self, X):
        return RBM(Bernoulli(X.shape[1]), self._hidden)

    # scikit-learn's own names, which programs may call.

    def _mean_hiddens(self, v):
        rows = self._map(self._encode, np.atleast_2d(v))
        return rows.reshape(*np.shape(v)[:-1], -1).astype(self._dtype)

    def _sample_hiddens(self, v, rng):
        p = self._mean_hiddens(v)
        return rng.uniform(size=p.shape) < p


@estimator
class GaussianBernoulliRBM(RealEstimator, RBMEstimator):
    """An RBM of real features: v | h ~ N(μ + W h, σ²), with binary hidden units.

    Features need scales near 1; put `StandardScaler` in front. Variances are learned.
    The parameters and the attributes are those of `BernoulliRBM`, except that
    `intercept_visible_` is μ.
    """

    def _make_model(self, X):
        return RBM(Gaussian(X.shape[1]), self._hidden)

    @property
    def intercept_visible_(self):
        """The means μ of the visible units without hidden units."""
        return self.params_.visible.mean.astype(self._dtype)

    def _alternatives(self):
        """The nodes of integrals, filled to a power of two with nodes of weight 0, so
        that the program seldom has another shape."""
        activities, log_weights = map(np.asarray, super()._alternatives())
        levels = len(activities)
        more = (0, (1 << (levels - 1).bit_length()) - levels), (0, 0)
        return (
            np.pad(activities, (*more, (0, 0))),
            np.pad(log_weights, more, constant_values=-np.inf),
        )
