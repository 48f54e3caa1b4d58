"""Gibbs leaves p(v, h) invariant and moves as its conditionals say.

Two questions, because one alone can be passed by a wrong kernel: chains that are drawn
exactly from p stay at p (so does a kernel that does nothing), and single steps follow
the transition probabilities of the enumerated joint.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jboltz.base import EnergyModel, Sampler
from jboltz.models.rbm import RBM
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.gibbs import Gibbs, GibbsState
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.gaussian import Gaussian
from tests.helpers import (
    assert_no_drift,
    draw_like,
    rng_of,
    rows_of,
    states_of,
    zeros_of,
)
from tests.units.cases import ENUMERABLE_PAIRS, PAIRS, is_enumerable, pair_name


def draw_case(pair, getkey, scale=0.3):
    """The weights are small enough for two real layers to have a joint density."""
    model = RBM(*pair)
    shapes = jax.eval_shape(model.init, getkey())
    return model, draw_like(shapes, getkey(), scale)


# Kernels that are wrong, each in one way.


@dataclasses.dataclass(frozen=True)
class ForgetsTheHiddenBias:
    model: EnergyModel

    def init(self, params, v, key):
        return Gibbs(self.model).init(params, v, key)

    def step(self, params, state, key):
        no_bias = jax.tree.map(jnp.zeros_like, params.hidden)
        return Gibbs(self.model).step(params.replace(hidden=no_bias), state, key)


@dataclasses.dataclass(frozen=True)
class UsesOneKeyTwice:
    model: EnergyModel

    def init(self, params, v, key):
        return Gibbs(self.model).init(params, v, key)

    def step(self, params, state, key):
        v = self.model.sample_visible(params, state.hidden, key)
        h = self.model.sample_hidden(params, v, key)
        return GibbsState(visible=v, hidden=h), {}


@dataclasses.dataclass(frozen=True)
class TransposesTheWeights:
    model: EnergyModel

    def init(self, params, v, key):
        return Gibbs(self.model).init(params, v, key)

    def step(self, params, state, key):
        weights = params.weights.T
        return Gibbs(self.model).step(params.replace(weights=weights), state, key)


@dataclasses.dataclass(frozen=True)
class StaysWhereItIs:
    model: EnergyModel

    def init(self, params, v, key):
        return Gibbs(self.model).init(params, v, key)

    def step(self, params, state, key):
        del params, key
        return state, {}


# Every length of run is traced, so that one program per sampler serves all of them.


def advance(sampler, params, chains, key, num_steps):
    num_steps = jnp.asarray(num_steps)
    return run_chains(sampler, params, chains, key, num_steps=num_steps)[0]


# Enumerable pairs: every state of the joint is counted.


@partial(jax.jit, static_argnums=0)
def energies(model, params, v, h):
    energy = jax.vmap(model.energy, in_axes=(None, None, 0))
    return jax.vmap(energy, in_axes=(None, 0, None))(params, v, h)


def joint_states(model, params):
    """All (v, h) as flat rows, and p of each, (len(v), len(h))."""
    v, h = (states_of(unit)[0] for unit in (model.visible, model.hidden))
    flat_v, flat_h = np.asarray(rows_of(v)), np.asarray(rows_of(h))
    rows = [np.repeat(flat_v, len(flat_h), axis=0), np.tile(flat_h, (len(flat_v), 1))]
    p = np.exp(-np.asarray(energies(model, params, v, h), np.float64))
    return np.concatenate(rows, axis=1), p / p.sum()


def flatten(chains):
    return rows_of((chains.visible, chains.hidden))


def unflatten(model, rows):
    zeros = zeros_of(model.visible.shape), zeros_of(model.hidden.shape)
    visible, hidden = jax.vmap(ravel_pytree(zeros)[1])(rows)
    return GibbsState(visible=visible, hidden=hidden)


def draw_countable_case(pair, getkey):
    """Parameters as large as leaves the rarest state 500 of `enough_chains`."""
    model, params = draw_case(pair, getkey, scale=1.5)
    while enough_chains(p := joint_states(model, params)[1]) * p.min() < 501:
        params = jax.tree.map(lambda x: 0.9 * x, params)
    return model, params


def enough_chains(p):
    """Three times what would do if all states were alike."""
    return 1_500 * p.size


def assert_stays_at_p(sampler, params, key):
    states, p = joint_states(sampler.model, params)

    def kernel(rows, key, num_steps):
        chains = unflatten(sampler.model, rows)
        return flatten(advance(sampler, params, chains, key, num_steps))

    log_p = jnp.log(jnp.ravel(jnp.asarray(p)))
    num_chains = enough_chains(p)
    assert_no_drift(kernel, jnp.asarray(states), log_p, key, num_chains=num_chains)


def assert_steps_as_enumerated(sampler, params, key):
    """One step from each v (h drawn given v): v′ follows T(v′ | v), and h′ p(h′ | v′).

    T(v′ | v) = Σ_h p(h | v) p(v′ | h), from the energies of the joint alone.
    """
    states, p = joint_states(sampler.model, params)
    hidden_given, visible_given = p / p.sum(1, keepdims=True), p / p.sum(0)
    key_init, key_run = jax.random.split(key)
    v = states_of(sampler.model.visible)[0]
    repeats = enough_chains(p) // len(p)
    starts = jax.tree.map(lambda x: jnp.repeat(x, repeats, axis=0), v)
    chains = jax.jit(init_chains, static_argnums=0)(sampler, params, starts, key_init)
    ends = np.asarray(flatten(advance(sampler, params, chains, key_run, 1)))
    ends = (ends[:, None] == states).all(axis=-1)  # one-hot over (v′, h′)
    counts = ends.reshape(len(p), -1, *p.shape).sum(axis=1)
    assert_multinomial(counts.sum(axis=2), hidden_given @ visible_given.T)
    assert_multinomial(counts.sum(axis=0), hidden_given)


def assert_multinomial(counts, p):
    """Each row of counts is binomial in every state; the states too rare for the
    normal band are counted together."""
    for observed, expected in zip(
        counts, counts.sum(1, keepdims=True) * p, strict=True
    ):
        total, rare = observed.sum(), expected < 500
        expected = np.append(expected[~rare], expected[rare].sum())
        observed = np.append(observed[~rare], observed[rare].sum())
        if expected[-1] < 500:  # too rare even together: the others fix their count
            expected, observed = expected[:-1], observed[:-1]
        assert len(expected) > 1, "too few chains to tell two states apart"
        z = (observed - expected) / np.sqrt(expected * (1 - expected / total))
        worst = np.abs(z).max()
        assert worst < 5, f"wrong transition: max |z| = {worst:.1f}"


@pytest.mark.parametrize("pair", ENUMERABLE_PAIRS, ids=pair_name)
def test_gibbs_leaves_every_state_as_frequent_as_it_is(pair, getkey):
    model, params = draw_countable_case(pair, getkey)
    assert isinstance(Gibbs(model), Sampler)
    assert_stays_at_p(Gibbs(model), params, getkey())


@pytest.mark.parametrize("pair", ENUMERABLE_PAIRS, ids=pair_name)
def test_one_step_of_gibbs_follows_the_enumerated_transitions(pair, getkey):
    model, params = draw_countable_case(pair, getkey)
    assert_steps_as_enumerated(Gibbs(model), params, getkey())


WRONG = [ForgetsTheHiddenBias, UsesOneKeyTwice, TransposesTheWeights]
BINARY = (Bernoulli(2), Bernoulli(2))


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_kernel_drifts(wrong, getkey):
    model, params = draw_countable_case(BINARY, getkey)
    with pytest.raises(AssertionError, match="drift after"):
        assert_stays_at_p(wrong(model), params, getkey())


@pytest.mark.parametrize("wrong", [*WRONG, StaysWhereItIs])
def test_a_wrong_kernel_has_wrong_transitions(wrong, getkey):
    model, params = draw_countable_case(BINARY, getkey)
    with pytest.raises(AssertionError, match="wrong transition"):
        assert_steps_as_enumerated(wrong(model), params, getkey())


# Pairs with a real layer: first and second moments of both activities, and between
# them, with means and variances from a quadrature.

NUM_CHAINS = 20_000


def draw_exactly(model, params, key):
    """Chains from p(v, h): a layer that can be enumerated by its marginal, else v from
    the normal density that two Gaussian layers have; the other layer given it."""
    rng = rng_of(key)
    if is_enumerable(model.hidden):
        h, p = marginal(model, params, "hidden")
        h = take(h, rng.choice(len(p), NUM_CHAINS, p=p))
        return GibbsState(
            visible=draw_given(model, "sample_visible", params, h, key), hidden=h
        )
    if is_enumerable(model.visible):
        v, p = marginal(model, params, "visible")
        v = take(v, rng.choice(len(p), NUM_CHAINS, p=p))
    else:
        assert can_draw_exactly((model.visible, model.hidden))
        origin = jnp.zeros(model.visible.shape)
        slope = jax.jit(jax.grad(model.free_energy, argnums=1))(params, origin)
        precision = jax.jit(jax.hessian(model.free_energy, argnums=1))(params, origin)
        covariance = np.linalg.inv(np.asarray(precision, np.float64))
        draws = rng.multivariate_normal(-covariance @ slope, covariance, NUM_CHAINS)
        v = jnp.asarray(draws, slope.dtype)
    return GibbsState(
        visible=v, hidden=draw_given(model, "sample_hidden", params, v, key)
    )


@partial(jax.jit, static_argnums=(0, 1))
def draw_given(model, name, params, states, key):
    keys = jax.random.split(key, len(rows_of(states)))
    return jax.vmap(getattr(model, name), (None, 0, 0))(params, states, keys)


def marginal(model, params, side):
    """All states of a layer, or the nodes of a quadrature, and p of each."""
    states, log_weights = states_of(getattr(model, side))
    return states, normalize(log_weights - free_energies(model, side, params, states))


@partial(jax.jit, static_argnums=(0, 1))
def free_energies(model, side, params, states):
    name = {"visible": "free_energy", "hidden": "hidden_free_energy"}[side]
    return jax.vmap(getattr(model, name), (None, 0))(params, states)


@partial(jax.jit, static_argnums=0)
def terms(model, params, v):
    """Of each v: a_v, and E[a_h | v] and E[a_h² | v] from Γ′ and Γ″, which the
    conformance suite has checked."""

    def of_one(v):
        inputs = model.hidden_inputs(params, v)
        gamma = partial(model.hidden.log_normalizer, params.hidden)
        mean, variance = jax.grad(gamma)(inputs), jnp.diag(jax.hessian(gamma)(inputs))
        activity = model.visible.activity(params.visible, v)
        return activity, mean, variance + mean**2

    return jax.vmap(of_one)(v)


@partial(jax.jit, static_argnums=0)
def activities(model, params, chains):
    a_v = jax.vmap(model.visible.activity, (None, 0))(params.visible, chains.visible)
    a_h = jax.vmap(model.hidden.activity, (None, 0))(params.hidden, chains.hidden)
    return a_v, a_h


def normalize(log_p):
    log_p = np.asarray(log_p, np.float64)
    return np.exp(log_p - np.logaddexp.reduce(log_p))


def products(a):
    """aᵢ and aᵢaⱼ for i ≤ j, of each row."""
    i, j = np.triu_indices(a.shape[1])
    return np.concatenate([a, a[:, i] * a[:, j]], axis=1)


def outer(a, b):
    """aᵢbⱼ of each row."""
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)


def exact_moments(model, params):
    """Mean and variance of `products` of a_v, of a_v a_hᵀ and of `products` of a_h."""
    v, p = marginal(model, params, "visible")
    h, p_h = marginal(model, params, "hidden")
    a_v, mean, square = map(np.asarray, terms(model, params, v))
    a_h = np.asarray(jax.vmap(model.hidden.activity, (None, 0))(params.hidden, h))
    first = p @ products(a_v), p @ outer(a_v, mean), p_h @ products(a_h)
    second = p @ products(a_v) ** 2, p @ outer(a_v**2, square), p_h @ products(a_h) ** 2
    first, second = np.concatenate(first), np.concatenate(second)
    return first, second - first**2


def worst_z(got, mean, variance):
    """Largest |z| of the means of `got`, which may not stray where there is no spread:
    the square of a spin is 1."""
    error = np.sqrt(np.maximum(variance, 0) / NUM_CHAINS)
    return np.abs((got.mean(0, np.float64) - mean) / (error + 1e-6)).max()


def assert_moments_stay(sampler, params, key):
    model = sampler.model
    mean, variance = exact_moments(model, params)
    key, key_draw = jax.random.split(key)
    chains = draw_exactly(model, params, key_draw)
    for num_steps in (0, 1, 4, 16):
        key, key_run = jax.random.split(key)
        chains = advance(sampler, params, chains, key_run, num_steps)
        a_v, a_h = map(np.asarray, activities(model, params, chains))
        got = np.concatenate([products(a_v), outer(a_v, a_h), products(a_h)], axis=1)
        worst = worst_z(got, mean, variance)
        assert worst < 5, f"drift after {num_steps} steps: max |z| = {worst:.1f}"


def nearest(states, x):
    """The state (a node, where states are real) whose components are nearest to x."""
    return take(states, np.abs(np.asarray(rows_of(states)) - x).sum(axis=1).argmin())


def take(states, index):
    return jax.tree.map(lambda x: x[index], states)


def assert_steps_as_integrated(sampler, params, key):
    """One step from a point: v′ has the moments of p(v | h), h′ those given that."""
    model = sampler.model
    v, log_v = states_of(model.visible)
    h = states_of(model.hidden)[0]
    start = GibbsState(visible=nearest(v, 0.2), hidden=nearest(h, 0.7))
    h = jax.tree.map(lambda x: x[None], start.hidden)
    log_p = log_v - energies(model, params, v, h)[:, 0]
    p, (a_v, mean, square) = normalize(log_p), map(np.asarray, terms(model, params, v))
    first = p @ products(a_v), p @ outer(a_v, mean), p @ mean
    second = p @ products(a_v) ** 2, p @ outer(a_v**2, square), p @ square
    first, second = np.concatenate(first), np.concatenate(second)

    chains = jax.tree.map(lambda x: jnp.repeat(x[None], NUM_CHAINS, axis=0), start)
    ends = advance(sampler, params, chains, key, 1)
    a_v, a_h = map(np.asarray, activities(model, params, ends))
    got = np.concatenate([products(a_v), outer(a_v, a_h), a_h], axis=1)
    worst = worst_z(got, first, second - first**2)
    assert worst < 5, f"wrong transition: max |z| = {worst:.1f}"


REAL_PAIRS = [pair for pair in PAIRS if pair not in ENUMERABLE_PAIRS]
MIXED = (Gaussian(2), Bernoulli(2))


def can_draw_exactly(pair):
    return any(map(is_enumerable, pair)) or all(
        isinstance(unit, Gaussian) for unit in pair
    )


# What two real layers other than Gaussian have as a joint, no formula draws exactly:
# their conditionals and single steps are tested alone. So is the other order of a
# discrete and a real layer but for the first of them, for the time that this takes.
STARTS = [pair for pair in REAL_PAIRS if can_draw_exactly(pair)]
STARTS = [pair for pair in STARTS if not is_enumerable(pair[0]) or pair == STARTS[1]]


@pytest.mark.parametrize("pair", STARTS, ids=pair_name)
def test_gibbs_leaves_the_moments_of_real_layers_as_they_are(pair, getkey):
    model, params = draw_case(pair, getkey)
    assert_moments_stay(Gibbs(model), params, getkey())


@pytest.mark.parametrize("pair", REAL_PAIRS, ids=pair_name)
def test_one_step_of_gibbs_follows_the_integrated_transitions(pair, getkey):
    model, params = draw_case(pair, getkey)
    assert_steps_as_integrated(Gibbs(model), params, getkey())


@pytest.mark.parametrize("wrong", WRONG[:2])
def test_a_wrong_kernel_moves_the_moments(wrong, getkey):
    model, params = draw_case(MIXED, getkey, scale=0.6)
    with pytest.raises(AssertionError, match=r"drift after [1-9]"):
        assert_moments_stay(wrong(model), params, getkey())


@pytest.mark.parametrize("wrong", [*WRONG[:2], StaysWhereItIs])
def test_a_wrong_kernel_has_wrong_moments_after_a_step(wrong, getkey):
    model, params = draw_case(MIXED, getkey, scale=0.6)
    with pytest.raises(AssertionError, match="wrong transition"):
        assert_steps_as_integrated(wrong(model), params, getkey())
