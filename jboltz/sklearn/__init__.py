"""Boltzmann machines as estimators of scikit-learn, for pipelines and grid searches.

`pip install 'jboltz[sklearn]'`. The estimators are `BernoulliRBM`, with scikit-learn's
parameters, attributes and methods, `GaussianBernoulliRBM`, `CategoricalRBM`,
`SpikeAndSlabRBM`, `DBNTransformer` and `DBNClassifier`.
"""

from jboltz.errors import MissingPackage

try:
    import sklearn as _
except ImportError as error:
    raise MissingPackage(
        "`jboltz.sklearn` needs scikit-learn, which is not installed; run "
        "`pip install 'jboltz[sklearn]'`."
    ) from error

from jboltz.sklearn.rbm import BernoulliRBM, GaussianBernoulliRBM

__all__ = ["BernoulliRBM", "GaussianBernoulliRBM"]
