"""The sparsity target is the gradient of its penalty, whatever the batch."""

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, Sparse
from jboltz.learning.sparsity import kullback_leibler, squared_distance
from tests.helpers import binary_states, draw_like, rng_of
from tests.learning.cases import compiled

MODEL = jboltz.RBM(jboltz.Bernoulli(4), jboltz.Bernoulli(3))
WITHIN = jboltz.ContrastiveDivergence(MODEL, jboltz.Gibbs(MODEL))
PENALTIES = [kullback_leibler, squared_distance]
each_penalty = pytest.mark.parametrize("penalty", PENALTIES)
close = partial(chex.assert_trees_all_close, rtol=1e-9, atol=1e-12)


def means(params, values):
    each = jax.vmap(MODEL.mean_hidden_state, in_axes=(None, 0))
    return jnp.mean(each(params, values), axis=0)


def start(getkey):
    params = draw_like(jax.eval_shape(MODEL.init, getkey()), getkey())
    return params, jnp.asarray(rng_of(getkey()).integers(0, 2, (6, 4)), float)


def added(sparse, params, state, batch, key):
    """What the target adds to the gradient of the estimator within."""
    gradient, new, _ = compiled(sparse.estimate, params, state, batch, key)
    plain, _, _ = compiled(sparse.estimator.estimate, params, (), batch, key)
    return jax.tree.map(jnp.subtract, gradient, plain), new


@each_penalty
def test_it_adds_the_gradient_of_the_stated_penalty(penalty, getkey, x64):
    sparse = Sparse(WITHIN, target=0.2, strength=0.7, rate=0.5, penalty=penalty)
    params, values = start(getkey)
    state = sparse.init(params, getkey())
    state = state.replace(activities=means(params, values))

    def stated(params):
        q = means(params, values)
        if penalty is squared_distance:
            return 0.7 * jnp.sum((q - 0.2) ** 2) / 2
        on = 0.2 * jnp.log(0.2 / q)
        return 0.7 * jnp.sum(on + 0.8 * jnp.log(0.8 / (1 - q)))

    found, _ = added(sparse, params, state, Batch(values=values), getkey())
    close(found, jax.grad(stated)(params))


def test_a_row_many_times_is_a_row(getkey, x64):
    sparse = Sparse(WITHIN, target=0.1, strength=1.0)
    params, values = start(getkey)
    state = sparse.init(params, getkey())
    one, many = values[:1], jnp.repeat(values[:1], 5, axis=0)
    found = [
        added(sparse, params, state, Batch(values=x), getkey()) for x in (one, many)
    ]
    close(*((gradient, new.activities) for gradient, new in found))


def test_batches_of_any_size_agree_in_expectation(getkey, x64):
    """All states are equally likely rows: a mean over all batches of 1 is the whole."""
    sparse = Sparse(WITHIN, target=0.1, strength=1.0, penalty=kullback_leibler)
    params, _ = start(getkey)
    state = sparse.init(params, getkey())
    state = state.replace(activities=jnp.asarray([0.3, 0.6, 0.1]))
    rows, key = binary_states(4), getkey()
    whole, _ = added(sparse, params, state, Batch(values=rows), key)
    single = [
        added(sparse, params, state, Batch(values=row[None]), key)[0] for row in rows
    ]
    close(jax.tree.map(lambda *x: sum(x) / len(x), *single), whole)


def test_a_weight_is_a_number_of_rows(getkey, x64):
    sparse = Sparse(WITHIN, target=0.1, strength=1.0)
    params, values = start(getkey)
    state, key = sparse.init(params, getkey()), getkey()
    weights = jnp.asarray([2.0, 0, 1, 0, 0, 0])
    weighted = Batch(values=values, weights=weights)
    repeated = Batch(values=values[jnp.asarray([0, 0, 2])])
    found = [added(sparse, params, state, batch, key) for batch in (weighted, repeated)]
    close(*((gradient, new.activities) for gradient, new in found))


@each_penalty
def test_activities_move_to_the_target(penalty, getkey):
    sparse = Sparse(WITHIN, target=0.1, strength=5.0, penalty=penalty)
    step = jboltz.make_train_step(sparse, optax.sgd(0.5))
    values = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    params = MODEL.init(getkey())
    state = jboltz.init_train_state(params, sparse, optax.sgd(0.5), getkey())
    state, histories = jboltz.fit(
        step, state, values, getkey(), batch_size=10, num_epochs=100
    )
    q = means(state.params, jnp.asarray(values))
    assert np.abs(np.asarray(q) - 0.1).max() < 0.05
    assert np.abs(np.asarray(means(params, jnp.asarray(values))) - 0.1).min() > 0.3
    first, last = (h["sparsity_penalty"].mean() for h in (histories[0], histories[-1]))
    assert last < 0.1 * first


def test_it_goes_around_the_centred_gradient(getkey):
    sparse = Sparse(jboltz.Centred(WITHIN), target=0.1, strength=0.0)
    params, values = start(getkey)
    state, key = sparse.init(params, getkey()), getkey()
    batch = Batch(values=values)
    found, _, _ = compiled(sparse.estimate, params, state, batch, key)
    plain, _, _ = compiled(sparse.estimator.estimate, params, state.inner, batch, key)
    chex.assert_trees_all_close(found, plain, rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("target", 0.0, "between 0 and 1"),
        ("target", 1.0, "between 0 and 1"),
        ("strength", -1.0, "finite, from 0"),
        ("strength", float("nan"), "finite"),
        ("rate", 0.0, "at most 1"),
    ],
)
def test_a_target_out_of_range_is_refused(field, value, words):
    sparse = Sparse(WITHIN, target=0.1, strength=1.0)
    with pytest.raises(ValueError, match=f"`{field}` is {value}.*{words}"):
        dataclasses.replace(sparse, **{field: value})


def test_units_that_are_no_probabilities_are_refused():
    model = jboltz.RBM(jboltz.Bernoulli(4), jboltz.Gaussian(3))
    estimator = jboltz.ContrastiveDivergence(model, jboltz.Gibbs(model))
    with pytest.raises(ValueError, match=r"'real'.*Bernoulli"):
        Sparse(estimator, target=0.1, strength=1.0)
