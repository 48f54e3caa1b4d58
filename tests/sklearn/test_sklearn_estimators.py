"""What all estimators promise."""

import pickle

import chex
import jax
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

import jboltz
from jboltz.errors import Diverged, InvalidValue
from jboltz.sklearn import (
    BernoulliRBM,
    DBNClassifier,
    DBNTransformer,
    GaussianBernoulliRBM,
    SpikeAndSlabRBM,
    programs,
)
from tests.sklearn.sk_cases import ESTIMATORS, LABELS, data_of, name

# The classes that share most with another one wait for `-m slow`.
SHARING = (GaussianBernoulliRBM, SpikeAndSlabRBM, DBNTransformer)
PARAMETERS = [
    pytest.param(x, marks=pytest.mark.slow) if type(x) in SHARING else x
    for x in ESTIMATORS
]
each = pytest.mark.parametrize("estimator", PARAMETERS, ids=name)


def fitted(estimator, X):
    return clone(estimator).fit(X, LABELS[: X.shape[0]])


def assert_same(one, other):
    chex.assert_trees_all_equal(one._states, other._states)


@each
def test_pieces_give_what_one_call_gives(estimator):
    X = data_of(estimator)
    whole, pieces = clone(estimator), clone(estimator)
    more = {"classes": [0, 1]} if isinstance(estimator, DBNClassifier) else {}
    for _ in range(2):
        whole.partial_fit(X, LABELS, **more)
        for i in range(0, len(X), 4):
            pieces.partial_fit(X[i : i + 4], LABELS[i : i + 4], **more)
    assert whole._states[0].step == 10
    assert_same(whole, pieces)
    np.testing.assert_array_equal(whole.transform(X), pieces.transform(X))
    if more:
        np.testing.assert_array_equal(whole.predict_proba(X), pieces.predict_proba(X))


@pytest.mark.parametrize("estimator", PARAMETERS[:4], ids=name)
def test_fit_is_passes_over_the_rows(estimator):
    X = data_of(estimator)
    assert_same(fitted(estimator, X), clone(estimator).partial_fit(X).partial_fit(X))


@each
@pytest.mark.parametrize("as_sparse", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_data_are_dense_data(estimator, as_sparse):
    X = data_of(estimator)
    one, other = fitted(estimator, X), fitted(estimator, as_sparse(X))
    assert_same(one, other)
    np.testing.assert_array_equal(
        one.score_samples(X), other.score_samples(as_sparse(X))
    )


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_have_the_dtype_of_the_data(estimator, dtype):
    X = data_of(estimator).astype(dtype)
    model = fitted(estimator, X)
    codes = model.transform(X)
    assert codes.dtype == model.inverse_transform(codes).dtype == dtype
    assert model.score_samples(X).dtype == dtype
    assert model.inverse_transform(codes).shape == model.gibbs(X).shape == X.shape
    assert model.sample(3, n_steps=5).shape == (3, 5)


@each
def test_it_pickles_and_goes_on(estimator):
    X = data_of(estimator)
    model = fitted(estimator, X)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.score_samples(X), copy.score_samples(X))
    np.testing.assert_array_equal(model.gibbs(X), copy.gibbs(X))
    assert_same(model.partial_fit(X, LABELS), copy.partial_fit(X, LABELS))


@each
def test_scores_do_not_depend_on_the_other_rows(estimator):
    X = data_of(estimator)
    model = fitted(estimator, X)
    scores = model.score_samples(X)
    np.testing.assert_array_equal(model.score_samples(X), scores)
    np.testing.assert_allclose(model.score_samples(X[5:6]), scores[5:6], rtol=1e-6)
    if not isinstance(estimator, DBNClassifier):
        assert model.score(X) == pytest.approx(scores.mean())


@each
def test_another_call_of_gibbs_draws_anew(estimator):
    X = np.repeat(data_of(estimator), 5, axis=0)
    model = fitted(estimator, X[:18])
    assert (model.gibbs(X) != model.gibbs(X)).any()


@each
def test_names_and_progress(estimator, capsys):
    model = fitted(estimator.set_params(verbose=1), data_of(estimator))
    estimator.set_params(verbose=0)
    assert next(iter(model.get_feature_names_out())) == f"{name(estimator).lower()}0"
    assert f"[{name(estimator)}] Iteration 2, " in capsys.readouterr().out


@each
def test_fewer_rows_than_a_batch(estimator):
    X = data_of(estimator)[:3]
    model = clone(estimator).fit(X, LABELS[:3])
    assert np.isfinite(model.score_samples(X)).all()


@pytest.fixture
def compilations():
    """The programs compiled so far, as a list that grows."""
    found = []

    def listen(event, duration, **_):
        if "compile" in event:
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.clear_event_listeners()


@each
def test_a_second_fit_compiles_nothing(estimator, compilations):
    X = data_of(estimator)
    fitted(estimator, X).transform(X)
    before = len(compilations)
    again = clone(estimator).set_params(learning_rate=0.03, random_state=7)
    again.fit(X[:15], LABELS[:15]).transform(X)
    assert len(compilations) == before


def test_a_second_stack_of_batches_compiles_nothing():
    """A weak type in the first state would make training another program."""
    model = jboltz.RBM(jboltz.Bernoulli(3), jboltz.Bernoulli(2))
    pcd = jboltz.PersistentContrastiveDivergence(model, jboltz.Gibbs(model), 2)
    key = jax.random.key(0)
    for optimizer in (programs.SGD, programs.ADAM):
        first = programs.start_state(model.init(key), pcd, optimizer, key)
        state = programs.continue_state(first, 0.2)
        assert not any(x.weak_type for x in jax.tree.leaves(state))


def test_a_grid_search_compiles_once(compilations):
    X = np.random.default_rng(0).integers(0, 2, (30, 5)).astype(float)
    search = GridSearchCV(
        BernoulliRBM(20, batch_size=4, n_iter=1, random_state=0),
        {"learning_rate": [0.01]},
        cv=2,
    )
    search.fit(X)
    before = len(compilations)
    assert before
    search.set_params(param_grid={"learning_rate": [0.003, 0.03, 0.1]}, cv=3).fit(X)
    assert len(compilations) == before


def test_a_batch_is_no_larger_than_the_rows():
    X = data_of(ESTIMATORS[0])
    one, other = (BernoulliRBM(3, batch_size=x, random_state=0) for x in (18, 10**9))
    assert_same(one.fit(X), other.fit(X))
    assert other.h_samples_.shape == (18, 3)
    assert len(other.partial_fit(X).partial_fit(X[:5]).h_samples_) == 18
    assert len(BernoulliRBM(3, batch_size=10**9).partial_fit(X).h_samples_) == 2**16


@each
def test_weights_are_loaded(estimator):
    X = data_of(estimator)
    model, other = (
        fitted(estimator, X),
        fitted(clone(estimator).set_params(n_iter=0), X),
    )
    assert (model.transform(X) != other.transform(X)).any()
    other.params_ = jax.tree.map(jax.numpy.asarray, model.params_)
    np.testing.assert_array_equal(model.transform(X), other.transform(X))
    other.partial_fit(X, LABELS)
    with pytest.raises(InvalidValue, match="`params"):
        other.params_ = {"weights": np.ones(3)}
    with pytest.raises(NotFittedError):
        clone(estimator).params_ = model.params_


@pytest.mark.parametrize("as_data", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    "estimator", [ESTIMATORS[0], BernoulliRBM(20), ESTIMATORS[4]], ids=str
)
def test_rows_outside_the_unit_interval_have_no_score(estimator, as_data):
    X = np.tile(data_of(estimator), (1, 4))
    with pytest.warns(
        UserWarning, match=r"values from 0.0 to 255.0 but .* in \[0, 1\]"
    ):
        model = clone(estimator).fit(as_data(255 * X))
    X[0, 1], X[1, 2], X[2, 2] = -1, 2, 1 + 1e-7
    scores = model.score_samples(as_data(X))
    np.testing.assert_array_equal(np.isnan(scores), np.arange(18) < 2)


# Bad input.


@each
def test_what_is_not_fitted_says_so(estimator):
    for method in ("transform", "inverse_transform", "score_samples", "gibbs"):
        with pytest.raises(NotFittedError):
            getattr(clone(estimator), method)(data_of(estimator))
    with pytest.raises(NotFittedError):
        clone(estimator).sample()


@each
def test_other_columns_are_refused(estimator):
    X = data_of(estimator)
    model = fitted(estimator, X)
    with pytest.raises(ValueError, match="X has 4 features, but"):
        model.transform(X[:, :4])
    with pytest.raises(
        InvalidValue, match=r"`X` has 5 columns but the model has 3 hidden"
    ):
        model.inverse_transform(X)


@pytest.mark.parametrize("x", [np.nan, np.inf])
def test_a_gap_is_refused_where_none_is_filled(x):
    X = data_of(ESTIMATORS[0])
    X[2, 1] = x
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        BernoulliRBM(3).fit(X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "`learning_rate` is 0.0 but needs"),
        ({"learning_rate": "fast"}, "`learning_rate` is 'fast' but needs"),
        ({"batch_size": 0}, "`batch_size` is 0 but needs"),
        ({"n_iter": -1}, "`n_iter` is -1 but needs"),
        ({"n_components": 0}, "`n_components` is 0 but needs"),
    ],
)
def test_bad_parameters_are_refused_in_fit(options, message):
    with pytest.raises(InvalidValue, match=message):
        BernoulliRBM(**options).fit(data_of(ESTIMATORS[0]))


def test_a_diverged_model_names_the_remedy():
    X = 1e8 * np.random.default_rng(0).normal(size=(40, 5))
    with pytest.raises(Diverged, match="StandardScaler"):
        GaussianBernoulliRBM(3, learning_rate=1e3, n_iter=20).fit(X)


def test_labels_of_another_length_or_class_are_refused():
    X = data_of(ESTIMATORS[0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        DBNClassifier().fit(X, LABELS[:-1])
    with pytest.raises(InvalidValue, match="`classes` is None but the first call"):
        DBNClassifier().partial_fit(X, LABELS)
    with pytest.raises(InvalidValue, match=r"`y` holds the classes \[1\] but"):
        DBNClassifier().partial_fit(X, LABELS, classes=[0, 2])
