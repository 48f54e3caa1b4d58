"""Every sampler keeps the contract: what it is, what it draws, what it leaves alone."""

import copy
import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz import random
from jboltz.base import Sampler
from jboltz.samplers.langevin import GibbsLangevin, OverRelaxed
from jboltz.samplers.recognition import ClampedRecognition
from jboltz.samplers.tempering import ParallelTempering, TrajectoryTempering
from jboltz.samplers.traced_sampler import TracedSampler
from tests.helpers import classes_with, draw_like
from tests.samplers import (
    test_deep,
    test_langevin,
    test_recognition,
    test_stationarity,
    test_tempering,
)
from tests.samplers.cases import NUM_VISIBLE, SAMPLERS, draw_params

each_sampler = pytest.mark.parametrize("name", SAMPLERS)
NUM_CHAINS = 3


def test_every_sampler_is_in_the_cases():
    types = classes_with("step")
    assert {jboltz.Gibbs, jboltz.ClampedGibbs} <= types
    assert types == {type(sampler) for sampler in SAMPLERS.values()}


@each_sampler
def test_it_is_a_spec_that_names_its_model(name):
    sampler = SAMPLERS[name]
    assert isinstance(sampler, Sampler)
    again = copy.deepcopy(sampler)
    assert again == sampler
    assert hash(again) == hash(sampler)
    assert isinstance(sampler.model, jboltz.EnergyModel | jboltz.DBN)


@partial(jax.jit, static_argnums=0)
def everything(sampler, params, v, key):
    """Of each chain its start, one step of the sampler itself, no driver that holds
    what it does not, and the metrics; and the derivatives of the states."""

    def one(params, v, key):
        key_init, key_step = jax.random.split(key)
        start = sampler.init(params, v, key_init)
        return start, *sampler.step(params, start, key_step)

    def total(params, v):
        keys = random.fold_in_rows(key, v)
        found = jax.vmap(one, in_axes=(None, 0, 0))(params, v, keys)
        return sum(jnp.sum(x.astype(float)) for x in jax.tree.leaves(found[:2])), found

    gradient, found = jax.grad(total, argnums=(0, 1), has_aux=True)(params, v)
    return found, gradient


@each_sampler
def test_a_chain_depends_on_its_start_and_key_alone(name, getkey):
    """And to a derivative it is a constant, so a loop of one's own has none either."""
    sampler = SAMPLERS[name]
    params, key = draw_params(sampler, getkey), getkey()
    v = draw_like(jax.ShapeDtypeStruct((3, NUM_VISIBLE), jnp.float32), getkey())
    found, gradient = everything(sampler, params, v, key)
    start, state, metrics = found
    np.testing.assert_array_equal(start.visible, v)
    assert jax.tree.leaves(state.hidden)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, start)
    chex.assert_tree_all_finite(found)
    assert all(jnp.issubdtype(x.dtype, jnp.floating) for x in metrics.values())
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(gradient))

    def visible_after(v, key):
        return np.asarray(everything(sampler, params, v, key)[0][1].visible)

    chex.assert_trees_all_equal(everything(sampler, params, v, key)[0], found)
    others = visible_after(v.at[2].set(3.0), key)  # the chain behind them starts anew
    np.testing.assert_array_equal(others[:2], state.visible[:2])
    assert (visible_after(v, getkey()) != state.visible).any(), "it draws nothing"


# Chains that are drawn from the joint stay there, by the count that fits its states.

PAIR = jboltz.RBM(jboltz.Bernoulli(2), jboltz.Bernoulli(2))


def deep(sampler, getkey, **how):
    params = test_deep.draw_countable_case(sampler.model, getkey)
    test_deep.assert_stays(sampler, params, getkey(), **how)


def directed(sampler, getkey, chosen=slice(None), **how):
    params = test_recognition.draw_params(getkey, chosen)
    test_recognition.assert_stays(sampler, params, getkey(), chosen, **how)


def real(sampler, getkey):
    params = test_langevin.draw_case(getkey)
    test_stationarity.assert_moments_stay(sampler, params, getkey())


def binary(sampler, getkey):
    pair = (sampler.model.visible, sampler.model.hidden)
    _, params = test_stationarity.draw_countable_case(pair, getkey)
    test_stationarity.assert_stays_at_p(sampler, params, getkey())


def replicas(sampler, getkey):
    name = "parallel" if isinstance(sampler, ParallelTempering) else "trajectory"
    test_tempering.assert_replicas_stay(name, getkey)


NET, PLANE, LADDER = test_recognition.NET, test_langevin.MODEL, test_tempering.MODEL
INVARIANT = {
    "gibbs": (jboltz.Gibbs(test_deep.TWO), deep),
    "clamped": (
        jboltz.ClampedGibbs(test_deep.TWO),
        partial(deep, first_pixel_held=True),
    ),
    "ancestral": (jboltz.AncestralGibbs(NET, num_steps=2), directed),
    "recognition": (
        ClampedRecognition(NET, num_proposals=2),
        partial(directed, **test_recognition.HELD),
    ),
    "over-relaxed": (OverRelaxed(PLANE, decay=-0.6), real),
    "lingering": (OverRelaxed(PLANE, decay=0.4), real),
    "adjusted": (GibbsLangevin(PLANE, step_size=0.3, num_inner=5), real),
    # Far beyond where Langevin's own error is small, so that only the correction helps.
    "adjusted, coarse": (GibbsLangevin(PLANE, step_size=1.2, num_inner=2), real),
    "tempering": (ParallelTempering(jboltz.Annealed(LADDER), 3), replicas),
    "trajectory": (TrajectoryTempering(LADDER), replicas),
    "observed": (TracedSampler(jboltz.Gibbs(PAIR)), binary),
}
# Of another sampler of an RBM no more has to be said than its line in the cases.
COUNTED = {type(sampler) for sampler, _ in INVARIANT.values()}
INVARIANT |= {
    name: (dataclasses.replace(sampler, model=PLANE), real)
    for name, sampler in SAMPLERS.items()
    if type(sampler) not in COUNTED
}


@pytest.mark.parametrize("name", INVARIANT)
def test_it_leaves_the_joint_invariant(name, getkey):
    sampler, stays = INVARIANT[name]
    stays(sampler, getkey)
