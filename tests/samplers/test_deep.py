"""Gibbs on deep machines, and with a part held, leaves its distribution as it is."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.base import EnergyModel
from jboltz.models.dbm import DBM
from jboltz.samplers.chains import run_chains
from jboltz.samplers.gibbs import ClampedGibbs, ClampedState, Gibbs, GibbsState
from tests.helpers import assert_no_drift, draw_like
from tests.models.test_dbm import log_joint

B = jboltz.Bernoulli
TWO = DBM((B(2), B(2), B(1)))
THREE = DBM((B(1), B(2), B(1), B(1)))
NUM_CHAINS = 40_000


def draw_case(model, getkey, scale=1.5):
    return draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale)


def draw_countable_case(dbm, getkey):
    """Parameters as large as leaves the rarest configuration 500 of the chains."""
    params = draw_case(dbm, getkey)
    while NUM_CHAINS * jax.nn.softmax(joint_rows(dbm, params)[1]).min() < 501:
        params = jax.tree.map(lambda x: 0.9 * x, params)
    return params


def joint_rows(dbm, params):
    """Every configuration as one flat row, log p of each, and how to unflatten."""
    v, h, log_p = log_joint(dbm, params)
    blocks = (v, h)
    grid = [
        jax.tree.map(lambda x: jnp.repeat(x, log_p.shape[1], axis=0), v),
        jax.tree.map(lambda x: jnp.tile(x, (log_p.shape[0], 1)), h),
    ]
    rows = jnp.concatenate(jax.tree.leaves(grid), axis=1)
    widths = [x.shape[1] for x in jax.tree.leaves(blocks)]

    def unflatten(rows):
        parts = jnp.split(rows, np.cumsum(widths)[:-1], axis=1)
        return GibbsState(*jax.tree.unflatten(jax.tree.structure(blocks), parts))

    return rows, log_p.ravel(), unflatten


def flatten(chains):
    return jnp.concatenate(jax.tree.leaves((chains.visible, chains.hidden)), axis=1)


def assert_stays(sampler, params, key, *, first_pixel_held=False):
    rows, log_p, unflatten = joint_rows(sampler.model, params)
    if first_pixel_held:
        rows, log_p = rows[rows[:, 0] == 1], log_p[rows[:, 0] == 1]

    def kernel(rows, key, num_steps):
        states = unflatten(rows)
        if first_pixel_held:
            clamp = jax.tree.map(lambda x: jnp.zeros(x.shape, bool), states.visible)
            clamp = (clamp[0].at[:, 0].set(True), *clamp[1:])
            states = ClampedState(states.visible, states.hidden, clamp)
        steps = jnp.asarray(num_steps)
        return flatten(run_chains(sampler, params, states, key, num_steps=steps)[0])

    assert_no_drift(kernel, rows, log_p, key, num_chains=NUM_CHAINS)


def test_gibbs_leaves_the_joint_of_all_layers_as_it_is(getkey):
    assert_stays(Gibbs(THREE), draw_countable_case(THREE, getkey), getkey())


@dataclasses.dataclass(frozen=True)
class AllLayersAtOnce:
    """Each block from the other as it was: the kernel of several libraries."""

    model: EnergyModel

    def init(self, params, v, key):
        return Gibbs(self.model).init(params, v, key)

    def step(self, params, state, key):
        key_v, key_h = jax.random.split(key)
        v = self.model.sample_visible(params, state.hidden, key_v)
        h = self.model.sample_hidden(params, state.visible, key_h)
        return GibbsState(v, h), {}


def test_all_layers_at_once_drift(getkey):
    params = draw_countable_case(TWO, getkey)
    with pytest.raises(AssertionError, match="drift after"):
        assert_stays(AllLayersAtOnce(TWO), params, getkey())


# With a part held: the conditional distribution of the rest.


@partial(jax.jit, static_argnums=(0, 5))
def complete(sampler, params, v, clamp, key, num_chains):
    key_init, key_run = jax.random.split(key)
    start = partial(sampler.init, clamp=clamp)
    keys = jax.random.split(key_init, num_chains)
    states = jax.vmap(start, in_axes=(None, None, 0))(params, v, keys)
    return run_chains(sampler, params, states, key_run, num_steps=60)[0]


def test_held_layers_stay_and_the_rest_follows_its_conditional(getkey):
    """The top layer and one pixel given: completions are distributed as enumerated."""
    params, (chains, first) = draw_case(TWO, getkey, scale=1.0), (20_000, 1.0)
    v = (jnp.asarray([first, 0.0]), jnp.asarray([1.0]))
    clamp = (jnp.asarray([True, False]), True)
    ends = complete(ClampedGibbs(TWO), params, v, clamp, getkey(), chains)
    assert (ends.visible[0][:, 0] == first).all()
    assert (ends.visible[1] == 1).all()
    rows, log_p, _ = joint_rows(TWO, params)
    held = (rows[:, 0] == first) & (rows[:, 2] == 1)
    p = np.asarray(jax.nn.softmax(jnp.where(held, log_p, -jnp.inf)), np.float64)
    counts = (flatten(ends)[:, None] == rows[None]).all(2).sum(0)
    sd = np.sqrt(chains * p * (1 - p)) + 1e-9
    assert np.max(np.abs(counts - chains * p) / sd) < 5


def test_nothing_held_is_gibbs(getkey):
    """The same draws from the same keys."""
    model = jboltz.RBM(B(3), B(2))
    params = draw_case(model, getkey)
    v, key = jnp.asarray([1.0, 0.0, 1.0]), getkey()
    free, held = Gibbs(model), ClampedGibbs(model)
    state, other = free.init(params, v, key), held.init(params, v, key)
    for _ in range(3):
        state, other = (
            free.step(params, state, key)[0],
            held.step(params, other, key)[0],
        )
    np.testing.assert_array_equal(state.visible, other.visible)
    np.testing.assert_array_equal(state.hidden, other.hidden)


def test_everything_held_samples_the_hidden_units_alone(getkey):
    model = jboltz.RBM(B(3), B(2))
    params, v = draw_case(model, getkey), jnp.asarray([1.0, 0.0, 1.0])
    ends = complete(ClampedGibbs(model), params, v, True, getkey(), 5)
    np.testing.assert_array_equal(ends.visible, jnp.tile(v, (5, 1)))
