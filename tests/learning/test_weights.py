"""Weights: an example of weight w is an example that is there w times."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, Bernoulli, Gaussian
from jboltz.learning.centred import enhanced_gradient
from jboltz.learning.contrastive import HalfStepContrastiveDivergence
from tests.helpers import draw_like, errors_without_hook, rng_of

RBM = jboltz.RBM(Bernoulli(5), Bernoulli(4))
DBM = jboltz.DBM((Bernoulli(5), Bernoulli(4), Bernoulli(3)))


@dataclasses.dataclass(frozen=True)
class SameNoise:
    """A sampler whose chains all draw the same: equal starts, equal chains."""

    sampler: Any

    @property
    def model(self):
        return self.sampler.model

    def init(self, params, v, key):
        return self.sampler.init(params, v, jnp.zeros_like(key))

    def step(self, params, state, key):
        return self.sampler.step(params, state, jnp.ones_like(key))


SAMPLER = SameNoise(jboltz.Gibbs(RBM))
PCD = jboltz.PersistentContrastiveDivergence(RBM, SAMPLER, 3)
CD = jboltz.ContrastiveDivergence(RBM, SAMPLER, 2)
ESTIMATORS = {
    "CD": CD,
    "half step": HalfStepContrastiveDivergence(RBM, SAMPLER, 2),
    "fast PCD": jboltz.FastPersistentContrastiveDivergence(RBM, SAMPLER, 3),
    "mean field": jboltz.MeanFieldPCD(DBM, jboltz.Gibbs(DBM), 3, max_sweeps=4),
    "centred CD": jboltz.Centred(CD),
    "enhanced PCD": enhanced_gradient(PCD),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_weights_are_repeated_rows(name, getkey):
    """Gradient, next state and metrics; one example is not there at all."""
    estimator = ESTIMATORS[name]
    params = draw_like(jax.eval_shape(estimator.model.init, getkey()), getkey())
    v = jnp.asarray(rng_of(getkey()).integers(0, 2, (6, 5)), jnp.float32)
    counts = np.array([2, 0, 1, 1, 0, 2])
    weighted = Batch(values=v, weights=jnp.asarray(counts, v.dtype))
    # As many rows, so that both are the same program.
    repeated = Batch(values=v[np.repeat(np.arange(6), counts)], weights=jnp.ones(6))
    state, key = estimator.init(params, getkey()), getkey()
    estimate = jax.jit(estimator.estimate)
    got = estimate(params, state, weighted, key)
    if name in ("CD", "half step", "centred CD"):  # their chains are examples too
        assert 0 < got[2]["reconstruction_error"] < 1
    chex.assert_trees_all_close(
        got, estimate(params, state, repeated, key), rtol=2e-5, atol=1e-6
    )


@dataclasses.dataclass(frozen=True)
class MeanOfValues:
    """The gradient is the weighted mean of the values: what an epoch adds up to."""

    model: Any = None

    def init(self, params, key):
        del params, key
        return ()

    def estimate(self, params, state, batch, key):
        del params, key
        mean = jboltz.learning.contrastive.weighted_mean
        columns = jax.vmap(mean, in_axes=(1, None))(batch.values, batch.weights)
        return columns, state, {}


STEP = jboltz.make_train_step(MeanOfValues(), optax.sgd(1.0))


def fit_values(data, key, batch_size, train):
    num_rows, num_columns = np.shape(data.values)
    state = jboltz.init_train_state(
        jnp.zeros(num_columns), MeanOfValues(), optax.sgd(1.0), key
    )
    if train == "fit":
        options = {"batch_size": batch_size, "num_epochs": 1}
        return jboltz.fit(STEP, state, data, key, **options)[0].params
    batches = (
        jax.tree.map(lambda x, first=first: x[first : first + batch_size], data)
        for first in range(0, num_rows, batch_size)
    )
    return jboltz.fit_stream(STEP, state, batches, key)[0].params


@pytest.mark.parametrize("batch_size", [1, 3, 12])
@pytest.mark.parametrize("train", ["fit", "stream"])
def test_an_epoch_adds_up_to_the_weighted_mean_of_the_data(train, batch_size, getkey):
    """However it is cut into batches: a heavy row counts as much beside light ones as
    beside heavy ones, and alone. Most rows count nothing, so some batches do neither.
    """
    rng = rng_of(getkey())
    values = rng.normal(size=(12, 2)).astype(np.float32)
    weights = np.array([9, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0], np.float32)
    if train == "stream":
        weights = np.array([9, 0.5, 1, 0, 0, 1, 0.5, 0, 2, 0, 0, 1], np.float32)
        weights = weights / weights.mean()
    scale = 100 if train == "fit" else 1  # of which `fit` knows the mean
    data = Batch(values=values, weights=scale * weights)
    if train == "stream" and batch_size == 1:
        data = Batch(values=values, weights=weights + 1e-6)  # none is 0 as a whole
    got = fit_values(data, getkey(), batch_size, train)
    expected = -12 / batch_size * np.average(values, axis=0, weights=weights)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_a_batch_that_counts_nothing_moves_nothing(getkey):
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey())
    optimizer, estimator = optax.sgd(0.1), ESTIMATORS["enhanced PCD"]
    state = jboltz.init_train_state(params, estimator, optimizer, getkey())
    step = jax.jit(jboltz.make_train_step(estimator, optimizer))
    batch = Batch(values=jnp.ones((2, 5)), weights=jnp.zeros(2))
    after, _ = step(state, batch, getkey())
    chex.assert_trees_all_equal(after.params, params)
    chex.assert_tree_all_finite(after.estimator_state.offsets)


# Upwards through a stack.

REAL = tuple(map(Gaussian, (4, 3, 2)))  # fed means, as nothing is binarised


@pytest.mark.parametrize("name", ["DBN", "DBM"])
def test_weights_go_up_with_the_features_of_their_rows(name, getkey):
    """Every layer of a stack is trained on Σ w x / Σ w of its own inputs x."""
    layers = jboltz.DBN.chain(*REAL).layers
    if name == "DBM":
        layers = jboltz.DBM(REAL).pretraining_layers()
    stack = tuple(draw_like(jax.eval_shape(m.init, getkey()), getkey()) for m in layers)
    rng = rng_of(getkey())
    values = rng.normal(size=(6, 4)).astype(np.float32)
    weights = np.array([1, 0, 4, 0.5, 0, 2], np.float32)
    seen = []

    def fit_layer(index, prepare, key):
        def flat(rows, key):
            return prepare(rows, key).reshape(len(rows), -1)

        shape = (layers[index].visible.size * (1 + (name == "DBM" and index == 0)),)
        state = jboltz.init_train_state(
            jnp.zeros(shape), MeanOfValues(), optax.sgd(1.0), key
        )
        data = Batch(values=values, weights=weights)
        state, _ = jboltz.fit(
            STEP, state, data, key, batch_size=6, num_epochs=1, prepare=flat
        )
        inputs = prepare(jnp.asarray(values), key)
        expected = np.average(inputs.reshape(6, -1), axis=0, weights=weights)
        np.testing.assert_allclose(-state.params, expected, rtol=1e-4, atol=1e-5)
        seen.append(index)
        return stack[index]

    jboltz.greedy(layers, getkey(), fit_layer=fit_layer)
    assert seen == [0, 1]


def test_weights_that_are_none_are_refused_by_both_loops():
    setup = (
        "import jax, numpy as np, jboltz as j\n"
        "nan = float('nan')\n"
        "state = j.TrainState(0, params={}, opt_state=(), estimator_state=())\n"
        "def fit(weights=None, mask=None):\n"
        "    data = j.Batch(values=np.zeros((3, 2)), weights=weights, mask=mask)\n"
        "    j.fit(len, state, data, jax.random.key(0), batch_size=1, num_epochs=1)\n"
        "def stream(weights):\n"
        "    data = j.Batch(values=np.zeros((3, 2)), weights=np.array(weights))\n"
        "    j.fit_stream(len, state, [data], jax.random.key(0))\n"
    )
    expected = {
        "fit(np.array([1, -2, 1]))": "`weights` holds -2 in row 1 but a weight says",
        "fit(np.array([1, 2, nan]))": "`weights` holds nan in row 2 but a weight says",
        "fit(np.zeros(3))": "`weights` holds 3 times 0 but training needs a row",
        "fit(np.ones(4))": "`weights` has shape (4,) but the data have 3 rows; give",
        "fit(np.ones((3, 2)))": "`weights` has shape (3, 2) but an example has one",
        "fit(mask=np.ones((2, 2), bool))": "`mask` has shape (2, 2) but the data have",
        "stream([1, -2, 1])": "`weights` holds -2 in row 1 but a weight says",
        "stream([0, 0, 0])": "`weights` holds 3 times 0 but training needs a row",
    }
    errors = errors_without_hook(setup, expected)
    for call, message in expected.items():
        assert errors[call].startswith(f"InvalidValue: {message}"), (call, errors[call])
