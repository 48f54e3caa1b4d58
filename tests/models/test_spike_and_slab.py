"""The spike-and-slab RBM is the joint that its energy says, inside its positive region.

The oracle is a table of exp(−E) over two spikes, two slabs and two pixels, on a grid of
equal steps, whose sums are integrals to 1e-10 for Gaussian mixtures of this width.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import (
    GershgorinPenalty,
    NoPenalty,
    NormPenalty,
    SpikeAndSlab,
    SpikeAndSlabParams,
    SpikeSlab,
)
from jboltz.base import FreeEnergyModel
from jboltz.models.rbm import INIT_SCALE
from tests.helpers import binary_states, draw_like, errors_without_hook, rng_of

CLOSED_FORM, AUTODIFF = 1e-9, 1e-7  # relative, in float64
PENALTIES = [GershgorinPenalty(), NormPenalty(), NoPenalty()]
MODELS = [
    SpikeAndSlab(2, 2, penalty=penalty, kappa=kappa)
    for penalty, kappa in zip(PENALTIES, (1.0, 0.5, 1.0), strict=True)
]


def name(spec):
    return type(getattr(spec, "penalty", spec)).__name__


each_model = pytest.mark.parametrize("model", MODELS, ids=name)
each_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=name)


def close(got, expected, atol=CLOSED_FORM):
    np.testing.assert_allclose(got, expected, rtol=CLOSED_FORM, atol=atol)


def all_close(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=AUTODIFF, atol=AUTODIFF), tree, other
    )


def draw_params(model, key):
    """Nothing at its initial value; standard deviations about ½, for the grid."""
    params = draw_like(jax.eval_shape(model.init, key), key, scale=0.2)
    return dataclasses.replace(
        params,
        weights=4 * params.weights,
        slab_mean=0.5 + params.slab_mean,
        spike_bias=1 + params.spike_bias,
        log_slab_precision=1.2 + params.log_slab_precision,
        log_visible_precision=1.2 + params.log_visible_precision,
    )


# The oracle.

STEP, REACH = 0.36, 4.68
AXIS = np.arange(-REACH, REACH + STEP / 2, STEP)
GRID = np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), axis=-1).reshape(-1, 2)
SPIKES = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
GIVEN = STEP * np.array([[1, -3], [2, 1], [0, 0]])  # points of the grid


def log_table(model, params, v):
    """log of exp(−E) ds (a slab's grid cell), of each v, spikes and slabs."""

    def of(v, spikes, slabs):
        return -model.energy(params, v, SpikeSlab(spikes=spikes, slabs=slabs))

    over = jax.vmap(jax.vmap(jax.vmap(of, (None, None, 0)), (None, 0, None)), (0,) * 3)
    count = len(v)
    spikes = jnp.broadcast_to(jnp.asarray(SPIKES), (count, *SPIKES.shape))
    slabs = jnp.broadcast_to(jnp.asarray(GRID), (count, *GRID.shape))
    return over(v, spikes, slabs) + 2 * np.log(STEP)


def batched(function, params):
    return jax.vmap(partial(function, params))


@partial(jax.jit, static_argnums=0)
def facts(model, params):
    """What the table says, and what the model says, in one program."""
    grid, spikes = jnp.asarray(GRID), jnp.asarray(SPIKES)
    rows = jnp.asarray([index_of(x) for x in GIVEN])
    log_cell = 2 * np.log(STEP)

    def by_table(params):
        table = log_table(model, params, grid)
        return jax.nn.logsumexp(table) + log_cell, table

    def by_visible(params):
        free_energy = batched(model.free_energy, params)(grid)
        return jax.nn.logsumexp(-free_energy) + log_cell, free_energy

    def by_hidden(params):
        free_energy = batched(model.hidden_free_energy, params)(spikes)
        return jax.nn.logsumexp(-free_energy), free_energy

    def data_by_table(params):
        table = log_table(model, params, grid[rows])
        return -jax.nn.logsumexp(table, axis=(1, 2)).sum()

    def data(params):
        return batched(model.free_energy, params)(grid[rows]).sum()

    log_z = [
        jax.value_and_grad(f, has_aux=True)(params)
        for f in (by_table, by_visible, by_hidden)
    ]
    (integrated, table), free_energy, hidden_free_energy = (x[0] for x in log_z)
    return {
        "log_z": [value for (value, _), _ in log_z],
        "log_z_gradient": [gradient for _, gradient in log_z],
        "data_gradient": (jax.grad(data_by_table)(params), jax.grad(data)(params)),
        "log_p": table + log_cell - integrated,
        "free_energy": free_energy[1],
        "hidden_free_energy": hidden_free_energy[1],
        "mean_hidden": batched(model.mean_hidden_state, params)(grid[rows]),
        "visible_given_spikes": batched(model.visible_given_spikes, params)(spikes),
        "mean_visible": batched(model.mean_visible_state, params)(
            SpikeSlab(spikes=spikes, slabs=grid[rows][jnp.asarray([0, 1, 0, 1])])
        ),
    }


def index_of(x):
    """Where x is on the grid."""
    distance = np.abs(GRID - x).sum(axis=1)
    assert distance.min() < 1e-9
    return distance.argmin()


@pytest.fixture(scope="module")
def case():
    """Parameters of a model and its facts, computed once for all tests."""
    from tests.helpers import enable_x64

    known = {}

    def of(model):
        if model not in known:
            with enable_x64():
                params = draw_params(model, jax.random.key(7))
                model.check_positive(params)
                known[model] = params, jax.device_get(facts(model, params))
        return known[model]

    return of


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


# The positive region.


def penalty_matrix(model, params):
    """Φ_i,jj as the papers have it, (num_visible, num_hidden)."""
    params = jax.device_get(params)
    W, alpha = params.weights, np.exp(params.log_slab_precision)
    if isinstance(model.penalty, NoPenalty):
        return np.zeros_like(W)
    extra = np.exp(params.log_penalty)
    if isinstance(model.penalty, NormPenalty):
        return np.ones_like(W) * (extra + (W**2).sum(0) / alpha)
    return extra + np.abs(W) * np.abs(W).sum(0) / alpha


def precision_given(model, params, h):
    """Λ + Σ h_i (Φ_i − w_i w_iᵀ/α_i), densely."""
    params, h = jax.device_get((params, h))
    W, alpha = params.weights, np.exp(params.log_slab_precision)
    diagonal = np.exp(params.log_visible_precision) + penalty_matrix(model, params) @ h
    return np.diag(diagonal) - (W * h / alpha) @ W.T


def smallest(model, params):
    """The smallest eigenvalue of the precision over all spikes."""
    states = np.asarray(binary_states(model.num_hidden))
    return min(np.linalg.eigvalsh(precision_given(model, params, h))[0] for h in states)


@each_penalty
def test_every_parameter_is_in_the_positive_region(penalty, getkey, x64):
    """Large ones too; without a penalty, once projected."""
    model = SpikeAndSlab(5, 6, penalty=penalty)
    for scale in (0.3, 1.0, 3.0):
        shapes = jax.eval_shape(model.init, getkey())
        params = draw_like(shapes, getkey(), scale=scale)
        if penalty == NoPenalty():
            params = penalty.project(params)
        expected = smallest(model, params)
        assert expected > 0
        np.testing.assert_allclose(model.smallest_eigenvalue(params), expected)
        model.check_positive(params)
        v = rng_of(getkey()).normal(size=5)
        spikes = model.mean_hidden_state(params, jnp.asarray(v)).spikes
        penalties = v**2 @ penalty_matrix(model, params)
        params = jax.device_get(params)
        alpha, mu = np.exp(params.log_slab_precision), params.slab_mean
        g = (v @ params.weights + alpha * mu) ** 2 / (2 * alpha) - 0.5 * penalties
        g = g + params.spike_bias - alpha * mu**2
        close(spikes, 0.5 * (1 + np.tanh(g / 2)))


def test_a_model_beyond_the_edge_is_refused_with_the_eigenvalue(getkey, x64):
    model = SpikeAndSlab(4, 3, penalty=NoPenalty())
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale=1.0)
    params = dataclasses.replace(params, weights=3 * params.weights)
    value = smallest(model, params)
    assert value < 0
    np.testing.assert_allclose(model.smallest_eigenvalue(params), value)
    with pytest.raises(ValueError, match=f"smallest eigenvalue {value:.3g}"):
        model.check_positive(params)


def test_the_edge_is_where_the_spectral_norm_is_one(getkey, x64):
    model = SpikeAndSlab(4, 3, penalty=NoPenalty())
    params = draw_params(model, getkey())

    def scaled_to(norm):
        left = np.exp(-0.5 * params.log_visible_precision)[:, None]
        right = np.exp(-0.5 * params.log_slab_precision)[None]
        now = np.linalg.norm(left * params.weights * right, ord=2)
        return dataclasses.replace(params, weights=params.weights * (norm / now))

    model.check_positive(scaled_to(1 - 1e-9))
    with pytest.raises(ValueError, match="smallest eigenvalue -"):
        model.check_positive(scaled_to(1 + 1e-9))


def test_the_projection_goes_to_the_nearest_weights_inside(getkey, x64):
    model = SpikeAndSlab(4, 3, penalty=NoPenalty())
    params = draw_params(model, getkey())
    project = jax.jit(model.penalty.project)
    left = np.exp(-0.5 * params.log_visible_precision)[:, None]
    right = np.exp(-0.5 * params.log_slab_precision)[None]

    def with_scaled(weights):
        return dataclasses.replace(params, weights=weights / left / right)

    outside = 3 * np.asarray(jax.random.normal(getkey(), (4, 3)))
    inside = with_scaled(outside / 3 / np.linalg.norm(outside, ord=2))
    close(project(inside).weights, inside.weights)
    assert not project(with_scaled(0 * outside)).weights.any()
    nearest = np.asarray(left * project(with_scaled(outside)).weights * right)
    close(np.linalg.norm(nearest, ord=2), 0.999)
    # The nearest point of a convex set: every other lies beyond the plane through it.
    others = np.asarray(jax.random.normal(getkey(), (100, 4, 3)))
    others = np.asarray(jax.random.normal(getkey(), (100, 4, 3)))
    norms = np.linalg.norm(others, ord=2, axis=(1, 2))[:, None, None]
    others = 0.999 * others / norms
    beyond = np.sum((outside - nearest) * (others - nearest), axis=(1, 2))
    assert np.all(beyond < 0)


@pytest.mark.parametrize("value", [-1e4, np.nan], ids=["vanishing", "nan"])
@each_penalty
def test_a_precision_that_is_not_above_zero_is_refused(penalty, value, getkey):
    model = SpikeAndSlab(2, 2, penalty=penalty)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    broken = dataclasses.replace(
        params, log_visible_precision=jnp.array([0.0, value], jnp.float32)
    )
    with pytest.raises(ValueError, match="smallest eigenvalue"):
        model.check_positive(broken)


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
    "slab_precision=[2.0, 0.0]": "ValueError: `slab_precision` holds 0.0 but needs",
    "slab_precision=[2.0, -3.0]": "ValueError: `slab_precision` holds -3.0 but",
    "visible_precision=[1.0, -2.0, 1.0]": "ValueError: `visible_precision` holds -2",
    "penalty=[0.1, -0.1]": "ValueError: `penalty` holds -0.1 but needs",
    "penalty=None": "ValueError: `penalty` is None but GershgorinPenalty() needs one",
    "slab_precision=[2.0]": "ValueError: `slab_precision` has shape (1,) but",
    "weights=[[0.1, 0.2]]": "ValueError: `weights` has shape (1, 2) but",
}
BAD_CALLS = {
    "j.SpikeAndSlab(3, 2, penalty=j.NoPenalty()).from_precisions(**given)": (
        "ValueError: `penalty` is [0.1 0.2] but NoPenalty() needs None"
    ),
    "j.SpikeAndSlab(3, 2, penalty=j.NoPenalty()).from_precisions("
    "**{**given, 'penalty': None, 'weights': 9 * given['weights']})": (
        "ValueError: The precision of x given the spikes has the smallest eigenvalue -"
    ),
    "j.SpikeAndSlab(0, 2)": "ValueError: `num_visible` is 0 but SpikeAndSlab needs",
    "j.SpikeAndSlab(3, -1)": "ValueError: `num_hidden` is -1 but SpikeAndSlab needs",
    "j.SpikeAndSlab(3, 2.0)": "ValueError: `num_hidden` is 2.0 but SpikeAndSlab needs",
    "m.free_energy(p, np.zeros((5, 3)))": "ValueError: `v` has shape (5, 3) but",
    "m.sample_hidden(p, np.zeros(4), key)": "ValueError: `v` has shape (4,) but",
    "m.energy(p, np.zeros(3), j.SpikeSlab(np.zeros(2), np.zeros(3)))": (
        "ValueError: `h.slabs` has shape (3,) but"
    ),
    "m.sample_visible(p, j.SpikeSlab(np.zeros(3), np.zeros(2)), key)": (
        "ValueError: `h.spikes` has shape (3,) but"
    ),
    "m.hidden_free_energy(p, np.zeros((9, 2)))": (
        "ValueError: `spikes` has shape (9, 2) but"
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


# The kernel: block Gibbs, as it is for every model.

NUM_CHAINS = 20_000


@partial(jax.jit, static_argnums=0)
def advance(sampler, params, chains, key, num_steps):
    return jboltz.run_chains(sampler, params, chains, key, num_steps=num_steps)[0]


def visible_terms(x):
    return np.stack([x[:, 0], x[:, 1], x[:, 0] ** 2, x[:, 1] ** 2, x[:, 0] * x[:, 1]]).T


def hidden_terms(h, s):
    on = h * s
    products = (h[:, 0] * h[:, 1], on[:, 0] * on[:, 1])
    return np.column_stack([h, s, s**2, on, on**2, *products])


ALL_HIDDEN = hidden_terms(
    np.repeat(SPIKES, len(GRID), axis=0), np.tile(GRID, (len(SPIKES), 1))
)


def assert_moments(chains, p, message):
    """Of x, of (h, s), and between them: p is (len(GRID), spikes × slabs)."""
    v, h = jax.device_get((chains.visible, chains.hidden))
    a, b = visible_terms(v), hidden_terms(h.spikes, h.slabs)
    between = a[:, :2, None] * b[:, None, 4:]
    got = [a.mean(0), b.mean(0), np.ravel(between.mean(0))]
    by_visible, by_hidden = visible_terms(GRID), ALL_HIDDEN

    def expectation(power):
        x, y = by_visible**power, by_hidden**power
        both = x[:, :2].T @ p @ y[:, 4:]
        return [p.sum(1) @ x, p.sum(0) @ y, np.ravel(both)]

    for g, first, second in zip(got, expectation(1), expectation(2), strict=True):
        z = (g - first) / np.sqrt((second - first**2) / len(v))
        worst = np.abs(z).max()
        assert worst < 5, f"{message}: max |z| = {worst:.1f}"


def draw_exactly(params, out, key):
    """Spikes by enumeration, x given them, slabs given both: (x, h, s) ~ p."""
    params, rng = jax.device_get(params), rng_of(key)
    p = np.exp(-out["hidden_free_energy"] - out["log_z"][0])
    index = rng.choice(len(SPIKES), NUM_CHAINS, p=p)
    means, covariances = out["visible_given_spikes"]
    root = np.linalg.cholesky(covariances)[index]
    noise = rng.normal(size=(2, NUM_CHAINS, 2))
    x, h = means[index] + np.einsum("nij,nj->ni", root, noise[0]), SPIKES[index]
    alpha = np.exp(params.log_slab_precision)
    s = (x @ params.weights / alpha + params.slab_mean) * h + noise[1] / np.sqrt(alpha)
    return in_float32(jboltz.GibbsState(visible=x, hidden=SpikeSlab(spikes=h, slabs=s)))


def in_float32(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


def assert_stays_at_p(sampler, params, out, key):
    chains, p = draw_exactly(params, out, key), joint_of(out)
    params = in_float32(params)
    assert_moments(chains, p, "wrong start")
    for num_steps in (1, 4, 16):
        key_run = jax.random.fold_in(key, num_steps)
        chains = advance(sampler, params, chains, key_run, jnp.asarray(num_steps))
        assert_moments(chains, p, f"drift after {num_steps} steps")


def assert_steps_as_integrated(sampler, params, out, key):
    """One step from h = (1, 1) and some slabs: x′ ~ p(x | h, s), (h′, s′) given x′."""
    slabs = STEP * np.array([2, -3])
    p = joint_of(out)
    column = p.reshape(len(GRID), len(SPIKES), -1)[:, 3, index_of(slabs)]
    joint = (column / column.sum())[:, None] * (p / p.sum(1, keepdims=True))
    on = np.ones((NUM_CHAINS, 2))
    chains = jboltz.GibbsState(
        visible=0 * on, hidden=SpikeSlab(spikes=on, slabs=slabs * on)
    )
    params, chains = in_float32((params, chains))
    ends = advance(sampler, params, chains, key, jnp.asarray(1))
    assert_moments(ends, joint, "wrong transition")


def joint_of(out):
    return np.exp(out["log_p"]).reshape(len(GRID), -1)


@each_model
def test_gibbs_leaves_the_joint_as_it_is(model, case, getkey):
    assert_stays_at_p(jboltz.Gibbs(model), *case(model), getkey())


@each_model
def test_one_step_of_gibbs_follows_the_integrated_transitions(model, case, getkey):
    assert_steps_as_integrated(jboltz.Gibbs(model), *case(model), getkey())


@dataclasses.dataclass(frozen=True)
class FeedsOffSlabs:
    """x is fed s instead of s⊙h, as in the notes."""

    model: SpikeAndSlab

    def init(self, params, v, key):
        return jboltz.Gibbs(self.model).init(params, v, key)

    def step(self, params, state, key):
        key_v, key_h = jax.random.split(key)
        h = state.hidden
        fed = SpikeSlab(spikes=jnp.ones_like(h.spikes), slabs=h.slabs)
        v = self.model.sample_visible(params, fed, key_v)
        h = self.model.sample_hidden(params, v, key_h)
        return jboltz.GibbsState(visible=v, hidden=h), {}


WRONG = {
    "off slabs reach the pixels": FeedsOffSlabs(MODELS[0]),
    "the other kappa": jboltz.Gibbs(SpikeAndSlab(2, 2, kappa=0.5)),
    "a penalty missing": jboltz.Gibbs(MODELS[2]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_kernel_drifts(wrong, case, getkey):
    with pytest.raises(AssertionError, match="drift after"):
        assert_stays_at_p(WRONG[wrong], *case(MODELS[0]), getkey())


def test_chains_start_with_every_spike_off(getkey):
    model = SpikeAndSlab(2, 2)
    params = in_float32(draw_params(model, getkey()))
    keys = jax.random.split(getkey(), NUM_CHAINS)
    x = np.asarray(jax.jit(jax.vmap(model.sample_start, (None, 0)))(params, keys))
    params = jax.device_get(params)
    variance = np.exp(-params.log_visible_precision)
    z = (x.mean(0) - params.visible_bias * variance) / np.sqrt(variance / NUM_CHAINS)
    assert np.abs(z).max() < 5
    z = (x.var(0) / variance - 1) / np.sqrt(2 / NUM_CHAINS)
    assert np.abs(z).max() < 5


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
    model.check_positive(state.params)
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
    model.check_positive(params)
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
