"""Tempering leaves the joint of all replicas as it is, swaps as its formula says, and
reaches modes that Gibbs does not leave."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.base import Sampler
from jboltz.models.annealed import Annealed
from jboltz.samplers.gibbs import GibbsState
from jboltz.samplers.ladders import (
    stack_params,
    with_ladder,
)
from jboltz.samplers.tempering import (
    ParallelTempering,
    TrajectoryTempering,
    _swap,
)
from jboltz.units.bernoulli import BernoulliParams
from tests.helpers import (
    binary_states,
    draw_like,
    rng_of,
    standard_errors,
)
from tests.samplers.test_stationarity import assert_multinomial, normalize

MODEL = jboltz.RBM(jboltz.Bernoulli(2), jboltz.Bernoulli(1))
V, H = binary_states(2), binary_states(1)
NUM_REPLICAS = 3  # the fewest with swaps of both kinds
# All states of three replicas, as indices into V and H: (64, 3) and (8, 3).
ALL_V = np.array(list(itertools.product(range(len(V)), repeat=NUM_REPLICAS)))
ALL_H = np.array(list(itertools.product(range(len(H)), repeat=NUM_REPLICAS)))


# Of a case: the sampler, its params, E(v, h) of each replica at all states, and what
# gives chains their ladder.


def trajectory_case(getkey):
    shapes = jax.eval_shape(MODEL.init, getkey())
    checkpoints = [draw_like(shapes, getkey(), s) for s in (0.3, 0.8, 1.3)]
    of_states = jax.vmap(jax.vmap(MODEL.energy, (None, None, 0)), (None, 0, None))
    energies = [np.asarray(of_states(p, V, H), np.float64) for p in checkpoints]
    return TrajectoryTempering(MODEL), stack_params(checkpoints), energies, as_it_is


def parallel_case(getkey):
    """Between a base that is not uniform and the model, by the energies themselves."""
    sampler = ParallelTempering(Annealed(MODEL), NUM_REPLICAS)
    params = draw_like(jax.eval_shape(MODEL.init, getkey()), getkey(), 1.3)
    b, c = np.array([0.8, -0.4]), np.array([0.6])
    beta = np.array([0, 0.35, 1])
    of_states = jax.vmap(jax.vmap(MODEL.energy, (None, None, 0)), (None, 0, None))
    own = np.asarray(of_states(params, V, H), np.float64)
    base = -(np.asarray(V) @ b)[:, None] - (np.asarray(H) @ c)[None]
    units = [BernoulliParams(bias=jnp.asarray(x, jnp.float32)) for x in (b, c)]
    return (
        sampler,
        params,
        [(1 - t) * base + t * own for t in beta],
        partial(with_ladder, base=tuple(units), beta=beta),
    )


def as_it_is(chains):
    return chains


CASES = {"trajectory": trajectory_case, "parallel": parallel_case}
each_case = pytest.mark.parametrize("case", CASES)


@partial(jax.jit, static_argnames=("sampler", "num_steps"))
def advance(sampler, params, chains, key, num_steps=1):
    return jboltz.run_chains(sampler, params, chains, key, num_steps=num_steps)


@partial(jax.jit, static_argnums=0)
def chains_at(sampler, params, v, key):
    return jboltz.init_chains(sampler, params, v, key)


def with_replicas(chains, v, h):
    """The chains moved to v and h, (chains, replicas, …)."""
    return chains.replace(
        visible=v[:, -1],
        hidden=h[:, -1],
        replicas=GibbsState(visible=v[:, :-1], hidden=h[:, :-1]),
    )


def replicas_of(chains):
    """v and h of all replicas, as indices into V and H, (chains, replicas)."""
    parts = (
        (chains.replicas.visible, chains.visible, V),
        (chains.replicas.hidden, chains.hidden, H),
    )
    for others, target, states in parts:
        x = np.concatenate([others, np.asarray(target)[:, None]], axis=1)
        yield (x[:, :, None] == np.asarray(states)).all(-1).argmax(-1)


def product(factors, states):
    """Π_r factors[r][states[:, r]]."""
    return np.prod([f[states[:, r]] for r, f in enumerate(factors)], axis=0)


def swap_matrix(free_energies, first):
    """Transitions among ALL_V of the swaps of (first, first + 1), …, in NumPy."""
    index = {tuple(x): i for i, x in enumerate(ALL_V)}
    matrix = np.eye(len(ALL_V))
    for a in range(first, NUM_REPLICAS - 1, 2):
        b, swap = a + 1, np.zeros_like(matrix)
        F_a, F_b = free_energies[a], free_energies[b]
        for i, x in enumerate(ALL_V):
            y = x.copy()
            y[a], y[b] = x[b], x[a]
            ratio = np.exp(F_a[x[a]] + F_b[x[b]] - F_a[x[b]] - F_b[x[a]])
            swap[i, index[tuple(y)]] += min(1, ratio)
            swap[i, i] += 1 - min(1, ratio)
        matrix = matrix @ swap
    return matrix


def marginals(energies):
    """Of each replica: p(v), p(v | h) as (h, v), p(h | v) as (v, h), and F(v)."""
    joint = [np.exp(-e) / np.exp(-e).sum() for e in energies]
    visible = [p.sum(1) for p in joint]
    return (
        visible,
        [(p / p.sum(0)).T for p in joint],
        [p / p.sum(1, keepdims=True) for p in joint],
        [-np.logaddexp.reduce(-e, axis=1) for e in energies],
    )


@each_case
def test_one_step_follows_the_enumerated_transitions(case, getkey):
    """From every h of all replicas: v given h, both rounds of swaps, h given v."""
    sampler, params, energies, on_ladder = CASES[case](getkey)
    assert isinstance(sampler, Sampler)
    p_v, v_given, h_given, free_energies = marginals(energies)
    gibbs = np.stack(
        [product([f[x[r]] for r, f in enumerate(v_given)], ALL_V) for x in ALL_H]
    )
    even, odd = (swap_matrix(free_energies, first) for first in (0, 1))
    # The reference leaves the product of all replicas' p(v) as it is.
    stationary = product(p_v, ALL_V)
    np.testing.assert_allclose(stationary @ even @ odd, stationary, rtol=1e-6)

    repeats = 10_000
    start = np.repeat(ALL_H, repeats, axis=0)
    chains = chains_at(sampler, params, jnp.tile(V[0], (len(start), 1)), getkey())
    v = jnp.zeros((*start.shape, 2))
    chains = on_ladder(with_replicas(chains, v, H[start]))
    chains, metrics = advance(sampler, params, chains, getkey())
    v, h = replicas_of(chains)

    flat = np.ravel_multi_index(v.T, [len(V)] * NUM_REPLICAS).reshape(-1, repeats)
    counts = np.stack([np.bincount(row, minlength=len(ALL_V)) for row in flat])
    after = gibbs @ even @ odd
    assert_multinomial(counts, after)
    for r in range(NUM_REPLICAS):
        pairs = np.bincount(v[:, r] * len(H) + h[:, r], minlength=len(V) * len(H))
        p = np.bincount(ALL_V[:, r], weights=after.mean(0))[:, None] * h_given[r]
        assert_multinomial(pairs[None], p.reshape(1, -1))

    # The metric is the probability of a swap, here from the first start.
    acceptance = np.asarray(metrics["acceptance"])[:repeats, 0]
    for pair, before in enumerate((gibbs[0], gibbs[0] @ even)):
        a, b = ALL_V[:, pair], ALL_V[:, pair + 1]
        F_a, F_b = free_energies[pair], free_energies[pair + 1]
        rate = np.exp(np.minimum(F_a[a] + F_b[b] - F_a[b] - F_b[a], 0))
        mean = before @ rate
        error = np.sqrt((before @ rate**2 - mean**2) / repeats)
        assert abs(acceptance[:, pair].mean() - mean) < 5 * error + 1e-6


def assert_replicas_stay(case, getkey):
    """Replicas that are drawn from their models."""
    sampler, params, energies, on_ladder = CASES[case](getkey)
    p_v, _, h_given, _ = marginals(energies)
    rng, num_chains = rng_of(getkey()), 40_000
    v = np.stack([rng.choice(len(V), num_chains, p=p) for p in p_v], axis=1)
    # Two hidden states: 1 with probability p(1 | v).
    odds = np.stack([f[v[:, r], 1] for r, f in enumerate(h_given)], axis=1)
    h = (rng.uniform(size=v.shape) < odds).astype(int)
    chains = chains_at(sampler, params, V[v[:, -1]], getkey())
    chains = on_ladder(with_replicas(chains, V[v], H[h]))
    expected = product(p_v, ALL_V)[None]
    chains, _ = advance(sampler, params, chains, getkey(), 3)
    flat = np.ravel_multi_index(next(replicas_of(chains)).T, [len(V)] * NUM_REPLICAS)
    assert_multinomial(np.bincount(flat, minlength=len(ALL_V))[None], expected)


# Two modes: all visible units off and the hidden unit off, or all on. From either one
# the other has a probability of e^-20 a sweep.

TWO_MODES = jboltz.RBM(jboltz.Bernoulli(8), jboltz.Bernoulli(1))
NUM_CHAINS = 500


def two_modes(share=0.3):
    """Params with p(h = 1) = `share`."""
    bias = -5.0
    # Σ [softplus(b + w) − softplus(b)] with w = −2b is the sum of −b.
    odds = np.log(share / (1 - share)) + 8 * bias
    return jboltz.RBMParams(
        visible=BernoulliParams(bias=jnp.full(8, bias)),
        hidden=BernoulliParams(bias=jnp.full(1, odds, jnp.float32)),
        weights=jnp.full((8, 1), -2 * bias),
    )


def share_on(chains):
    return np.mean(np.asarray(chains.hidden))


def scaled(params, factors):
    return stack_params([jax.tree.map(lambda x, t=t: t * x, params) for t in factors])


@pytest.mark.parametrize("name", ["trajectory", "parallel"])
def test_both_modes_get_their_weight(name, getkey):
    """Chains are independent, so that their count in a mode is binomial."""
    if name == "trajectory":
        sampler = TrajectoryTempering(TWO_MODES)
        params = scaled(two_modes(), np.linspace(0, 1, 8))
    else:
        sampler, params = ParallelTempering(Annealed(TWO_MODES), 8), two_modes()
    v = jnp.zeros((NUM_CHAINS, 8))
    chains = chains_at(sampler, params, v, getkey())
    chains, metrics = advance(sampler, params, chains, getkey(), 200)
    assert_share(chains, 0.3)
    assert np.asarray(metrics["round_trips"]).sum(1).mean() > 3


def assert_share(chains, share):
    error = np.sqrt(share * (1 - share) / NUM_CHAINS)
    assert abs(share_on(chains) - share) < 5 * error


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_gibbs_stays_in_its_mode(start, getkey):
    sampler, params = jboltz.Gibbs(TWO_MODES), two_modes()
    chains = chains_at(sampler, params, jnp.full((NUM_CHAINS, 8), start), getkey())
    chains, _ = advance(sampler, params, chains, getkey(), 200)
    assert share_on(chains) == start


def test_parallel_tempering_drives_pcd_between_modes(getkey):
    """The gradient of PCD is that of the likelihood; with Gibbs it is of one mode."""
    params, data = two_modes(), jnp.asarray([[0.0] * 8, [1.0] * 8])
    states = binary_states(8)

    def negative_log_likelihood(params):
        free_energy = jax.vmap(TWO_MODES.free_energy, (None, 0))
        log_partition = jax.nn.logsumexp(-free_energy(params, states))
        return free_energy(params, data).mean() + log_partition

    exact = np.asarray(jax.grad(negative_log_likelihood)(params).weights)

    @partial(jax.jit, static_argnums=0)
    @partial(jax.vmap, in_axes=(None, 0))
    def gradient(sampler, key):
        estimator = jboltz.PersistentContrastiveDivergence(
            TWO_MODES, sampler, num_chains=10, num_steps=150
        )
        key_init, key = jax.random.split(key)
        state = estimator.init(params, key_init)
        batch = jboltz.Batch(values=data)
        return estimator.estimate(params, state, batch, key)[0].weights

    keys = jax.random.split(getkey(), 50)
    tempered = np.asarray(gradient(ParallelTempering(Annealed(TWO_MODES), 8), keys))
    assert standard_errors(tempered, exact).max() < 5
    plain = np.asarray(gradient(jboltz.Gibbs(TWO_MODES), keys))
    # All its chains start and stay in one mode, so that it has no spread of its own.
    error = tempered.std(0) / np.sqrt(len(keys))
    assert (np.abs(plain.mean(0) - exact) / error).min() > 10


def test_training_with_parallel_tempering_learns_both_modes(getkey):
    """Through `fit`, with the chains and their ladder in its state."""
    rbm = jboltz.RBM(jboltz.Bernoulli(4), jboltz.Bernoulli(2))
    sampler = ParallelTempering(Annealed(rbm), 4)
    estimator = jboltz.PersistentContrastiveDivergence(rbm, sampler, num_chains=30)
    data = np.tile([[1.0, 1, 0, 0], [0, 0, 1, 1]], (100, 1)).astype(np.float32)
    params = draw_like(jax.eval_shape(rbm.init, getkey()), getkey(), 0.1)
    init = jax.jit(jboltz.init_train_state, static_argnums=(1, 2))
    state = init(params, estimator, optax.sgd(0.3), getkey())
    step = jboltz.make_train_step(estimator, optax.sgd(0.3))
    state, _ = jboltz.fit(step, state, data, getkey(), batch_size=2, num_epochs=3)
    free_energies = jax.vmap(rbm.free_energy, (None, 0))(state.params, binary_states(4))
    p = normalize(-np.asarray(free_energies))
    # 1100 and 0011; at the start they have 1/16 each.
    assert min(p[0b1100], p[0b0011]) > 0.25
    beta = state.estimator_state.ladder.beta
    np.testing.assert_allclose(beta[7], np.arange(4) / 3, rtol=1e-6)


def test_a_step_needs_the_products_of_a_sweep(getkey):
    """What a state sends to the hidden units serves its swaps and the next draw."""
    model = jboltz.RBM(jboltz.Bernoulli(1200), jboltz.Bernoulli(800))
    sampler, num_chains = ParallelTempering(Annealed(model), 4), 5
    params = model.init(getkey())
    chains = chains_at(sampler, params, jnp.zeros((num_chains, 1200)), getkey())
    compiled = advance.lower(sampler, params, chains, getkey()).compile()
    products = compiled.cost_analysis()["flops"] / (2 * num_chains * 4 * 1200 * 800)
    # Sums, the uniforms above all, are less than half a product.
    assert 2 <= products < 2.6


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rare_swaps_are_as_rare_in_half_precision(dtype, getkey):
    """With probability e⁻⁹, of which uniforms of the type itself know nothing."""
    order, own, count = (jnp.arange(2),) * 2, jnp.zeros(2, dtype), 500_000

    @jax.jit
    @jax.vmap
    def is_swapped(key):
        (states, _), _, _ = _swap(lambda _: own + 4.5, order, own, 0, key)
        return states[0] == 1

    swaps = int(jnp.sum(is_swapped(jax.random.split(getkey(), count))))
    expected = count * np.exp(-9.0)
    assert abs(swaps - expected) < 5 * np.sqrt(expected)
