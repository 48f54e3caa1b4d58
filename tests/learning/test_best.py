"""The best epoch is remembered beside any estimator."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.learning.best import BestSoFar, keep_least
from tests.learning.cases import PCD, RBM

SGD = optax.sgd(0.5)


def train(estimator, judge, key, num_epochs=3):
    """The end of a run, and its parameters after each epoch."""
    state = jboltz.init_train_state(RBM.init(key), estimator, SGD, key)
    after = []
    state, histories = jboltz.fit(
        jboltz.make_train_step(estimator, SGD),
        state,
        np.eye(4, dtype=np.float32),
        key,
        batch_size=2,
        num_epochs=num_epochs,
        end_epoch=None if judge is None else keep_least(judge, "error"),
        on_epoch=lambda _, state, __: after.append(state.params),
    )
    return state, after, histories


def test_the_first_of_the_best_epochs_is_kept_and_training_is_as_without(getkey):
    key, first = getkey(), RBM.init(getkey())
    _, plain, _ = train(PCD, None, key)
    target = plain[1]

    def judge(params):
        distance = jax.tree.map(lambda x, y: jnp.abs(x - y).max(), params, target)
        return {"error": jnp.max(jnp.stack(jax.tree.leaves(distance)))}

    state, after, histories = train(BestSoFar(PCD), judge, key)
    jax.tree.map(np.testing.assert_array_equal, after, plain)
    jax.tree.map(np.testing.assert_array_equal, state.estimator_state.params, target)
    assert state.estimator_state.error == 0 == histories[1]["held_out_error"]
    assert jax.tree.structure(state.estimator_state.params) == jax.tree.structure(first)


def test_an_error_that_is_nan_keeps_the_parameters_before_and_says_so(getkey):
    with pytest.warns(UserWarning, match="NaN as 'error'"):
        state, _, _ = train(
            BestSoFar(PCD), lambda p: {"error": jnp.full((), jnp.nan)}, getkey()
        )
    assert state.estimator_state.error == jnp.inf


@pytest.mark.parametrize(
    ("estimator", "judge", "error", "words"),
    [
        (PCD, lambda p: {"error": 0.0}, TypeError, "`BestSoFar` around"),
        (BestSoFar(PCD), lambda p: {"other": 0.0}, ValueError, "called 'error'"),
        (BestSoFar(PCD), lambda p: 0.0, ValueError, "return a dict"),
        (BestSoFar(PCD), lambda p: {"error": np.ones(3)}, ValueError, "one number"),
    ],
)
def test_what_is_no_error_is_refused(estimator, judge, error, words, getkey):
    with pytest.raises(error, match=words):
        train(estimator, judge, getkey())
