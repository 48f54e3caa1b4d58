"""Up–down: the delta rules, what they are gradients of, and that they train."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, Bernoulli
from jboltz.base import Estimator
from jboltz.checkpoint import Checkpoints
from jboltz.learning.contrastive import contrastive_value
from jboltz.learning.up_down import UpDownParams, untie_weights
from tests.helpers import (
    binary_states,
    draw_like,
    errors_without_hook,
    rng_of,
    standard_errors,
)

SIZES = (4, 3, 2, 2)
PLAIN = jboltz.DBN.chain(*map(Bernoulli, SIZES))
LABELLED = jboltz.LabelledDBN.chain(*map(Bernoulli, SIZES), num_classes=3)
MODELS = pytest.mark.parametrize("model", [PLAIN, LABELLED], ids=["DBN", "labelled"])
close = partial(chex.assert_trees_all_close, rtol=1e-9, atol=1e-12)


def draw_params(model, getkey):
    return draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale=1.0)


def draw_values(model, getkey, count=6):
    rng = rng_of(getkey())
    v = jnp.asarray(rng.integers(0, 2, (count, SIZES[0])) * 1.0)
    y = jax.nn.one_hot(rng.integers(0, 3, count), 3)[:, None]
    return (v, y) if model is LABELLED else v


@partial(jax.jit, static_argnums=0)
def estimate(estimator, params, batch, key):
    return estimator.estimate(params, (), batch, key)


@partial(jax.jit, static_argnums=(0, 1))
def states_of(model, num_steps, params, values, key):
    """States of the two passes and the chain between, from the documented keys."""
    directed, top = jboltz.DBN(model.layers[:-1]), model.layers[-1]
    v, *label = values if model is LABELLED else (values,)
    key_up, key_chains, key_down = jax.random.split(key, 3)
    key_init, key_run = jax.random.split(key_chains)
    keys_up, keys_down = (jax.random.split(k, len(v)) for k in (key_up, key_down))
    up = jax.vmap(directed.sample_layers_up, (None, 0, 0))
    wake = (v, *up(params.recognition, v, keys_up))
    data = (wake[-1], *label) if label else wake[-1]
    sampler = jboltz.Gibbs(top)
    chains = jboltz.init_chains(sampler, params.top, data, key_init)
    run = partial(jboltz.run_chains, num_steps=num_steps)
    negative = run(sampler, params.top, chains, key_run)[0].visible
    end = negative[0] if label else negative
    down = jax.vmap(directed.sample_layers_down, (None, 0, 0))
    return wake, data, negative, (*down(params.generative, end, keys_down), end)


def delta(below, above, weights, bias):
    """mean x (x′ − σ(xᵀW + b))ᵀ, and that of x′ alone: of −log q(x′ | x), descended."""
    error = above - 1 / (1 + np.exp(-(below @ weights + bias)))
    return -below.T @ error / len(below), -error.mean(axis=0)


@MODELS
def test_both_ways_follow_their_delta_rules_and_the_top_is_cd(model, getkey, x64):
    """From weights that are tied, as greedy training leaves them."""
    estimator = jboltz.UpDown(model, 2)
    assert isinstance(estimator, Estimator)
    params = untie_weights(draw_params(model, getkey))
    values, key = draw_values(model, getkey), getkey()
    gradient, state, _ = estimate(estimator, params, Batch(values=values), key)
    assert state == ()
    wake, data, negative, sleep = states_of(model, 2, params, values, key)
    params = jax.device_get(params)
    for index, layer in enumerate(params.generative):
        below, above = np.asarray(wake[index]), np.asarray(wake[index + 1])
        weights, bias = delta(above, below, layer.weights.T, layer.visible.bias)
        close(gradient.generative[index].weights, weights.T)
        close(gradient.generative[index].visible.bias, bias)
        assert not jnp.any(gradient.generative[index].hidden.bias)
    for index, layer in enumerate(params.recognition):
        below, above = np.asarray(sleep[index]), np.asarray(sleep[index + 1])
        weights, bias = delta(below, above, layer.weights, layer.hidden.bias)
        close(gradient.recognition[index].weights, weights)
        close(gradient.recognition[index].hidden.bias, bias)
        assert not jnp.any(gradient.recognition[index].visible.bias)
    expected = jax.grad(contrastive_value, argnums=1)
    close(gradient.top, expected(model.layers[-1], params.top, data, negative))


def test_the_label_counts_in_the_gradient_of_the_top_alone(getkey, x64):
    """As often as said, by the exact gradient at the code."""
    params = untie_weights(draw_params(LABELLED, getkey))
    values, key = draw_values(LABELLED, getkey), getkey()
    estimator = jboltz.UpDown(LABELLED, discriminative=3.0)
    batch = Batch(values=values)
    gradient, _, metrics = estimate(estimator, params, batch, key)
    plain, _, _ = estimate(jboltz.UpDown(LABELLED), params, batch, key)
    encode = partial(LABELLED.below.encode, params.recognition)
    code = Batch(values=(jax.vmap(encode)(values[0]), values[1]))
    label = jboltz.Discriminative(LABELLED.top)
    expected, _, judged = label.estimate(params.top, (), code, key)
    close(gradient.top, jax.tree.map(lambda x, y: x + 3 * y, plain.top, expected))
    close(gradient.recognition, plain.recognition)
    close(gradient.generative, plain.generative)
    close(metrics["cross_entropy"], judged["cross_entropy"])


@pytest.mark.parametrize(("model", "weight"), [(PLAIN, 1.0), (LABELLED, -1.0)])
def test_labels_that_cannot_count_are_refused(model, weight):
    with pytest.raises(ValueError, match=f"`discriminative` is {weight} but"):
        jboltz.UpDown(model, discriminative=weight)


def test_an_example_counts_as_often_as_its_weight(getkey):
    params = untie_weights(draw_params(LABELLED, getkey))
    values, key = draw_values(LABELLED, getkey), getkey()
    estimator, weights = jboltz.UpDown(LABELLED), jnp.array([1.0, 1, 1, 0, 0, 0])
    first = jax.tree.map(lambda x: x[:3], values)
    got = estimate(estimator, params, Batch(values=values, weights=weights), key)
    expected = estimate(estimator, params, Batch(values=first), key)
    chex.assert_trees_all_close(got, expected, rtol=1e-5, atol=1e-6)


def test_the_wake_gradient_is_that_of_the_bound_given_q(getkey):
    """The bound is Σ_h q(h | v) log p(v, h)/q(h | v); of it the way down decides
    log p(v | h¹) + log p(h¹ | h²), here enumerated over every h¹ and h²."""
    untied = UpDownParams(
        recognition=draw_params(PLAIN, getkey)[:2],
        generative=draw_params(PLAIN, getkey)[:2],
        top=draw_params(PLAIN, getkey)[2],
    )
    v, directed = jnp.array([1.0, 0.0, 1.0, 1.0]), jboltz.DBN(PLAIN.layers[:2])

    @jax.jit
    def bound(generative):
        def term(h, top):
            states = (v, h, top)
            q = jnp.exp(directed.log_probability_up(untied.recognition, states))
            return q * directed.log_probability_down(generative, states)

        every = jax.vmap(jax.vmap(term, (None, 0)), (0, None))
        return every(binary_states(3), binary_states(2)).sum()

    @jax.jit
    def draw(key):
        one = partial(jboltz.UpDown(PLAIN).estimate, untied, (), Batch(values=v[None]))
        return jax.vmap(one)(jax.random.split(key, 4000))[0].generative

    exact = jax.grad(lambda generative: -bound(generative))(untied.generative)
    for draws, expected in zip(
        jax.tree.leaves(draw(getkey())), jax.tree.leaves(exact), strict=True
    ):
        if np.any(expected):
            assert np.max(standard_errors(np.asarray(draws), expected)) < 5
        else:  # The biases that the way down does without.
            assert not np.any(draws)


def test_tied_ways_are_the_layers_that_greedy_training_left(getkey):
    params = draw_params(PLAIN, getkey)
    untied = untie_weights(params)
    chex.assert_trees_all_equal((*untied.recognition, untied.top), params)
    chex.assert_trees_all_equal((*untied.generative, untied.top), params)


def fit(state, values, key, num_epochs, **options):
    estimator = jboltz.UpDown(LABELLED)
    step = jboltz.make_train_step(estimator, OPTIMIZER)
    prepare = jax.tree_util.Partial(lambda rows, key: rows)
    options = {"batch_size": 4, "prepare": prepare} | options
    return jboltz.fit(step, state, values, key, num_epochs=num_epochs, **options)


OPTIMIZER = optax.sgd(0.1, momentum=0.5)


def test_it_trains_in_fit_and_resumes_from_a_checkpoint(getkey, tmp_path):
    """The bound on log p(v | h) that the wake phase raises, by a lot of one pattern."""
    params = untie_weights(LABELLED.init(getkey()))
    state = jboltz.init_train_state(
        params, jboltz.UpDown(LABELLED), OPTIMIZER, getkey()
    )
    v = jnp.tile(jnp.array([[1.0, 0.0, 1.0, 1.0]]), (8, 1))
    values, key = (v, jax.nn.one_hot(jnp.arange(8) % 3, 3)[:, None]), getkey()
    whole, histories = fit(state, values, key, 30)
    assert histories[-1]["wake"].mean() < histories[0]["wake"].mean() - 1
    first, _ = fit(state, values, key, 15)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(15, first, {})
        found, _ = checkpoints.restore(jax.eval_shape(lambda: first))
    chex.assert_trees_all_equal(found.state, first)
    rest, _ = fit(found.state, values, key, 30, first_epoch=15)
    chex.assert_trees_all_equal(rest, whole)


def test_batches_without_labels_are_refused(getkey):
    params = untie_weights(draw_params(LABELLED, getkey))
    batch = Batch(values=jnp.ones((3, 4)))
    with pytest.raises(ValueError, match=r"has a label.*`pair_with_labels`"):
        jboltz.UpDown(LABELLED).estimate(params, (), batch, getkey())


def test_a_machine_without_directed_layers_is_refused():
    errors = errors_without_hook(
        "from jboltz import *\nrbm = DBN.chain(Bernoulli(4), Bernoulli(3))\n"
        "dbn = DBN.chain(Bernoulli(4), Bernoulli(3), Bernoulli(2))\n",
        ["UpDown(rbm)", "UpDown(dbn, 0)"],
    )
    one_layer, no_steps = errors.values()
    assert "InvalidValue: `model` has 1 layer" in one_layer
    assert "`num_steps` is 0" in no_steps
