"""Every estimator keeps the contract: what it is, and what the loops may count on."""

import copy

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch
from jboltz.base import Estimator
from tests.helpers import classes_with, draw_like, rng_of
from tests.learning.cases import ESTIMATORS, examples_for, init

TAKE_A_MASK = ("imputed", "present only")
each_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def test_every_estimator_is_in_the_cases():
    types = classes_with("estimate")
    assert {jboltz.ContrastiveDivergence, jboltz.Centred} <= types
    assert types == {type(estimator) for estimator in ESTIMATORS.values()}


@each_estimator
def test_it_is_a_spec_that_names_its_model(name):
    estimator = ESTIMATORS[name]
    assert isinstance(estimator, Estimator)
    again = copy.deepcopy(estimator)
    if name not in ("cd of real units", "centred"):  # their `num_steps` is an array
        assert again == estimator
        assert hash(again) == hash(estimator)
    assert again.model == estimator.model


def as_they_are(rows, key):
    del key
    return rows


def differ(tree, other):
    return any(jax.tree.leaves(jax.tree.map(lambda x, y: (x != y).any(), tree, other)))


# Of two batches of two rows, one has a row that does not count.
WEIGHTS = np.array([1.0, 2.0, 0.0, 1.0])


@each_estimator
def test_two_steps_of_training(name, getkey):
    """Gradients are like the parameters, of the weighted rows and of the key alone."""
    estimator, sgd = ESTIMATORS[name], optax.sgd(0.1)
    params = draw_like(jax.eval_shape(lambda: init(estimator, getkey())), getkey())
    state = jboltz.init_train_state(params, estimator, sgd, getkey())
    step, key = jboltz.make_train_step(estimator, sgd), getkey()
    images = jnp.asarray(rng_of(getkey()).integers(0, 2, (4, 4)), jnp.float32)
    mask = None
    if name in TAKE_A_MASK:  # what is masked is not read
        mask = images < 2
        mask, images = mask.at[:, 1].set(False), images.at[:, 1].set(jnp.nan)

    def train(images, weights, key):
        data = Batch(values=examples_for(estimator, images), weights=weights, mask=mask)
        return jboltz.fit(
            step, state, data, key, batch_size=2, num_epochs=1, prepare=as_they_are
        )

    end, (history,) = train(images, WEIGHTS, key)
    chex.assert_trees_all_equal_shapes_and_dtypes(end, state)
    chex.assert_tree_all_finite((end.params, history))
    assert all(len(x) == 2 for x in history.values())
    assert differ(end.params, state.params)

    again, (same_history,) = train(images, WEIGHTS, key)
    chex.assert_trees_all_equal((again, same_history), (end, history))
    unread, _ = train(images.at[2].set(1 - images[2]), WEIGHTS, key)
    chex.assert_trees_all_equal(unread.params, end.params)
    other, _ = train(images, WEIGHTS[::-1].copy(), key)
    assert differ(other.params, end.params)


@each_estimator
def test_a_mask_is_used_or_refused(name, getkey):
    estimator, images = ESTIMATORS[name], jnp.zeros((2, 4))

    def estimate(key):
        params = init(estimator, key)
        batch = Batch(values=examples_for(estimator, images), mask=images == 0)
        return estimator.estimate(params, estimator.init(params, key), batch, key)[0]

    if name in TAKE_A_MASK:
        like = jax.eval_shape(lambda key: init(estimator, key), getkey())
        assert jax.eval_shape(estimate, getkey()) == like
        return
    with pytest.raises(ValueError, match=r"`batch\.mask` marks missing entries"):
        jax.eval_shape(estimate, getkey())
