"""The GRBMs of the literature are one model in other parameters (math: §b)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.models import grbm
from tests.helpers import binary_states, draw_like

MODEL = jboltz.RBM(jboltz.Gaussian(3), jboltz.Bernoulli(2))


def energy(params, v, h):
    return float(MODEL.energy(params, jnp.asarray(v), jnp.asarray(h)))


def draw(seed):
    rng = np.random.default_rng(seed)
    positive, mean = np.exp(0.5 * rng.normal(size=3)), rng.normal(size=3)
    return positive, mean, rng.normal(size=2), rng.normal(size=(3, 2)), rng


def test_the_form_with_precisions(x64):
    """E = ½vᵀ(β⊙v) − (v⊙β)ᵀ(a + Wh) − b·h, less ½Σβa² than ours; v | h and h | v as in
    the book."""
    beta, a, b, W, rng = draw(0)
    params = grbm.from_precision(*map(jnp.asarray, (beta, a, b, W)))
    v = rng.normal(size=3)
    for h in np.asarray(binary_states(2)):
        theirs = 0.5 * v @ (beta * v) - (v * beta) @ (a + W @ h) - b @ h
        ours = energy(params, v, h)
        np.testing.assert_allclose(ours, theirs + 0.5 * np.sum(beta * a**2), rtol=1e-9)
        mean = MODEL.mean_visible_state(params, jnp.asarray(h))
        np.testing.assert_allclose(mean, a + W @ h, rtol=1e-9)
    p = MODEL.mean_hidden_state(params, jnp.asarray(v))
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-b - W.T @ (beta * v))), rtol=1e-9)
    back = grbm.to_precision(params)
    for x, y in zip(back, (beta, a, b, W), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9)


def test_the_slope_in_log_variance_is_minus_precision_times_that_in_precision(x64):
    """dL/dz = −β dL/dβ, of the free energy plus the constant between the forms."""
    beta, a, b, W, rng = draw(1)
    v = jnp.asarray(rng.normal(size=3))

    def book(beta):
        params = grbm.from_precision(beta, *map(jnp.asarray, (a, b, W)))
        return MODEL.free_energy(params, v)

    params = grbm.from_precision(*map(jnp.asarray, (beta, a, b, W)))
    slope = jax.grad(MODEL.free_energy)(params, v).visible.log_variance
    np.testing.assert_allclose(slope, -beta * jax.grad(book)(jnp.asarray(beta)), 1e-7)


def test_krizhevskys_form(x64):
    """E = ½Σ(v − μ)²/σ² − (v/σ)ᵀWh − b·h."""
    sigma, mu, b, W, rng = draw(2)
    params = grbm.from_krizhevsky(*map(jnp.asarray, (sigma, mu, b, W)))
    v = rng.normal(size=3)
    for h in np.asarray(binary_states(2)):
        theirs = 0.5 * np.sum(((v - mu) / sigma) ** 2) - (v / sigma) @ W @ h - b @ h
        np.testing.assert_allclose(energy(params, v, h), theirs, rtol=1e-9)


def test_in_data_units_it_is_the_same_density(getkey, x64):
    """F(x) and F(v) differ by a constant, and so do all energies, state by state."""
    params = draw_like(jax.eval_shape(MODEL.init, getkey()), getkey())
    location, scale = jnp.asarray([0.3, -2.0, 5.0]), jnp.asarray([0.1, 3.0, 1.0])
    moved = grbm.in_data_units(params, location, scale)
    v = jax.random.normal(getkey(), (6, 3))
    x = location[None] + scale[None] * v
    free = jax.vmap(MODEL.free_energy, in_axes=(None, 0))
    difference = free(moved, x) - free(params, v)
    np.testing.assert_allclose(difference, difference[0], rtol=1e-9, atol=1e-12)
    up = jax.vmap(MODEL.mean_hidden_state, in_axes=(None, 0))
    np.testing.assert_allclose(up(moved, x), up(params, v), rtol=1e-9)
    h = jnp.asarray([1.0, 0.0])
    down = location + scale * MODEL.mean_visible_state(params, h)
    np.testing.assert_allclose(MODEL.mean_visible_state(moved, h), down, rtol=1e-9)
    # log Z moves by the volume: log p(x) = log p(v) − Σ log scale.
    states = binary_states(2)
    hidden = jax.vmap(MODEL.hidden_free_energy, in_axes=(None, 0))
    log_z = [jax.nn.logsumexp(-hidden(p, states)) for p in (moved, params)]
    np.testing.assert_allclose(
        -difference[0] - log_z[0] + log_z[1], -jnp.sum(jnp.log(scale)), rtol=1e-9
    )


def test_the_forms_are_made_under_jit_too(x64):
    beta, a, b, W, _ = draw(3)
    arrays = tuple(map(jnp.asarray, (beta, a, b, W)))
    params = grbm.from_precision(*arrays)
    for function, args in (
        (grbm.from_precision, arrays),
        (grbm.from_krizhevsky, arrays),
        (grbm.in_data_units, (params, arrays[1], arrays[0])),
    ):
        compiled, eager = jax.jit(function)(*args), function(*args)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12), compiled, eager
        )


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_what_is_not_positive_is_refused(value):
    bad, one = jnp.asarray([1.0, value, 1.0]), jnp.ones(3)
    rest = (jnp.zeros(2), jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="`precision`"):
        grbm.from_precision(bad, one, *rest)
    with pytest.raises(ValueError, match="`deviation`"):
        grbm.from_krizhevsky(bad, one, *rest)
    with pytest.raises(ValueError, match="`scale`"):
        grbm.in_data_units(MODEL.init(jax.random.key(0)), one, bad)
