"""Deep belief networks that are fine-tuned, as a classifier."""

import jax
import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from jboltz import random
from jboltz.checks import check_count
from jboltz.errors import InvalidValue
from jboltz.learning.step import make_train_step
from jboltz.nets.classifier import classifier_of
from jboltz.nets.finetune import CrossEntropy, LabelledExamples, scale_images
from jboltz.sklearn import programs
from jboltz.sklearn.base import FLOATS, check_rate, train
from jboltz.sklearn.dbn import DBNTransformer


class DBNClassifier(ClassifierMixin, DBNTransformer):
    """A deep belief network, then a classifier with its weights that is fine-tuned.

    `fit` trains the network as `DBNTransformer` does, and the classifier, sigmoid
    layers with a linear head, from its weights by Adam. `partial_fit` makes a pass over
    the rows for each of the two. `predict` and `predict_proba` are of the classifier,
    `score` is its accuracy; the other methods are of the deep belief network.

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
    net_params_ : dict
        The parameters of the classifier, a `jboltz.nets.classifier.Classifier`.
    """

    def __init__(
        self,
        hidden_layer_sizes=(256, 128),
        *,
        learning_rate=0.1,
        batch_size=10,
        n_iter=10,
        fine_tuning_rate=0.003,
        n_iter_fine_tuning=30,
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            hidden_layer_sizes,
            learning_rate=learning_rate,
            batch_size=batch_size,
            n_iter=n_iter,
            verbose=verbose,
            random_state=random_state,
        )
        self.fine_tuning_rate = fine_tuning_rate
        self.n_iter_fine_tuning = n_iter_fine_tuning

    def fit(self, X, y=None):
        """Trains the deep belief network, and the classifier from its weights."""
        X, labels = self._validated_pair(X, y, None, reset=True)
        self._begin(X)
        self._run_passes(X)
        self._begin_net()
        for _ in range(self.n_iter_fine_tuning):
            self._tune(X, labels)
        return self

    def partial_fit(self, X, y=None, classes=None):
        """Trains both with one pass; the first call needs all `classes`."""
        is_new = "n_updates_" not in vars(self)
        if is_new and classes is None:
            raise InvalidValue(
                "`classes` is None but the first call of `partial_fit` needs every "
                "class that later calls may hold; pass them, such as `np.unique(y)`."
            )
        X, labels = self._validated_pair(X, y, classes, reset=is_new)
        if is_new:
            self._begin(X)
            self._begin_net()
        self._pass(X)
        self._tune(X, labels)
        return self

    def predict_proba(self, X):
        """The probability of each class, in the order of `classes_`."""
        check_is_fitted(self)
        X = self._validated(X)
        found = self._map(
            programs.class_probabilities,
            X,
            params=self._net.params,
            model=classifier_of(self._model, len(self.classes_)),
        )
        return found.astype(X.dtype)

    def predict(self, X):
        """The most probable class of each row."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def score(self, X, y=None, sample_weight=None):
        """The share of rows whose class is predicted."""
        return ClassifierMixin.score(self, X, y, sample_weight)

    @property
    def net_params_(self):
        return self._net.params

    def _check(self):
        super()._check()
        check_rate("fine_tuning_rate", self.fine_tuning_rate)
        check_count("n_iter_fine_tuning", self.n_iter_fine_tuning, at_least=0)

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

    def _begin_net(self):
        key = random.fold_in(jax.random.key(self._seed), 1)
        net = programs.start_net(self._model, self._params(), len(self.classes_), key)
        rate = float(self.fine_tuning_rate)
        self._net = programs.to_host(
            programs.start_state(programs.ADAM, net, (), 0, rate)
        )

    def _tune(self, X, labels):
        """Trains the classifier on each row once."""

        def rows_of(piece):
            return LabelledExamples(images=self._rows(X[piece]), labels=labels[piece])

        estimator = CrossEntropy(classifier_of(self._model, len(self.classes_)))
        state = programs.continue_state(self._net, float(self.fine_tuning_rate))
        step = make_train_step(estimator, programs.ADAM)
        key = random.fold_in(jax.random.key(self._seed), 2)
        state = train(step, state, self._stacks(X, rows_of), scale_images, key)
        self._net = programs.to_host(state)
