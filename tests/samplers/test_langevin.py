"""Kernels for real visible units leave p(v, h) as it is, where they say they do."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.samplers.gibbs import GibbsState
from jboltz.samplers.langevin import GibbsLangevin, OverRelaxed
from tests.helpers import draw_like, errors_without_hook
from tests.samplers.test_stationarity import NUM_CHAINS, assert_moments_stay

MODEL = jboltz.RBM(jboltz.Gaussian(2), jboltz.Bernoulli(2))


def draw_case(getkey, scale=0.6):
    params = draw_like(jax.eval_shape(MODEL.init, getkey()), getkey(), scale)
    # Variances apart, so that one step size is not the same share of both.
    visible = params.visible.replace(log_variance=jnp.asarray([-0.4, 0.5]))
    return params.replace(visible=visible)


def test_without_the_correction_they_move(getkey):
    biased = GibbsLangevin(MODEL, step_size=1.2, num_inner=2, is_adjusted=False)
    with pytest.raises(AssertionError, match="drift after"):
        assert_moments_stay(biased, draw_case(getkey), getkey())


@partial(jax.jit, static_argnums=0)
def step_all(sampler, params, states, keys):
    return jax.vmap(sampler.step, in_axes=(None, 0, 0))(params, states, keys)


def inner_loop(v, centre, variance, step_size, num_inner, rng):
    """The Langevin steps themselves, one by one, in NumPy."""
    for k in range(num_inner):
        step = step_size * variance.mean() * (1 + np.cos(k * np.pi / num_inner)) / 2
        noise = rng.normal(size=v.shape)
        v = v - step * (v - centre) / variance + np.sqrt(2 * step) * noise
    return v


def test_the_inner_steps_are_one_draw(getkey):
    """Means and variances after the loop and after the one draw, 5 standard errors."""
    params, sampler = draw_case(getkey), GibbsLangevin(MODEL, 0.4, 6, False)
    start = GibbsState(jnp.asarray([0.7, -1.1]), jnp.asarray([1.0, 0.0]))
    states = jax.tree.map(lambda x: jnp.tile(x, (NUM_CHAINS, 1)), start)
    keys = jax.random.split(getkey(), NUM_CHAINS)
    ours = np.asarray(step_all(sampler, params, states, keys)[0].visible)
    variance = np.exp(np.asarray(params.visible.log_variance, np.float64))
    centre = np.asarray(MODEL.mean_visible_state(params, start.hidden))
    theirs = inner_loop(
        np.asarray(states.visible),
        centre,
        variance,
        0.4,
        6,
        np.random.default_rng(7),
    )
    spread = ours.var(0)
    mean_error = np.sqrt(2 * spread / NUM_CHAINS)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 5 * mean_error).all()
    variance_error = spread * np.sqrt(4 / NUM_CHAINS)
    assert (np.abs(ours.var(0) - theirs.var(0)) < 5 * variance_error).all()


def test_the_one_draw_has_the_loops_moments_exactly(getkey, x64):
    """B₀ and S against the recursion of mean and variance in the loop."""
    variance = np.array([0.5, 1.0, 2.5])
    decay, spread = GibbsLangevin(MODEL, 0.3, 4)._kernel(jnp.asarray(variance))
    mean, second = np.ones(3), np.zeros(3)
    for k in range(4):
        step = 0.3 * variance.mean() * (1 + np.cos(k * np.pi / 4)) / 2
        mean = mean - step * mean / variance
        second = second * (1 - step / variance) ** 2 + 2 * step
    np.testing.assert_allclose(decay, mean, rtol=1e-9)
    np.testing.assert_allclose(spread, second, rtol=1e-9)


def test_a_steady_step_has_its_known_bias(x64):
    """Equal steps α, each B v + √S ε, end at variance σ²/(1 − α/2σ²) and not at σ²:
    what the correction removes."""
    variance = jnp.asarray([1.0])
    decay, spread = GibbsLangevin(MODEL, step_size=0.5, num_inner=1)._kernel(variance)
    np.testing.assert_allclose(spread / (1 - decay**2), 1 / (1 - 0.5 / 2), rtol=1e-9)


def test_no_decay_is_gibbs(getkey):
    """ρ = 0 draws from p(v | h): the same mean and variance, whatever v was."""
    params, sampler = draw_case(getkey), OverRelaxed(MODEL, decay=0.0)
    state = GibbsState(jnp.asarray([30.0, -30.0]), jnp.asarray([1.0, 1.0]))
    states = jax.tree.map(lambda x: jnp.tile(x, (NUM_CHAINS, 1)), state)
    keys = jax.random.split(getkey(), NUM_CHAINS)
    v = np.asarray(step_all(sampler, params, states, keys)[0].visible)
    mean = np.asarray(MODEL.mean_visible_state(params, state.hidden))
    sd = np.exp(0.5 * np.asarray(params.visible.log_variance))
    assert (np.abs(v.mean(0) - mean) < 5 * sd / np.sqrt(NUM_CHAINS)).all()
    assert (np.abs(v.std(0) - sd) < 5 * sd / np.sqrt(2 * NUM_CHAINS)).all()


def test_the_law_of_a_draw_does_not_depend_on_the_number_of_chains(getkey):
    """Nothing is divided by a batch: chain i of ten is chain i of ten thousand."""
    params, sampler = (
        draw_case(getkey),
        GibbsLangevin(MODEL, step_size=0.3, num_inner=5),
    )
    v, key = jax.random.normal(getkey(), (1_000, 2)), getkey()

    @jax.jit
    def run(v):
        chains = jboltz.init_chains(sampler, params, v, key)
        return jboltz.run_chains(sampler, params, chains, key, num_steps=3)

    (many, _), (few, metrics) = run(v), run(v[:10])
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x[:10], y, rtol=1e-5, atol=1e-6),
        many,
        few,
    )
    assert metrics["acceptance"].shape == (10, 3)


def test_bad_input_is_told_what_is_needed():
    errors = errors_without_hook(
        "from jboltz import *\n"
        "real = RBM(Gaussian(2), Bernoulli(2))\n"
        "binary = RBM(Bernoulli(2), Bernoulli(2))\n",
        [
            "OverRelaxed(real, decay=1.0)",
            "OverRelaxed(binary)",
            "GibbsLangevin(binary)",
            "GibbsLangevin(real, step_size=0.0)",
            "GibbsLangevin(real, num_inner=0)",
        ],
    )
    words = ["`decay`", "Bernoulli", "Bernoulli", "`step_size`", "`num_inner`"]
    for error, word in zip(errors.values(), words, strict=True):
        assert error.startswith(("InvalidValue", "InvalidType"))
        assert word in error
