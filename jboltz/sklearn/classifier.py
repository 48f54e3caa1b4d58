"""Deep belief networks that are fine-tuned, as a classifier."""

import dataclasses
from typing import Any

import jax
import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from jboltz.base import Batch
from jboltz.checks import check_count
from jboltz.errors import InvalidValue
from jboltz.nets.classifier import classifier_of, to_linen_params
from jboltz.nets.finetune import CrossEntropy, LabelledExamples
from jboltz.sklearn import programs
from jboltz.sklearn.base import FLOATS, check_rate, estimator
from jboltz.sklearn.dbn import DBNTransformer
from jboltz.sklearn.programs import Part


def as_labelled(rows, key):
    """The `prepare` of the classifier, for pairs (rows, labels)."""
    del key
    images, labels = rows
    return LabelledExamples(images=images, labels=labels)


def class_probabilities(net, params, v):
    return jax.nn.softmax(net.apply({"params": params}, v))


start_net = jax.jit(to_linen_params, static_argnums=(0, 2))


@estimator
class DBNClassifier(ClassifierMixin, DBNTransformer):
    """A deep belief network, then a classifier with its weights that is fine-tuned.

    `fit` trains the network as `DBNTransformer` does, and the classifier, sigmoid
    layers with a linear head, from its weights by Adam. `partial_fit` trains both on
    each batch. `predict` and `predict_proba` are of the classifier, `score` is its
    accuracy; the other methods are of the deep belief network.

    Parameters
    ----------
    fine_tuning_rate : float, default=0.003
        Learning rate of Adam.
    n_iter_fine_tuning : int, default=30
        Number of passes over the rows.

    The other parameters are those of `DBNTransformer`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    net_, net_params_ : jboltz.nets.classifier.Classifier, dict
        The classifier and its parameters.
    """

    _: dataclasses.KW_ONLY
    fine_tuning_rate: Any = 0.003
    n_iter_fine_tuning: Any = 30

    def fit(self, X, y=None):
        """Trains the deep belief network, and the classifier from its weights."""
        return self._fit(*self._validated_pair(X, y, None, reset=True))

    def partial_fit(self, X, y=None, classes=None):
        """Trains both with one pass; the first call needs all `classes`."""
        if self._is_new and classes is None:
            raise InvalidValue(
                "`classes` is None but the first call of `partial_fit` needs every "
                "class that later calls may hold; pass them, such as `np.unique(y)`."
            )
        pair = self._validated_pair(X, y, classes, reset=self._is_new)
        return self._partial_fit(*pair)

    def predict_proba(self, X):
        """The probability of each class, in the order of `classes_`."""
        check_is_fitted(self)
        X, params = self._validated(X), self.net_params_
        found = self._map(class_probabilities, X, model=self.net_, params=params)
        return found.astype(X.dtype)

    def predict(self, X):
        """The most probable class of each row."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def score(self, X, y=None, sample_weight=None):
        """The share of rows whose class is predicted."""
        return ClassifierMixin.score(self, X, y, sample_weight)

    @property
    def net_(self):
        return classifier_of(self.model_, len(self.classes_))

    @property
    def net_params_(self):
        return self._states[-1].params

    def _validated_pair(self, X, y, classes, reset):
        """Data, and the numbers of their classes."""
        options = {"accept_sparse": "csr", "dtype": FLOATS}
        X, y = validate_data(self, X, y, reset=reset, **options)
        check_classification_targets(y)
        if reset:
            self.classes_ = np.unique(y if classes is None else classes)
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise InvalidValue(
                f"`y` holds the classes {unknown.tolist()} but the classifier has "
                f"{self.classes_.tolist()}; pass all `classes` in the first call of "
                "`partial_fit`."
            )
        return X, np.searchsorted(self.classes_, y).astype(np.int32)

    def _parts(self):
        net = Part(
            estimator=CrossEntropy(self.net_),
            learning_rate=check_rate("fine_tuning_rate", self.fine_tuning_rate),
            num_passes=check_count(
                "n_iter_fine_tuning", self.n_iter_fine_tuning, at_least=0
            ),
            optimizer=programs.ADAM,
        )
        return [*super()._parts(), net]

    def _start_params(self, part, key, X):
        if part.optimizer is programs.SGD:
            return super()._start_params(part, key, X)
        return start_net(self.model_, self.params_, len(self.classes_), key)

    def _prepare(self, below):
        is_net = len(below) == len(self.model_.layers)
        return as_labelled if is_net else super()._prepare(below)

    def _batch(self, X, y):
        values: Any = (self._rows(X), y)
        return Batch(values=values)
