"""The tempering task of `benchmark`: steps of replicas at ten temperatures."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz.experiments import _benchmark_common as common
from jboltz.experiments import _benchmark_gibbs as gibbs
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments._benchmark_timing import Work
from jboltz.models.annealed import Annealed
from jboltz.models.rbm import RBM, RBMParams
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.tempering import ParallelTempering

NUM_CHAINS = 100
NUM_REPLICAS = 10
STEPS = 20
"""A call."""


def measure(
    model: RBM,
    params: RBMParams,
    rows: np.ndarray,
    key: Key[Array, ""],
    *,
    rounds: int,
    seed: int,
) -> dict[str, Any]:
    """The record of the task: steps of chains that start at binarised images.

    The products that a step cannot do without are those of a sweep of every replica:
    an exchange moves what reaches the hidden units along with the state.
    """
    images = common.as_float(rows[np.arange(NUM_CHAINS) % len(rows)])
    works = {
        "jboltz": by_jboltz(model, params, common.binarised(images, seed), key),
        "products": gibbs.by_products(model, NUM_CHAINS * NUM_REPLICAS, STEPS),
    }
    contestants = timing.beside_products("tempering", works, rounds, seed=seed)
    timing.add_milliseconds(contestants, "step", STEPS)
    sizes = (model.visible.size, model.hidden.size)
    swept = STEPS * NUM_CHAINS * NUM_REPLICAS
    done = {name: swept * x for name, x in gibbs.amounts(*sizes).items()}
    timing.add_rates(contestants, **done)
    title = f"Tempering, {common.sizes(sizes)}: {STEPS} steps of {NUM_CHAINS} chains × "
    return {
        "title": title + f"{NUM_REPLICAS} replicas",
        "num_chains": NUM_CHAINS,
        "num_replicas": NUM_REPLICAS,
        "steps": STEPS,
        "contestants": contestants,
    }


def by_jboltz(
    model: RBM, params: RBMParams, starts: np.ndarray, key: Key[Array, ""]
) -> Work:
    """Steps by `run_chains`; every call goes on where the last one stopped."""
    sampler = ParallelTempering(Annealed(model), NUM_REPLICAS)
    key_init, key_run = jax.random.split(key)
    chains = init_chains(sampler, params, jnp.asarray(starts), key_init)
    calls = itertools.count()

    def work():
        nonlocal chains
        key_call = jax.random.fold_in(key_run, next(calls))
        chains, _ = run_chains(sampler, params, chains, key_call, num_steps=STEPS)
        return (jax.block_until_ready(chains).visible,)

    return work
