"""Boltzmann machines as estimators of scikit-learn, for pipelines and grid searches.

`pip install 'jboltz[sklearn]'`. The estimators are `BernoulliRBM`, with scikit-learn's
parameters, attributes and methods, `GaussianBernoulliRBM`, `CategoricalRBM`,
`SpikeAndSlabRBM`, `DBNTransformer` and `DBNClassifier`.
"""

import importlib

from jboltz.errors import MissingPackage

try:
    importlib.import_module("sklearn")
except ImportError as error:
    raise MissingPackage(
        "`jboltz.sklearn` needs scikit-learn, which is not installed; run "
        "`pip install 'jboltz[sklearn]'`."
    ) from error

from jboltz.sklearn.categorical import CategoricalRBM
from jboltz.sklearn.classifier import DBNClassifier
from jboltz.sklearn.dbn import DBNTransformer
from jboltz.sklearn.rbm import BernoulliRBM, GaussianBernoulliRBM
from jboltz.sklearn.spike_and_slab import SpikeAndSlabRBM

__all__ = [
    "BernoulliRBM",
    "CategoricalRBM",
    "DBNClassifier",
    "DBNTransformer",
    "GaussianBernoulliRBM",
    "SpikeAndSlabRBM",
]
