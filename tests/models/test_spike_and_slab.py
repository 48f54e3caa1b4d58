"""The spike-and-slab RBM is the joint that its energy says."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import SpikeAndSlab, SpikeAndSlabParams
from jboltz.base import FreeEnergyModel
from jboltz.models.rbm import INIT_SCALE
from jboltz.models.spike_and_slab import SpikeSlab
from jboltz.models.spike_penalty import GershgorinPenalty, NoPenalty
from tests.helpers import binary_states, draw_like, errors_without_hook, rng_of
from tests.models.spike_and_slab import (
    GIVEN,
    GRID,
    SPIKES,
    STEP,
    all_close,
    batched,
    close,
    draw_params,
    each_model,
    each_penalty,
    index_of,
    precision_given,
)


@each_model
def test_the_normalizer_is_the_same_from_all_sides(model, case):
    """Σ_h ∫ds dx exp(−E) = ∫dx exp(−F(x)) = Σ_h exp(−F(h))."""
    _, out = case(model)
    integrated, of_model, enumerated = out["log_z"]
    close(of_model, integrated)
    close(enumerated, integrated)


@each_model
def test_free_energies_integrate_the_energy(model, case):
    _, out = case(model)
    log_z, log_p = out["log_z"][0], out["log_p"]
    log_visible = np.logaddexp.reduce(log_p.reshape(len(GRID), -1), axis=1)
    inside = log_visible > -20 - 2 * np.log(1 / STEP)
    expected = -(log_visible + log_z - 2 * np.log(STEP))
    close(out["free_energy"][inside], expected[inside])
    log_hidden = np.logaddexp.reduce(np.logaddexp.reduce(log_p, axis=2), axis=0)
    close(out["hidden_free_energy"], -(log_hidden + log_z))


@each_model
def test_conditional_means_are_those_of_the_joint(model, case):
    """E[h | x], E[s | x] and E[s⊙h | x]; E[x | h, s]; mean and covariance of x | h."""
    params, out = case(model)
    p = np.exp(out["log_p"])
    given_x = p / p.sum(axis=(1, 2), keepdims=True)
    rows = [index_of(x) for x in GIVEN]
    spikes = np.einsum("xhs,hi->xi", given_x[rows], SPIKES)
    slabs = np.einsum("xhs,si->xi", given_x[rows], GRID)
    product = np.einsum("xhs,hi,si->xi", given_x[rows], SPIKES, GRID)
    close(out["mean_hidden"].spikes, spikes)
    close(out["mean_hidden"].slabs, slabs)
    close(out["mean_hidden"].slabs, product)

    for h, at in enumerate([0, 1, 0, 1]):
        column = p[:, h, index_of(GIVEN[at])]
        close(out["mean_visible"][h], column @ GRID / column.sum())

    given_h = p.sum(axis=2) / p.sum(axis=(0, 2))
    mean = given_h.T @ GRID
    second = np.einsum("xh,xi,xj->hij", given_h, GRID, GRID)
    close(out["visible_given_spikes"][0], mean)
    expected = second - mean[:, :, None] * mean[:, None]
    close(out["visible_given_spikes"][1], expected)
    assert params.weights.shape == (2, 2)


@each_model
def test_gradients_are_those_of_the_integrated_log_likelihood(model, case):
    """Of every parameter, through the penalty too: the data's phase and the model's."""
    _, out = case(model)
    by_table, of_model, enumerated = out["log_z_gradient"]
    all_close(of_model, by_table)
    all_close(enumerated, by_table)
    by_table, of_model = out["data_gradient"]
    all_close(of_model, by_table)
    assert all(np.abs(x).max() > 1e-3 for x in jax.tree.leaves(of_model))


def test_the_energy_is_that_of_the_book(getkey, x64):
    """Goodfellow et al. (2016), eq. 20.50 and 20.51, with a visible bias."""
    model = SpikeAndSlab(3, 2, kappa=0.7)
    params, rng = draw_params(model, getkey()), rng_of(getkey())
    x, s, h = rng.normal(size=3), rng.normal(size=2), np.array([1.0, 0.0])
    state = SpikeSlab(spikes=jnp.asarray(h), slabs=jnp.asarray(s))
    got = jax.jit(model.energy)(params, jnp.asarray(x), state)
    params = jax.device_get(params)
    W, b, mu = params.weights, params.spike_bias, params.slab_mean
    alpha, lam = np.exp(params.log_slab_precision), np.exp(params.log_visible_precision)
    extra = np.exp(params.log_penalty)
    expected = 0.5 * x @ np.diag(lam) @ x - x @ params.visible_bias
    for i in range(2):
        phi = np.diag(extra[i] + np.abs(W[:, i]) * np.abs(W[:, i]).sum() / alpha[i])
        expected += -x @ W[:, i] * s[i] * h[i] + 0.5 * x @ phi @ x * h[i]
        expected += 0.5 * alpha[i] * s[i] ** 2 - alpha[i] * mu[i] * s[i] * h[i]
        expected += -b[i] * h[i] + 0.7 * alpha[i] * mu[i] ** 2 * h[i]
    close(got, expected)


def test_gradients_are_the_statistics_of_the_paper(getkey, x64):
    """With q = xᵀW/α + μ and ĥ = p(h | x), for Φ = 0 and κ = 1."""
    model = SpikeAndSlab(3, 2, penalty=NoPenalty())
    params, x = draw_params(model, getkey()), rng_of(getkey()).normal(size=3)
    gradient = jax.jit(jax.grad(model.free_energy))(params, jnp.asarray(x))
    params, got = jax.device_get((params, jax.tree.map(np.negative, gradient)))
    alpha, mu = np.exp(params.log_slab_precision), params.slab_mean
    lam, inputs = np.exp(params.log_visible_precision), x @ params.weights
    q = inputs / alpha + mu
    g = params.spike_bias - alpha * mu**2 + (inputs + alpha * mu) ** 2 / (2 * alpha)
    h = 1 / (1 + np.exp(-g))
    second = 1 / alpha + q**2 * h
    expected = SpikeAndSlabParams(
        weights=np.outer(x, q * h),
        spike_bias=h,
        slab_mean=h * (inputs - alpha * mu),
        log_slab_precision=alpha * (-0.5 * second + mu * q * h - mu**2 * h),
        visible_bias=x,
        log_visible_precision=-0.5 * lam * x**2,
        log_penalty=None,
    )
    all_close(got, expected)


def test_kappa_moves_the_spike_bias_alone(getkey, x64):
    """κ = 1 with b is κ = ½ with b − ½αμ²."""
    one, half = SpikeAndSlab(3, 2), SpikeAndSlab(3, 2, kappa=0.5)
    params, v = draw_params(one, getkey()), rng_of(getkey()).normal(size=3)
    shift = 0.5 * jnp.exp(params.log_slab_precision) * params.slab_mean**2
    moved = dataclasses.replace(params, spike_bias=params.spike_bias - shift)

    @jax.jit
    def of(v):
        return (
            one.free_energy(params, v),
            half.free_energy(moved, v),
            half.free_energy(params, v),
        )

    got, expected, other = of(v)
    close(got, expected)
    assert abs(got - other) > 1e-3


def test_many_pixels_cost_a_determinant_of_the_hidden_layer(getkey, x64):
    """192 pixels, 5 hidden units: F(h) and x | h are those of 192 × 192 matrices."""
    model = SpikeAndSlab(192, 5)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale=0.3)
    spikes = binary_states(5)[::4]

    @jax.jit
    @jax.vmap
    def of(h):
        given = model.visible_given_spikes(params, h)
        return model.hidden_free_energy(params, h), *given

    got, means, covariances = of(spikes)
    params, spikes = jax.device_get((params, spikes))
    alpha, mu = np.exp(params.log_slab_precision), params.slab_mean
    for h, free_energy, mean, covariance in zip(
        spikes, got, means, covariances, strict=True
    ):
        precision = precision_given(model, params, h)
        m = params.visible_bias + params.weights @ (mu * h)
        cov = np.linalg.inv(precision)
        close(covariance, cov)
        close(mean, cov @ m, atol=1e-8)
        expected = -h @ (params.spike_bias - 0.5 * alpha * mu**2)
        expected -= 0.5 * np.log(2 * np.pi / alpha).sum() + 0.5 * m @ cov @ m
        expected -= 0.5 * (
            192 * np.log(2 * np.pi) - np.linalg.slogdet(precision).logabsdet
        )
        np.testing.assert_allclose(free_energy, expected, rtol=1e-9)


# Precisions as they are.

GIVEN_PRECISIONS = {
    "weights": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]],
    "spike_bias": [0.0, 1.0],
    "slab_mean": [1.0, 1.0],
    "slab_precision": [2.0, 3.0],
    "visible_bias": [0.0, 0.0, 0.1],
    "visible_precision": [1.0, 2.0, 3.0],
    "penalty": [0.1, 0.2],
}


def test_from_precisions_stores_logarithms(x64):
    model = SpikeAndSlab(3, 2)
    given = {name: np.array(x) for name, x in GIVEN_PRECISIONS.items()}
    params = model.from_precisions(given.pop("weights"), **given)
    close(jnp.exp(params.log_slab_precision), [2, 3])
    close(jnp.exp(params.log_visible_precision), [1, 2, 3])
    close(jnp.exp(params.log_penalty), [0.1, 0.2])
    close(params.visible_bias, [0, 0, 0.1])
    assert jax.tree.structure(params) == jax.tree.structure(
        jax.eval_shape(model.init, jax.random.key(0))
    )


BAD = {
    "slab_precision=[2.0, 0.0]": "InvalidValue: `slab_precision` holds 0.0 but needs",
    "slab_precision=[2.0, -3.0]": "InvalidValue: `slab_precision` holds -3.0 but",
    "visible_precision=[1.0, -2.0, 1.0]": "InvalidValue: `visible_precision` holds -2",
    "penalty=[0.1, -0.1]": "InvalidValue: `penalty` holds -0.1 but needs",
    "penalty=None": "InvalidValue: `penalty` is None but GershgorinPenalty() needs one",
    "slab_precision=[2.0]": "InvalidValue: `slab_precision` has shape (1,) but",
    "weights=[[0.1, 0.2]]": "InvalidValue: `weights` has shape (1, 2) but",
}
BAD_CALLS = {
    "j.SpikeAndSlab(3, 2, penalty=NoPenalty()).from_precisions(**given)": (
        "InvalidValue: `penalty` is [0.1 0.2] but NoPenalty() needs None"
    ),
    "j.SpikeAndSlab(3, 2, penalty=NoPenalty()).from_precisions("
    "**{**given, 'penalty': None, 'weights': 9 * given['weights']})": (
        "InvalidValue: The precision of x given the spikes has the smallest eigenvalue"
    ),
    "j.SpikeAndSlab(0, 2)": "InvalidValue: `num_visible` is 0 but needs to be a",
    "j.SpikeAndSlab(3, -1)": "InvalidValue: `num_hidden` is -1 but needs to be a",
    "j.SpikeAndSlab(3, 2.0)": "InvalidValue: `num_hidden` is 2.0 but needs to be a",
    "m.free_energy(p, np.zeros((5, 3)))": "InvalidValue: `v` has shape (5, 3) but",
    "m.sample_hidden(p, np.zeros(4), key)": "InvalidValue: `v` has shape (4,) but",
    "m.energy(p, np.zeros(3), SpikeSlab(np.zeros(2), np.zeros(3)))": (
        "InvalidValue: `h.slabs` has shape (3,) but"
    ),
    "m.sample_visible(p, SpikeSlab(np.zeros(3), np.zeros(2)), key)": (
        "InvalidValue: `h.spikes` has shape (3,) but"
    ),
    "m.hidden_free_energy(p, np.zeros((9, 2)))": (
        "InvalidValue: `spikes` has shape (9, 2) but"
    ),
}


def test_bad_input_is_refused_by_name():
    setup = (
        "import jax, numpy as np, jboltz as j\n"
        "m = j.SpikeAndSlab(3, 2)\n"
        "key = jax.random.key(0)\n"
        "p = m.init(key)\n"
        f"given = {{k: np.array(x) for k, x in {GIVEN_PRECISIONS!r}.items()}}"
    )
    calls = {
        "m.from_precisions(**{**given, **dict(" + bad + ")})": message
        for bad, message in BAD.items()
    }
    calls |= BAD_CALLS
    for call, error in errors_without_hook(setup, calls).items():
        assert error.startswith(calls[call]), (call, error)
        assert "; " in error or "needs" in error


# Training.


@pytest.mark.parametrize(
    ("estimator_of", "penalty"),
    [("CD", GershgorinPenalty()), ("PCD", NoPenalty())],
    ids=["CD", "PCD projected"],
)
def test_training_raises_the_likelihood(estimator_of, penalty, getkey):
    """Correlated Gaussian data of mean 1, judged by the exact log Z."""
    model = SpikeAndSlab(4, 3, penalty=penalty)
    rng, sampler = rng_of(getkey()), jboltz.Gibbs(model)
    factor = rng.normal(size=(300, 1)) @ np.array([[1.0, 1.0, -1.0, 0.5]])
    data = jnp.asarray(1 + factor + 0.5 * rng.normal(size=(300, 4)), jnp.float32)
    if estimator_of == "CD":
        estimator = jboltz.ContrastiveDivergence(model, sampler, num_steps=2)
    else:
        estimator = jboltz.PersistentContrastiveDivergence(model, sampler, 100)
    optimizer = optax.adam(0.02)
    step = jboltz.make_train_step(estimator, optimizer)

    def projected(state, batch, key):
        state, metrics = step(state, batch, key)
        if isinstance(penalty, NoPenalty):
            state = state.replace(params=penalty.project(state.params))
        return state, metrics

    @jax.jit
    def log_likelihood(params):
        by_hidden = batched(model.hidden_free_energy, params)(binary_states(3))
        free_energy = batched(model.free_energy, params)(data)
        return -jnp.mean(free_energy) - jax.nn.logsumexp(-by_hidden)

    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale=0.1)
    init = partial(jboltz.init_train_state, params, estimator, optimizer)
    state, _ = jboltz.fit(
        projected, jax.jit(init)(getkey()), data, getkey(), batch_size=50, num_epochs=40
    )
    model.check_normalizable(state.params)
    # The best Gaussian of independent pixels, which the model contains.
    independent = -0.5 * jnp.sum(jnp.log(2 * jnp.pi * data.var(0)) + 1)
    before, after = log_likelihood(params), log_likelihood(state.params)
    assert after > before + 1
    assert after > independent, (before, after, independent)


# Edges.


def test_init_is_a_model_of_small_weights(getkey):
    model = SpikeAndSlab(192, 64, penalty=NoPenalty())
    assert isinstance(model, FreeEnergyModel)
    params = model.init(getkey())
    assert params.weights.shape == (192, 64)
    assert abs(params.weights.std() / INIT_SCALE - 1) < 5 / np.sqrt(2 * 192 * 64)
    model.check_normalizable(params)
    assert params.log_penalty is None
    log_penalty = jax.eval_shape(SpikeAndSlab(192, 64).init, getkey()).log_penalty
    assert log_penalty.shape == (64,)


def test_large_weights_stay_finite(getkey):
    """±1e3 in float32: energies, gradients and a hundred steps of Gibbs."""
    model = SpikeAndSlab(4, 3)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    signs = np.where(np.asarray(params.weights) > 0, 1e3, -1e3).astype(np.float32)
    params = dataclasses.replace(params, weights=jnp.asarray(signs))

    @jax.jit
    def run(params, v, key):
        sampler = jboltz.Gibbs(model)
        chains = jboltz.init_chains(sampler, params, v, key)
        ends, _ = jboltz.run_chains(sampler, params, chains, key, num_steps=100)
        return ends, jax.vmap(jax.value_and_grad(model.free_energy), (None, 0))(
            params, v
        )

    for leaf in jax.tree.leaves(run(params, np.eye(8, 4, dtype="f"), getkey())):
        assert np.isfinite(leaf).all()
        assert leaf.dtype == jnp.float32


@each_penalty
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_follows_the_parameters(penalty, dtype, getkey, x64):
    model = SpikeAndSlab(4, 3, penalty=penalty)
    params = jax.eval_shape(model.init, getkey())
    h = SpikeSlab(spikes=jnp.zeros(3), slabs=jnp.zeros(3))
    args = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, dtype), (params, jnp.zeros(4), h)
    )
    with jax.numpy_dtype_promotion("strict"):
        out = jax.eval_shape(partial(everything, model), *args, getkey())
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(out))


def everything(model, params, v, h, key):
    return (
        model.energy(params, v, h),
        model.free_energy(params, v),
        model.hidden_free_energy(params, h.spikes),
        model.mean_hidden_state(params, v),
        model.mean_visible_state(params, h),
        model.sample_hidden(params, v, key),
        model.sample_visible(params, h, key),
        model.sample_start(params, key),
        model.visible_given_spikes(params, h.spikes),
        model.smallest_eigenvalue(params),
        jax.grad(model.free_energy)(params, v),
    )


def test_jit_changes_nothing(getkey, x64):
    model = SpikeAndSlab(4, 3)
    params = draw_params(model, getkey())
    h = SpikeSlab(spikes=jnp.array([1.0, 0.0, 1.0]), slabs=jnp.array([0.3, 2.0, -1.0]))
    v, key = jnp.array([0.3, -1.0, 2.0, 0.1]), getkey()

    def some(params):
        return (
            model.energy(params, v, h),
            model.free_energy(params, v),
            model.sample_hidden(params, v, key),
        )

    jax.tree.map(close, jax.jit(some)(params), some(params))
