"""To a derivative the states of chains are constants, unless a kernel is pathwise."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.base import is_pathwise
from jboltz.samplers.blackjax import to_blackjax
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.gibbs import Gibbs, GibbsState
from jboltz.samplers.langevin import OverRelaxed
from jboltz.samplers.traced_sampler import TracedSampler
from tests.helpers import draw_like

RBM = jboltz.RBM(jboltz.Gaussian(3), jboltz.Bernoulli(2))


def draw_case(getkey, scale=0.7):
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey(), scale)
    return params, draw_like(jax.ShapeDtypeStruct((6, 3), jnp.float32), getkey())


def model_term(sampler, num_steps, params, v, key):
    """As in the README."""
    key_init, key_run = jax.random.split(key)
    chains = init_chains(sampler, params, v, key_init)
    chains, _ = run_chains(sampler, params, chains, key_run, num_steps=num_steps)
    free_energy = jax.vmap(RBM.free_energy, (None, 0))
    return free_energy(params, chains.visible).mean(), chains


@pytest.mark.parametrize("num_steps", [4, jnp.asarray(4)], ids=["int", "array"])
def test_the_negative_phase_is_that_of_the_chains_as_they_are(num_steps, getkey):
    params, v = draw_case(getkey)
    term = jax.jit(partial(model_term, Gibbs(RBM), num_steps))
    gradient, chains = jax.grad(term, has_aux=True)(params, v, getkey())
    states = np.asarray(chains.visible, np.float64)
    # ∂F/∂μ = (μ − v)/σ², and ∂F/∂c = −σ(c + (v/σ²)ᵀ W), in float64 by NumPy.
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    precision = np.exp(-p.visible.log_variance)
    mean = ((p.visible.mean - states) * precision).mean(0)
    inputs = p.hidden.bias + states * precision @ p.weights
    bias = -(1 / (1 + np.exp(-inputs))).mean(0)
    np.testing.assert_allclose(gradient.visible.mean, mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient.hidden.bias, bias, rtol=1e-4)


@pytest.mark.parametrize("sampler", [Gibbs, OverRelaxed])
def test_a_pathwise_gradient_is_that_at_fixed_noise(sampler, getkey, x64):
    """Against a difference quotient of the same draws."""
    params, v = draw_case(getkey)
    params, v = jax.tree.map(lambda x: np.asarray(x, float), (params, v))
    along, key = draw_like(params, getkey()), getkey()
    pathwise = sampler(RBM, is_pathwise=True)
    assert is_pathwise(TracedSampler(pathwise))
    assert not is_pathwise(sampler(RBM))

    @jax.jit
    def along_a_line(step):
        moved = jax.tree.map(lambda x, dx: x + step * dx, params, along)
        return model_term(pathwise, 3, moved, v, key)[0]

    @jax.jit
    def value_and_slope(step):
        return jax.jvp(along_a_line, (step,), (1.0,))

    (above, _), (below, _), (_, slope) = map(value_and_slope, (1e-5, -1e-5, 0.0))
    np.testing.assert_allclose(slope, (above - below) / 2e-5, rtol=1e-6)


@dataclasses.dataclass(frozen=True)
class Autoregressive:
    """A kernel of somebody else's, which holds nothing: x ← ½ x + μ + ε."""

    is_pathwise: bool = False
    model: None = None

    def init(self, params, v, key):
        del params, key
        return GibbsState(visible=v, hidden=())

    def step(self, params, state, key):
        noise = jax.random.normal(key, state.visible.shape)
        v = 0.5 * state.visible + params + noise
        return GibbsState(visible=v, hidden=()), {}


def test_drivers_hold_a_kernel_that_does_not_know_of_derivatives(getkey):
    """After two steps from μ, ∂x/∂μ is ¼ + ½ + 1 for one that wants them. A count of
    steps that is an array could not be differentiated through."""
    key = getkey()

    def end(sampler, mean, num_steps):
        states = GibbsState(visible=mean * jnp.ones((1, 1)), hidden=())
        states, _ = run_chains(sampler, mean, states, key, num_steps=num_steps)
        return states.visible.sum()

    def start(sampler, mean, num_steps):
        del num_steps
        return init_chains(sampler, mean, mean * jnp.ones((1, 1)), key).visible.sum()

    def loop(sampler, mean, num_steps):
        del num_steps
        algorithm = to_blackjax(sampler, mean)
        return algorithm.step(key, algorithm.init(jnp.zeros(1), key))[0].position[0]

    for function, slope in ((start, 1.0), (end, 1.75), (loop, 1.0)):
        gradient = jax.grad(function, argnums=1)
        assert gradient(Autoregressive(), 1.0, jnp.asarray(2)) == 0
        assert gradient(Autoregressive(True), 1.0, 2) == slope


def test_samples_and_their_moments_are_held(getkey):
    params, _ = draw_case(getkey)
    key = getkey()

    def mean(params):
        _, draws, _ = jboltz.sample(RBM, params, key, warm_up=1, num_samples=2)
        _, moments, _ = jboltz.sample_moments(
            RBM, params, key, warm_up=1, num_samples=2
        )
        return draws.sum() + moments.mean.sum()

    gradient = jax.jit(jax.grad(mean))(params)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(gradient))
