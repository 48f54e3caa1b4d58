"""Numbers on whatever device JAX computes on, within the precision of its products.

The reference is NumPy in float64. `.ci/accelerator` runs these tests on a GPU or TPU.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz import random
from jboltz.experiments.benchmark.on_device import HighLowRBM
from jboltz.learning.contrastive import contrastive_value
from jboltz.samplers.gibbs import GibbsState
from tests.helpers import assert_no_drift, binary_states, random_params

HIGH_LOW = "two products of bfloat16"
ROUNDING = {"float32": 2**-24, "tensorfloat32": 2**-10, "bfloat16": 2**-9}
ROUNDING[HIGH_LOW] = 2**-17
"""How far an operand is rounded at most, relative to it. A device may be more precise
than asked, and may cut TensorFloat-32 off in place of rounding it."""

in_every_precision = pytest.mark.parametrize("precision", ROUNDING)


def rbm_in(precision, num_visible, num_hidden):
    """An RBM, and the context of its products."""
    units = jboltz.Bernoulli(num_visible), jboltz.Bernoulli(num_hidden)
    if precision == HIGH_LOW:
        return HighLowRBM(*units), jax.default_matmul_precision("float32")
    return jboltz.RBM(*units), jax.default_matmul_precision(precision)


def drawn(model, key, num_rows=32):
    key_params, key_v = jax.random.split(key)
    params = random_params(model.init(key), key_params)
    v = jax.random.bernoulli(key_v, 0.4, (num_rows, model.visible.size)).astype(float)
    return params, v


def in_float64(tree):
    return jax.tree.map(partial(np.asarray, dtype=np.float64), tree)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sums_rounding(count):
    """What sums of `count` terms in float32 may be wrong by, beside Σ |term|."""
    return 2**-24 * (4 + np.sqrt(count))


@in_every_precision
def test_inputs_are_as_precise_as_asked(precision, getkey):
    model, context = rbm_in(precision, 300, 200)
    params, v = drawn(model, getkey())
    h = jnp.ones((3, 200))
    with context:
        up = jax.jit(jax.vmap(partial(model.hidden_inputs, params)))(v)
        down = jax.jit(jax.vmap(partial(model.visible_inputs, params)))(h)
    W = in_float64(params.weights)
    for found, x, weights in ((up, v, W), (down, h, W.T)):
        x = in_float64(x)
        bound = (ROUNDING[precision] + sums_rounding(len(weights))) * (x @ abs(weights))
        assert (abs(found - x @ weights) <= bound).all()


@in_every_precision
def test_the_gradient_of_contrastive_divergence(precision, getkey):
    model, context = rbm_in(precision, 120, 60)
    params, v = drawn(model, getkey())
    negative = drawn(model, getkey())[1]
    with context:
        gradient = jax.jit(jax.grad(partial(contrastive_value, model)))(
            params, v, negative
        )
    W, c = in_float64((params.weights, params.hidden.bias))
    expected, size, slope = 0.0, 0.0, 0.0
    for sign, x in ((-1, in_float64(v)), (1, in_float64(negative))):
        p = sigmoid(x @ W + c)
        expected = expected + sign * x.T @ p / len(x)
        size = size + x.T @ p / len(x)
        # p is as wrong as its inputs are, times its slope p (1 − p).
        slope = slope + x.T @ (p * (1 - p) * (x @ abs(W))) / len(x)
    bound = (ROUNDING[precision] + sums_rounding(120)) * (size + slope)
    assert (abs(gradient.weights - expected) <= bound).all()


def test_free_energies_and_log_z_sum_over_all_states(getkey):
    model = jboltz.RBM(jboltz.Bernoulli(7), jboltz.Bernoulli(4))
    params, _ = drawn(model, getkey())
    W, b, c = in_float64((params.weights, params.visible.bias, params.hidden.bias))
    v, h = in_float64((binary_states(7), binary_states(4)))
    minus_energy = (v @ b)[:, None] + h @ c + v @ W @ h.T
    expected = -np.logaddexp.reduce(minus_energy, axis=1)
    found = jax.jit(jax.vmap(partial(model.free_energy, params)))(jnp.asarray(v))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    log_z = np.logaddexp.reduce(minus_energy, axis=None)
    assert float(jboltz.model_log_partition(model, params)) == pytest.approx(
        log_z, rel=1e-6
    )


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_gibbs_stays_at_the_enumerated_distribution(impl, getkey):
    model = jboltz.RBM(jboltz.Bernoulli(3), jboltz.Bernoulli(2))
    params, _ = drawn(model, getkey())
    states, sampler = binary_states(3), jboltz.Gibbs(model)
    log_p = -jax.vmap(partial(model.free_energy, params))(states)

    def kernel(v, key, num_steps):
        bits = jax.random.bits(key, (), jnp.uint32) >> 1
        key_init, key_run = jax.random.split(jax.random.key(bits, impl=impl))
        chains = jboltz.init_chains(sampler, params, v, key_init)
        return jboltz.run_chains(
            sampler, params, chains, key_run, num_steps=jnp.asarray(num_steps)
        )[0].visible

    assert_no_drift(kernel, states, log_p, getkey(), num_chains=40_000)


def test_annealing_finds_the_enumerated_log_z(getkey):
    model = jboltz.RBM(jboltz.Bernoulli(10), jboltz.Bernoulli(6))
    params, v = drawn(model, getkey())
    annealed = jboltz.Annealed(model)
    found = jboltz.annealed_importance_sampling(
        annealed,
        params,
        annealed.fit_base(v),
        np.linspace(0, 1, 101),
        getkey(),
        num_chains=200,
    )
    weights = np.exp(in_float64(found.log_weights) - np.max(found.log_weights))
    error = weights.std(ddof=1) / weights.mean() / np.sqrt(len(weights))
    exact = float(jboltz.model_log_partition(model, params))
    assert abs(float(found.value) - exact) < 5 * error


def test_a_sweep_is_that_of_numpy_on_the_same_uniforms(getkey):
    model = jboltz.RBM(jboltz.Bernoulli(200), jboltz.Bernoulli(100))
    params, _ = drawn(model, getkey())
    sampler, key = jboltz.Gibbs(model), getkey()
    h = jax.random.bernoulli(getkey(), 0.5, (100,)).astype(float)
    state = GibbsState(visible=jnp.zeros(200), hidden=h)
    found, _ = jax.jit(partial(sampler.step, params))(state, key)
    W, b, c = in_float64((params.weights, params.visible.bias, params.hidden.bias))
    key_v, key_h = random.split(key)
    p_v = sigmoid(in_float64(h) @ W.T + b)
    p_h = sigmoid(in_float64(found.visible) @ W + c)
    for p, drawn_units, key_units in (
        (p_v, found.visible, key_v),
        (p_h, found.hidden, key_h),
    ):
        u = in_float64(random.uniform(key_units, p.shape))
        is_near = abs(u - p) < 1e-5
        assert is_near.sum() <= 2
        np.testing.assert_array_equal(drawn_units[~is_near], (u < p)[~is_near])


@pytest.mark.parametrize("impl", ["threefry2x32", jboltz.THREEFRY_13], ids=str)
def test_uniforms_are_those_of_the_processor(impl):
    def draw():
        key = jax.random.key(5, impl=impl)
        return np.asarray(random.uniform(random.fold_in(key, 3), (1000,)))

    with jax.default_device(jax.devices("cpu")[0]):
        expected = draw()
    np.testing.assert_array_equal(draw(), expected)
