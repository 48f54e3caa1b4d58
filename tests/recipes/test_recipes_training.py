"""Recipes: what optax and plain functions add to training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jboltz
from jboltz.learning.transforms import by_field

RBM = jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(4))
CD = jboltz.ContrastiveDivergence(RBM, jboltz.Gibbs(RBM))
DATA = np.random.default_rng(0).integers(0, 2, (32, 6)).astype(np.float32)
KEY = jax.random.key(0)
PARAMS = RBM.init(KEY)


def fit(step, optimizer, num_epochs=4, batch_size=8):
    state = jboltz.init_train_state(PARAMS, CD, optimizer, KEY)
    return jboltz.fit(
        step, state, DATA, KEY, batch_size=batch_size, num_epochs=num_epochs
    )


def distance(params, others):
    return optax.tree.norm(jax.tree.map(jnp.subtract, params, others))


def test_a_sweep_of_16_rates_and_seeds_is_one_program():
    # The recipe.
    sgd = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)

    def start(rate, key):
        state = jboltz.init_train_state(RBM.init(key), CD, sgd, key)
        return optax.tree.set(state, learning_rate=rate)

    rates, keys = jnp.geomspace(1e-3, 1, 16), jax.random.split(KEY, 16)
    step, states = jboltz.make_train_step(CD, sgd), jax.vmap(start)(rates, keys)
    how = {"batch_size": 8, "num_epochs": 2}
    states, metrics = jboltz.fit_many(step, states, DATA, keys, **how)

    assert metrics["reconstruction_error"].shape == (16, 2, 4)
    alone, _ = jboltz.fit(step, start(rates[5], keys[5]), DATA, keys[5], **how)
    np.testing.assert_allclose(
        states.params.weights[5], alone.params.weights, rtol=1e-4, atol=1e-6
    )


def test_the_rate_falls_where_a_metric_stays():
    # The recipe: `accumulation_size` is the number of steps in an epoch.
    plateau = optax.contrib.reduce_on_plateau(
        factor=0.5, patience=1, rtol=0.5, accumulation_size=4
    )
    optimizer = optax.chain(optax.sgd(0.1), plateau)
    step = jboltz.make_train_step(CD, optimizer, value="reconstruction_error")

    state, _ = fit(step, optimizer, num_epochs=6)
    assert float(optax.tree.get(state.opt_state, "scale")) < 1


def test_k_grows_with_the_step():
    # The recipe: `num_steps` may be a traced array, so one program serves all k.
    optimizer = optax.sgd(0.1)

    def step(state, batch, key):
        k = 1 + state.step // 8
        cd = jboltz.ContrastiveDivergence(RBM, jboltz.Gibbs(RBM), num_steps=k)
        return jboltz.make_train_step(cd, optimizer)(state, batch, key)

    state, _ = fit(step, optimizer)
    plain, _ = fit(jboltz.make_train_step(CD, optimizer), optimizer, num_epochs=2)
    half, _ = fit(step, optimizer, num_epochs=2)  # two epochs of k = 1
    np.testing.assert_array_equal(half.params.weights, plain.params.weights)
    longer, _ = fit(jboltz.make_train_step(CD, optimizer), optimizer)
    assert distance(state.params, longer.params) > 0


def test_an_average_of_the_weights():
    # The recipe: the last of a chain, its state is the moving average.
    def averaged(decay):
        def update(updates, mean, params):
            params = optax.apply_updates(params, updates)
            return updates, optax.incremental_update(params, mean, 1 - decay)

        def init(params):
            return jax.tree.map(jnp.copy, params)

        return optax.GradientTransformation(init, update)

    optimizer = optax.chain(optax.sgd(0.1), averaged(0.5))
    step = jboltz.make_train_step(CD, optimizer)
    state, _ = fit(step, optimizer, num_epochs=1)
    mean = state.opt_state[-1]  # score and sample with these

    def recorded(state, batch, key):
        state, metrics = step(state, batch, key)
        return state, metrics | {"weights": state.params.weights}

    _, history = fit(recorded, optimizer, num_epochs=1)
    expected = PARAMS.weights
    for weights in history[0]["weights"]:
        expected = 0.5 * expected + 0.5 * weights
    np.testing.assert_allclose(mean.weights, expected, rtol=1e-5, atol=1e-7)


def test_gradients_of_several_batches_make_one_update():
    # The recipe.
    optimizer = optax.MultiSteps(optax.sgd(0.1), every_k_schedule=4)
    step = jboltz.make_train_step(CD, optimizer)

    state, _ = fit(step, optimizer, num_epochs=1)  # of four batches
    assert int(state.opt_state.gradient_step) == 1
    large = jboltz.make_train_step(CD, optax.sgd(0.1))
    other, _ = fit(large, optax.sgd(0.1), num_epochs=1, batch_size=32)
    # Draws of a chain depend on its place in the batch, so the update is as large.
    ratio = distance(state.params, PARAMS) / distance(other.params, PARAMS)
    assert 0.5 < float(ratio) < 2


def test_a_gradient_is_clipped():
    # The recipe.
    optimizer = optax.chain(optax.clip_by_global_norm(0.01), optax.sgd(1.0))
    step = jboltz.make_train_step(CD, optimizer)

    state, _ = fit(step, optimizer, num_epochs=1, batch_size=32)
    np.testing.assert_allclose(distance(state.params, PARAMS), 0.01, rtol=1e-4)


def test_parts_of_the_parameters_have_optimizers_of_their_own():
    # The recipe: fields by name, and the rest.
    optimizer = by_field(optax.adam(0.01), bias=optax.set_to_zero())
    step = jboltz.make_train_step(CD, optimizer)

    state, _ = fit(step, optimizer, num_epochs=1)
    np.testing.assert_array_equal(state.params.visible.bias, PARAMS.visible.bias)
    np.testing.assert_array_equal(state.params.hidden.bias, PARAMS.hidden.bias)
    assert distance(state.params, PARAMS) > 0
