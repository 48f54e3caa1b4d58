"""Scores are the probabilities that they are said to be."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.base import clone

from jboltz.sklearn import (
    BernoulliRBM,
    CategoricalRBM,
    DBNTransformer,
    GaussianBernoulliRBM,
    SpikeAndSlabRBM,
)
from tests.sklearn.sk_cases import ESTIMATORS, data_of

STATES = np.array(list(itertools.product([0.0, 1.0], repeat=5)))
RATE = {"learning_rate": 0.3, "n_iter": 20}


def trained(estimator, X):
    model = clone(estimator).set_params(**RATE)
    return model.fit(X)


def test_probabilities_of_binary_states_sum_to_one():
    model = trained(ESTIMATORS[0], data_of(ESTIMATORS[0]))
    assert model.score_kind_ == "log-likelihood"
    scores = model.score_samples(STATES)
    assert scores.std() > 0.1
    assert logsumexp(scores) == pytest.approx(0, abs=1e-4)


def test_the_pseudo_likelihood_is_that_of_the_probabilities():
    model = trained(ESTIMATORS[0], data_of(ESTIMATORS[0]))
    scores = model.score_samples(STATES).reshape((2,) * 5)
    terms = [scores - logsumexp(scores, axis=i, keepdims=True) for i in range(5)]
    np.testing.assert_allclose(
        model.pseudo_log_likelihood(STATES), sum(terms).ravel(), atol=1e-4
    )


def test_many_states_have_a_pseudo_likelihood():
    X = np.random.default_rng(0).integers(0, 2, (20, 16)).astype(float)
    model = BernoulliRBM(16, n_iter=1, random_state=0).fit(X)
    assert model.score_kind_ == "pseudo-log-likelihood"
    np.testing.assert_array_equal(
        model.score_samples(X), model.pseudo_log_likelihood(X)
    )


def test_the_pseudo_likelihood_of_categories_leaves_out_absent_ones():
    X = np.random.default_rng(0).integers(0, [2, 3, 4], (20, 3)).astype(float)
    model = CategoricalRBM(3, batch_size=5, random_state=0, **RATE).fit(X)
    assert model.n_categories_.tolist() == [2, 3, 4]
    assert model.score_kind_ == "pseudo-log-likelihood"
    states = np.array(list(itertools.product(range(2), range(3), range(4))), float)
    energies = [
        float(model.model_.free_energy(model.params_, jnp.eye(4)[state]))
        for state in states.astype(int)
    ]
    array, terms = -np.reshape(energies, (2, 3, 4)), 0
    for axis in range(3):
        terms = terms + array - logsumexp(array, axis=axis, keepdims=True)
    np.testing.assert_allclose(model.score_samples(states), terms.ravel(), atol=1e-4)
    assert (model.sample(50, n_steps=20).max(axis=0) < [2, 3, 4]).all()


@pytest.mark.parametrize("cls", [GaussianBernoulliRBM, SpikeAndSlabRBM])
def test_densities_of_real_features_integrate_to_one(cls):
    X = np.random.default_rng(0).normal(size=(40, 1)) ** 2
    model = cls(3, learning_rate=0.02, n_iter=10, random_state=0).fit(X)
    assert model.score_kind_ == "log-likelihood"
    grid = np.linspace(-40, 40, 8001)
    total = logsumexp(model.score_samples(grid[:, None])) + np.log(grid[1] - grid[0])
    assert total == pytest.approx(0, abs=1e-3)


def test_the_pseudo_likelihood_of_one_real_feature_is_its_density():
    X = np.random.default_rng(0).normal(size=(40, 1))
    model = GaussianBernoulliRBM(3, n_iter=5, random_state=0).fit(X)
    np.testing.assert_allclose(
        model.pseudo_log_likelihood(X), model.score_samples(X), atol=1e-4
    )


def test_the_score_of_a_deep_network_is_a_lower_bound():
    X = data_of(ESTIMATORS[0])
    options = {"batch_size": 4, "random_state": 0, **RATE}
    model = DBNTransformer((4, 3), **options).fit(X)
    assert model.score_kind_ == "lower bound"
    assert -1 < logsumexp(model.score_samples(STATES)) < 0.05
    # A network of one layer is an RBM, whose score is exact.
    single = DBNTransformer((3,), **options).fit(X)
    assert logsumexp(single.score_samples(STATES)) == pytest.approx(0, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        SpikeAndSlabRBM(15, n_iter=2, random_state=0),
        DBNTransformer((16, 16), n_iter=2, random_state=0),
    ],
)
def test_larger_layers_are_annealed(model):
    X = np.random.default_rng(0).integers(0, 2, (30, 4)).astype(float)
    assert model.fit(X).score_kind_.startswith("estimated ")
    states = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    scores = model.score_samples(states)
    assert np.isfinite(scores).all()
    if isinstance(model, DBNTransformer):
        assert -1 < logsumexp(scores) < 0.2
