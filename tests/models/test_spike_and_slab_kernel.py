"""Block Gibbs leaves the joint of a spike-and-slab RBM as it is."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz import SpikeAndSlab
from jboltz.models.spike_and_slab import SpikeSlab
from jboltz.samplers.gibbs import GibbsState
from tests.helpers import rng_of
from tests.models.spike_and_slab import (
    GRID,
    MODELS,
    SPIKES,
    STEP,
    draw_params,
    each_model,
    index_of,
)

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
    return in_float32(GibbsState(visible=x, hidden=SpikeSlab(spikes=h, slabs=s)))


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
    chains = GibbsState(visible=0 * on, hidden=SpikeSlab(spikes=on, slabs=slabs * on))
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
        return GibbsState(visible=v, hidden=h), {}


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
