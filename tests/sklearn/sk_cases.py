"""One small estimator of each class, with data that it takes."""

import numpy as np

from jboltz.sklearn import (
    BernoulliRBM,
    CategoricalRBM,
    DBNClassifier,
    DBNTransformer,
    GaussianBernoulliRBM,
    SpikeAndSlabRBM,
)

SMALL = {"batch_size": 4, "n_iter": 2, "random_state": 0}
LAYERS = {"hidden_layer_sizes": (4, 3), **SMALL}

ESTIMATORS = [
    BernoulliRBM(3, **SMALL),
    GaussianBernoulliRBM(3, **SMALL),
    CategoricalRBM(3, n_categories=[3] * 5, **SMALL),
    SpikeAndSlabRBM(3, **SMALL),
    DBNTransformer(**LAYERS),
    DBNClassifier(**LAYERS, n_iter_fine_tuning=2),
]


def name(estimator):
    return type(estimator).__name__


def data_of(estimator, count=18):
    rng = np.random.default_rng(0)
    if isinstance(estimator, CategoricalRBM):
        return rng.integers(0, 3, (count, 5)).astype(float)
    if isinstance(estimator, GaussianBernoulliRBM | SpikeAndSlabRBM):
        return rng.normal(size=(count, 5))
    return rng.integers(0, 2, (count, 5)).astype(float)


LABELS = np.arange(18) % 2
