"""The RBM over every pair of units is the joint that its energy says.

Free energies, conditionals and gradients against sums over all states of the other
layer, or quadrature where it is real. The energy itself is held against the papers'
formulas in NumPy.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.base import EnergyModel
from jboltz.models.rbm import INIT_SCALE, RBM, RBMParams
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.gaussian import Gaussian, GaussianParams
from tests.helpers import (
    binary_states,
    draw_like,
    rng_of,
    rows_of,
    states_of,
    zeros_of,
)
from tests.units.cases import ENUMERABLE_PAIRS, PAIRS, pair_name

CLOSED_FORM, AUTODIFF = 1e-9, 1e-7  # relative, in float64
each_pair = pytest.mark.parametrize("pair", PAIRS, ids=pair_name)
each_side = pytest.mark.parametrize("side", ["visible", "hidden"])


def draw_case(pair, getkey):
    """A model, and parameters with nothing at its initial value.

    The weights are small enough for two real layers to have a joint density.
    """
    model = RBM(*pair)
    shapes = jax.eval_shape(model.init, getkey())
    return model, draw_like(shapes, getkey(), scale=0.3)


def some_states(unit, key, count=6):
    """A few states, no two alike; of real units, nodes near zero."""
    states = states_of(unit)[0]
    near = np.flatnonzero((np.abs(np.asarray(rows_of(states))) < 3).all(axis=1))
    index = rng_of(key).permutation(near)[:count]
    return jax.tree.map(lambda x: x[index], states)


def sum_over(model, params, side, key):
    """A few states of the layer `side`, and all states x of the other layer: the
    states in rows, p(x | each of them), and what `facts` says of them."""
    unit, other = model.visible, model.hidden
    if side == "hidden":
        unit, other = other, unit
    given = some_states(unit, key)
    states, log_weights = states_of(other)
    out = facts(model, side, params, given, states, log_weights)
    return given, np.asarray(rows_of(states)), np.asarray(out["p"]), out


@partial(jax.jit, static_argnums=(0, 1))
def facts(model, side, params, given, states, log_weights):
    """The model's own functions, and sums over the other layer of its energy alone.

    One program a pair and side: to compile them one by one takes longer.
    """
    if side == "visible":
        other, other_params = model.hidden, params.hidden
        free_energy, energy = model.free_energy, model.energy
        inputs_of, mean_state_of = model.hidden_inputs, model.mean_hidden_state
    else:
        other, other_params = model.visible, params.visible
        free_energy, inputs_of = model.hidden_free_energy, model.visible_inputs
        mean_state_of = model.mean_visible_state

        def energy(params, given, state):
            return model.energy(params, state, given)

    def over_given(function):
        return jax.vmap(function, in_axes=(None, 0))

    def log_joint(params):
        """log w − E of each given state, in rows, with each of the others."""
        of_one = jax.vmap(energy, in_axes=(None, None, 0))
        energies = jax.vmap(of_one, in_axes=(None, 0, None))(params, given, states)
        return log_weights[None] - energies

    log_p = log_joint(params)
    p = jax.nn.softmax(log_p, axis=1)
    return {
        "free_energy": over_given(free_energy)(params, given),
        "gradient": jax.grad(lambda x: over_given(free_energy)(x, given).sum())(params),
        "mean": over_given(other.mean)(
            other_params, over_given(inputs_of)(params, given)
        ),
        "mean_state": over_given(mean_state_of)(params, given),
        "activities": over_given(other.activity)(other_params, states),
        "p": p,
        "minus_log_sum": -jax.nn.logsumexp(log_p, axis=1),
        "mean_gradient": jax.grad(lambda x: -jnp.sum(p * log_joint(x)))(params),
    }


@partial(jax.jit, static_argnums=(0, 1))
def over(model, name, params, states):
    """The named function of one state, at each of them."""
    return jax.vmap(getattr(model, name), in_axes=(None, 0))(params, states)


@partial(jax.jit, static_argnums=0)
def energies_of(model, params, v, h):
    """E(v, h) of each v with each h, (len(v), len(h))."""
    energy = jax.vmap(model.energy, in_axes=(None, None, 0))
    return jax.vmap(energy, in_axes=(None, 0, None))(params, v, h)


@each_pair
def test_it_satisfies_the_protocol(pair, getkey):
    model, params = draw_case(pair, getkey)
    assert isinstance(model, EnergyModel)
    v, h = zeros_of(model.visible.shape), zeros_of(model.hidden.shape)

    def shape_of(function, *args):
        return jax.tree.map(jnp.shape, jax.eval_shape(function, params, *args))

    assert shape_of(model.energy, v, h) == ()
    assert shape_of(model.sample_hidden, v, getkey()) == model.hidden.shape
    assert shape_of(model.mean_hidden_state, v) == model.hidden.shape
    assert shape_of(model.hidden_inputs, v) == (model.hidden.size,)
    assert shape_of(model.sample_visible, h, getkey()) == model.visible.shape
    assert shape_of(model.mean_visible_state, h) == model.visible.shape
    assert shape_of(model.visible_inputs, h) == (model.visible.size,)


def test_init_draws_the_weights_small_and_leaves_the_units_as_they_start(getkey):
    model = RBM(Bernoulli(200), Gaussian(100))
    params = model.init(getkey())
    assert params.weights.shape == (200, 100)
    assert params.visible.bias.shape == (200,)
    assert not params.visible.bias.any()
    assert not params.hidden.mean.any()
    # Standard errors of a mean and of a standard deviation of 20 000 normals.
    assert abs(params.weights.mean()) < 5 * INIT_SCALE / np.sqrt(20_000)
    assert abs(params.weights.std() / INIT_SCALE - 1) < 5 / np.sqrt(40_000)
    assert (model.init(getkey()).weights != params.weights).any()


# The energy, against the papers.


def numpy_bernoulli(rng, size):
    bias = rng.normal(size=size)
    return bias, BernoulliParams(bias=jnp.asarray(bias))


def test_energy_of_binary_units_is_that_of_the_paper(x64):
    """E = −b·v − c·h − vᵀWh and F = −b·v − Σ log(1 + exp(c + Wᵀv))."""
    rng = np.random.default_rng(1)
    b, visible = numpy_bernoulli(rng, 4)
    c, hidden = numpy_bernoulli(rng, 3)
    W = rng.normal(size=(4, 3))
    v, h = rng.integers(0, 2, 4) * 1.0, rng.integers(0, 2, 3) * 1.0
    model = RBM(Bernoulli(4), Bernoulli(3))
    params = RBMParams(visible=visible, hidden=hidden, weights=jnp.asarray(W))
    got = (
        model.energy(params, jnp.asarray(v), jnp.asarray(h)),
        model.free_energy(params, jnp.asarray(v)),
        model.hidden_free_energy(params, jnp.asarray(h)),
        model.hidden_inputs(params, jnp.asarray(v)),
        model.visible_inputs(params, jnp.asarray(h)),
    )
    expected = (
        -b @ v - c @ h - np.einsum("i,ij,j", v, W, h),
        -b @ v - np.sum(np.log1p(np.exp(c + W.T @ v))),
        -c @ h - np.sum(np.log1p(np.exp(b + W @ h))),
        np.einsum("i,ij->j", v, W),
        np.einsum("ij,j->i", W, h),
    )
    for value, want in zip(got, expected, strict=True):
        np.testing.assert_allclose(value, want, rtol=CLOSED_FORM)


def test_energy_of_real_visible_units_is_that_of_the_paper(x64):
    """E = ½Σ(v − μ)²/σ² − (v/σ²)ᵀWh − b·h (Cho et al., Liao et al.), and with β = 1/σ²
    F(h) = −b·h − Σ[½β((μ + Wh)² − μ²) + ½ log 2π/β]."""
    rng = np.random.default_rng(2)
    mu, z = rng.normal(size=4), 0.5 * rng.normal(size=4)
    b, hidden = numpy_bernoulli(rng, 3)
    W, beta = rng.normal(size=(4, 3)), np.exp(-z)
    v, h = rng.normal(size=4), rng.integers(0, 2, 3) * 1.0
    model = RBM(Gaussian(4), Bernoulli(3))
    visible = GaussianParams(mean=jnp.asarray(mu), log_variance=jnp.asarray(z))
    params = RBMParams(visible=visible, hidden=hidden, weights=jnp.asarray(W))
    mean = mu + W @ h
    got = (
        model.energy(params, jnp.asarray(v), jnp.asarray(h)),
        model.free_energy(params, jnp.asarray(v)),
        model.hidden_free_energy(params, jnp.asarray(h)),
        model.mean_hidden_state(params, jnp.asarray(v)),
        model.mean_visible_state(params, jnp.asarray(h)),
    )
    expected = (
        0.5 * np.sum(beta * (v - mu) ** 2) - (v * beta) @ W @ h - b @ h,
        0.5 * np.sum(beta * (v - mu) ** 2)
        - np.sum(np.log1p(np.exp(b + W.T @ (beta * v)))),
        -b @ h
        - np.sum(0.5 * beta * (mean**2 - mu**2) + 0.5 * np.log(2 * np.pi / beta)),
        1 / (1 + np.exp(-b - W.T @ (beta * v))),
        mean,
    )
    for value, want in zip(got, expected, strict=True):
        np.testing.assert_allclose(value, want, rtol=CLOSED_FORM)


# Sums over the other layer.


@each_pair
@each_side
def test_a_free_energy_is_minus_the_log_of_the_sum_over_the_other_layer(
    pair, side, getkey, x64
):
    model, params = draw_case(pair, getkey)
    *_, out = sum_over(model, params, side, getkey())
    np.testing.assert_allclose(
        out["free_energy"], out["minus_log_sum"], rtol=CLOSED_FORM, atol=CLOSED_FORM
    )


@each_pair
def test_both_marginals_have_one_normalizer(pair, getkey, x64):
    """Σ_v exp(−F(v)) = Σ_h exp(−F(h)) = Z, so exp(−F)/Z sums to 1 on either side."""
    model, params = draw_case(pair, getkey)
    v, log_v = states_of(model.visible)
    h, log_h = states_of(model.hidden)
    by_visible = log_v - over(model, "free_energy", params, v)
    by_hidden = log_h - over(model, "hidden_free_energy", params, h)
    log_z = np.logaddexp.reduce(by_hidden)
    np.testing.assert_allclose(np.logaddexp.reduce(by_visible), log_z, rtol=CLOSED_FORM)
    if pair in ENUMERABLE_PAIRS:
        by_both = np.logaddexp.reduce(-np.ravel(energies_of(model, params, v, h)))
        np.testing.assert_allclose(by_both, log_z, rtol=CLOSED_FORM)


@each_pair
@each_side
def test_conditional_means_are_those_of_the_joint(pair, side, getkey, x64):
    model, params = draw_case(pair, getkey)
    _, states, p, out = sum_over(model, params, side, getkey())
    expected = p @ np.asarray(out["activities"])
    np.testing.assert_allclose(out["mean"], expected, rtol=CLOSED_FORM)
    mean_states = rows_of(out["mean_state"])
    np.testing.assert_allclose(mean_states, p @ states, rtol=CLOSED_FORM)


@pytest.mark.parametrize("pair", [p for p in PAIRS if p[0] != p[1]], ids=pair_name)
@each_side
def test_draws_from_a_conditional_are_distributed_as_in_the_joint(
    pair, side, getkey, x64
):
    """Counts of each state where they can be counted; else moments, x and x xᵀ.

    In pairs of unlike units every unit is drawn on either side; the stationarity
    suite draws from all pairs.
    """
    model, params = draw_case(pair, getkey)
    given, states, p, _ = sum_over(model, params, side, getkey())
    can_count = len(states) < 100
    num_draws = int(np.ceil(500 / p.min())) if can_count else 20_000
    assert num_draws < 500_000
    name = {"visible": "sample_hidden", "hidden": "sample_visible"}[side]
    x = draws(model, name, params, given, getkey(), num_draws)
    x = np.asarray(jax.vmap(rows_of)(x))
    if can_count:
        frequency = (x[:, :, None] == states).all(axis=-1).mean(axis=1)
        mean, variance = p, p * (1 - p)
    else:
        frequency = moments(x).mean(axis=1)
        mean = p @ moments(states)
        variance = p @ moments(states) ** 2 - mean**2
    # No error where there is no spread: two categories of a site are never both on.
    z = (frequency - mean) / (np.sqrt(np.maximum(variance, 0) / num_draws) + 1e-9)
    assert np.abs(z).max() < 5


@partial(jax.jit, static_argnums=(0, 1, 5))
def draws(model, name, params, given, key, num_draws):
    """(number of given states, num_draws, …)."""
    keys = jax.random.split(key, (len(rows_of(given)), num_draws))
    sample = jax.vmap(getattr(model, name), in_axes=(None, None, 0))
    return jax.vmap(sample, in_axes=(None, 0, 0))(params, given, keys)


def moments(x):
    products = x[..., :, None] * x[..., None, :]
    return np.concatenate([x, products.reshape(*x.shape[:-1], -1)], axis=-1)


# Gradients.


@each_pair
@each_side
def test_gradient_of_a_free_energy_is_the_mean_gradient_of_the_energy(
    pair, side, getkey, x64
):
    """∂F(v)/∂θ = E[∂E(v, h)/∂θ | v] for every parameter of every unit."""
    model, params = draw_case(pair, getkey)
    *_, out = sum_over(model, params, side, getkey())
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=AUTODIFF, atol=AUTODIFF),
        out["gradient"],
        out["mean_gradient"],
    )


def test_gradient_of_the_free_energy_is_the_statistics_of_the_paper(getkey, x64):
    """−∂F/∂W = v p(h | v)ᵀ, −∂F/∂b = v, −∂F/∂c = p(h | v)."""
    model, params = draw_case((Bernoulli(4), Bernoulli(3)), getkey)
    gradient_of = jax.jit(jax.grad(model.free_energy))
    for v in binary_states(4):
        gradient = gradient_of(params, v)
        p = 1 / (1 + np.exp(-params.hidden.bias - v @ params.weights))
        np.testing.assert_allclose(-gradient.weights, np.outer(v, p), rtol=AUTODIFF)
        np.testing.assert_allclose(-gradient.visible.bias, v, rtol=AUTODIFF)
        np.testing.assert_allclose(-gradient.hidden.bias, p, rtol=AUTODIFF)


def test_gradient_for_real_visible_units_is_the_statistics_of_the_paper(getkey, x64):
    """∂E/∂z = −½(v − μ)²/σ² + (v/σ²)⊙(Wh), ∂E/∂μ = −(v − μ)/σ², at h = E[h | v]."""
    model, params = draw_case((Gaussian(4), Bernoulli(3)), getkey)
    v = jnp.asarray(rng_of(getkey()).normal(size=4))
    gradient = jax.jit(jax.grad(model.free_energy))(params, v)
    beta, residual = np.exp(-params.visible.log_variance), v - params.visible.mean
    p = np.asarray(model.mean_hidden_state(params, v))
    np.testing.assert_allclose(
        gradient.visible.log_variance,
        -0.5 * beta * residual**2 + beta * v * (params.weights @ p),
        rtol=AUTODIFF,
    )
    np.testing.assert_allclose(gradient.visible.mean, -beta * residual, rtol=AUTODIFF)
    np.testing.assert_allclose(gradient.weights, -np.outer(v * beta, p), rtol=AUTODIFF)


# Edges.


@pytest.mark.parametrize(
    ("pair", "side"),
    [
        ((Bernoulli(1), Bernoulli(1)), "visible"),
        ((Bernoulli(3), Bernoulli(1)), "visible"),
        ((Bernoulli(1), Bernoulli(3)), "hidden"),
        ((Gaussian(1), Bernoulli(2)), "hidden"),
    ],
    ids=["1-1", "one hidden", "one visible", "one real visible"],
)
def test_a_layer_of_a_single_unit_is_a_layer(pair, side, getkey, x64):
    model, params = draw_case(pair, getkey)
    *_, out = sum_over(model, params, side, getkey())
    np.testing.assert_allclose(
        out["free_energy"], out["minus_log_sum"], rtol=CLOSED_FORM, atol=CLOSED_FORM
    )


def test_saturated_weights_stay_finite_and_right(getkey):
    """±1e3, in float32: sigmoids at exactly 0 or 1, no overflow, no NaN gradient."""
    model, params = draw_case((Bernoulli(4), Bernoulli(3)), getkey)
    signs = np.where(np.asarray(params.weights) > 0, 1e3, -1e3).astype(np.float32)
    params = params.replace(weights=jnp.asarray(signs))
    v, h = binary_states(4), binary_states(3)
    energies = np.asarray(energies_of(model, params, v, h), np.float64)
    lowest = energies.min(axis=1, keepdims=True)
    expected = lowest[:, 0] - np.log(np.exp(lowest - energies).sum(axis=1))
    got = over(model, "free_energy", params, v)
    np.testing.assert_allclose(got, expected, rtol=2e-5)

    p = np.asarray(over(model, "mean_hidden_state", params, v))
    fields = np.asarray(v @ signs)
    far = np.abs(fields) > 500  # every field that the biases cannot turn
    np.testing.assert_array_equal(p[far], (fields[far] > 0).astype(np.float32))
    keys = jax.random.split(getkey(), len(v))
    sample = jax.jit(jax.vmap(model.sample_hidden, in_axes=(None, 0, 0)))
    np.testing.assert_array_equal(np.asarray(sample(params, v, keys))[far], p[far])
    gradient = jax.jit(jax.vmap(jax.grad(model.free_energy), in_axes=(None, 0)))
    gradients = gradient(params, v)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradients))


@each_pair
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_follows_the_parameters(pair, dtype, getkey, x64):
    model, params = draw_case(pair, getkey)

    def everything(params, v, h, key):
        return (
            model.energy(params, v, h),
            model.free_energy(params, v),
            model.hidden_free_energy(params, h),
            model.mean_hidden_state(params, v),
            model.mean_visible_state(params, h),
            model.sample_hidden(params, v, key),
            model.sample_visible(params, h, key),
            jax.grad(model.free_energy)(params, v),
        )

    args = (params, zeros_of(model.visible.shape), zeros_of(model.hidden.shape))
    args = jax.tree.map(lambda x: x.astype(dtype), args)
    with jax.numpy_dtype_promotion("strict"):
        out = jax.eval_shape(everything, *args, getkey())
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(out))


def test_jit_changes_nothing(getkey, x64):
    model, params = draw_case((Bernoulli(4), Bernoulli(3)), getkey)
    v, h, key = binary_states(4)[5], binary_states(3)[6], getkey()

    def everything(params):
        return (
            model.energy(params, v, h),
            model.free_energy(params, v),
            model.sample_hidden(params, v, key),
            model.sample_visible(params, h, key),
        )

    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12),
        jax.jit(everything)(params),
        everything(params),
    )


# Errors.

VISIBLE = ["free_energy", "hidden_inputs", "mean_hidden_state", "sample_hidden"]
HIDDEN = [
    "hidden_free_energy",
    "visible_inputs",
    "mean_visible_state",
    "sample_visible",
]


@pytest.mark.parametrize("method", ["energy of v", "energy of h", *VISIBLE, *HIDDEN])
@pytest.mark.parametrize(
    ("extra", "is_batched"), [((7,), True), ((), False)], ids=["batched", "too long"]
)
def test_a_wrong_shape_is_refused_by_name_with_both_shapes(
    method, extra, is_batched, getkey
):
    model, params = draw_case((Bernoulli(4), Bernoulli(3)), getkey)
    name = "v" if method in VISIBLE or method == "energy of v" else "h"
    size = 4 if name == "v" else 3
    shape = (*extra, size) if is_batched else (size + 1,)
    bad = jnp.zeros(shape)
    arguments = {
        "energy of v": (bad, jnp.zeros(3)),
        "energy of h": (jnp.zeros(4), bad),
        "sample_hidden": (bad, getkey()),
        "sample_visible": (bad, getkey()),
    }.get(method, (bad,))
    with pytest.raises(ValueError, match=f"`{name}` has shape") as caught:
        getattr(model, method.split()[0])(params, *arguments)
    message = str(caught.value)
    assert f"has shape {shape}" in message
    assert f"needs shape {(size,)}" in message
    assert ("jax.vmap" in message) == is_batched
