"""log Z by enumeration, in chunks, from either side."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.evaluation.partition import (
    log_partition,
    model_log_partition,
    num_states,
    state_of,
)
from jboltz.units.bernoulli import BernoulliParams
from tests.helpers import binary_states, draw_like, rows_of, states_of

RBM = jboltz.RBM(jboltz.Bernoulli(5), jboltz.Bernoulli(7))


@pytest.mark.parametrize("chunk_size", [1, 4, 2**12])
def test_both_sides_and_every_chunking_agree_with_the_joint_sum(
    chunk_size, getkey, x64
):
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey(), 1.0)
    v, h = binary_states(5), binary_states(7)
    energy = jax.vmap(RBM.energy, in_axes=(None, None, 0))
    energies = jax.vmap(energy, in_axes=(None, 0, None))(params, v, h)
    expected = jax.nn.logsumexp(-energies)
    for function, count in (
        (RBM.hidden_free_energy, 7),
        (RBM.free_energy, 5),
    ):
        got = log_partition(partial(function, params), count, chunk_size=chunk_size)
        np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("size", [0.0, 450.0, 5000.0])
def test_thousands_of_chunks_keep_the_digits_of_float32(size):
    """Of F(h) = −b·h − c it is c + Σ log(1 + exp(b))."""
    bias = np.random.default_rng(0).normal(size=13).astype(np.float32)

    def free_energy(h):
        return -jnp.sum(bias * h) - size

    got = log_partition(free_energy, 13, chunk_size=1)
    assert got.dtype == jnp.float32
    expected = size + np.sum(np.logaddexp(0, bias.astype(float)))
    assert abs(float(got) - expected) < 1e-6 * expected + 1e-5


def test_of_complex_parameters_it_is_the_sum_up_to_a_turn(getkey, x64):
    shapes = jax.eval_shape(RBM.init, getkey())
    real, imaginary = (draw_like(shapes, getkey()) for _ in range(2))
    params = jax.tree.map(lambda x, y: x + 1j * y, real, imaginary)
    v, h = (np.asarray(binary_states(n)) for n in (5, 7))
    b, c, W = params.visible.bias, params.hidden.bias, params.weights
    exponents = (v @ b)[:, None] + (h @ c)[None] + v @ W @ h.T
    got = model_log_partition(RBM, params, chunk_size=8)
    np.testing.assert_allclose(np.exp(got), np.exp(exponents).sum(), rtol=1e-9)


def test_of_a_gaussian_rbm_it_is_the_integral_over_v(getkey, x64):
    model = jboltz.RBM(jboltz.Gaussian(2), jboltz.Bernoulli(3))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 0.5)
    v, log_weights = states_of(model.visible)
    free = jax.vmap(model.free_energy, in_axes=(None, 0))(params, v)
    expected = jax.nn.logsumexp(log_weights - free)
    got = log_partition(partial(model.hidden_free_energy, params), 3)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize(
    "visible",
    [
        jboltz.Softmax(2, 3),
        jboltz.Spin(3),
        jboltz.Copies(jboltz.Bernoulli(2), 2),
        jboltz.Joined(jboltz.Softmax(1, 3), jboltz.Bernoulli(2)),
    ],
    ids=lambda unit: type(unit).__name__,
)
def test_every_discrete_layer_can_be_enumerated(visible, getkey, x64):
    model = jboltz.RBM(visible, jboltz.Bernoulli(2))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 1.0)
    states, _ = states_of(visible)
    numbered = jax.vmap(partial(state_of, visible))(jnp.arange(num_states(visible)))
    assert {tuple(x) for x in np.asarray(rows_of(numbered), float)} == {
        tuple(x) for x in np.asarray(rows_of(states), float)
    }
    by_visible = log_partition(partial(model.free_energy, params), visible)
    expected = log_partition(partial(model.hidden_free_energy, params), model.hidden)
    np.testing.assert_allclose(by_visible, expected, rtol=1e-9)
    np.testing.assert_allclose(model_log_partition(model, params), expected, rtol=1e-9)


def test_of_a_dbm_the_smaller_block_is_enumerated(getkey, x64):
    model = jboltz.DBM((jboltz.Bernoulli(30), jboltz.Softmax(2, 3), jboltz.Spin(3)))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 0.3)
    got = model_log_partition(model, params)
    below, above = model.units[1], model.units[2]
    (x1, _), (x2, _) = states_of(below), states_of(above)
    a1 = x1.reshape(9, -1)
    fields = a1 @ params.weights[0].T
    bottom = jax.vmap(partial(model.units[0].log_normalizer, params.units[0]))(fields)
    top = params.units[1].bias.ravel() @ a1.T
    joint = (x2 @ params.units[2].bias)[None] + a1 @ params.weights[1] @ x2.T
    expected = jax.nn.logsumexp((bottom + top)[:, None] + joint)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("num_hidden", [0, -1])
def test_no_units_are_refused(num_hidden):
    with pytest.raises(ValueError, match="at least 1"):
        log_partition(jnp.sum, num_hidden)


@pytest.mark.parametrize(
    ("hidden", "size"),
    [
        (26, "26 units"),
        (jboltz.Softmax(16, 3), "48 units"),
        (jboltz.Gaussian(2), "inf"),
    ],
    ids=["26", "Softmax", "Gaussian"],
)
def test_too_many_states_are_refused_and_annealing_named(hidden, size):
    with pytest.raises(ValueError, match=size) as caught:
        log_partition(jnp.sum, hidden)
    assert "25 binary units" in str(caught.value)
    assert "`annealed_importance_sampling`" in str(caught.value)


NORMAL = jboltz.RBM(jboltz.Gaussian(3), jboltz.Gaussian(2))


def draw_normal(getkey, scale):
    params = draw_like(jax.eval_shape(NORMAL.init, getkey()), getkey(), 0.4)
    return params.replace(weights=scale * params.weights)


def test_of_two_gaussian_layers_it_is_the_integral_of_a_normal_density(getkey, x64):
    """E = ½ xᵀPx − b·x + c with x = (v, h), by NumPy."""
    params = draw_normal(getkey, 0.5)
    units = (params.visible, params.hidden)
    precision = np.concatenate([np.exp(-unit.log_variance) for unit in units])
    mean = np.concatenate([unit.mean for unit in units])
    P = np.diag(precision)
    P[:3, 3:] = -precision[:3, None] * np.asarray(params.weights) * precision[3:]
    P[3:, :3] = P[:3, 3:].T
    b, c = precision * mean, 0.5 * np.sum(precision * mean**2)
    volume = 5 * np.log(2 * np.pi) - np.linalg.slogdet(P)[1]
    expected = 0.5 * (b @ np.linalg.solve(P, b) + volume) - c
    np.testing.assert_allclose(
        model_log_partition(NORMAL, params), expected, rtol=1e-12
    )


def test_of_gaussian_layers_made_of_others_too(getkey, x64):
    """Against quadrature over the one real layer that is left."""
    model = jboltz.DBM(
        (
            jboltz.Joined(jboltz.Gaussian(1), jboltz.Gaussian(1)),
            jboltz.Copies(jboltz.Gaussian(1), 2),
        )
    )
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 0.2)
    h, log_weights = states_of(model.units[1])
    free = jax.jit(jax.vmap(partial(model.hidden_free_energy, params)))((h,))
    expected = jax.nn.logsumexp(log_weights - free)
    np.testing.assert_allclose(model_log_partition(model, params), expected, rtol=1e-9)


def test_what_has_no_partition_function_is_refused(getkey):
    wild = draw_normal(getkey, 20.0)
    with pytest.raises(ValueError, match="need less than 1 between them"):
        model_log_partition(NORMAL, wild)
    noisy = jboltz.RBM(jboltz.NoisyReLU(2), jboltz.Bernoulli(2))
    with pytest.raises(ValueError, match="`model` has the layer NoisyReLU"):
        model_log_partition(noisy, noisy.init(getkey()))
    params = RBM.init(getkey())
    short = params.replace(hidden=BernoulliParams(bias=jnp.zeros(1)))
    with pytest.raises(ValueError, match=r"`params.hidden.bias` has shape \(1,\)"):
        model_log_partition(RBM, short)
