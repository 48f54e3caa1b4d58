"""The sampling task of `benchmark` by thrml, block Gibbs sampling of graphs in JAX."""

import importlib
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jboltz.experiments._benchmark_timing import Work

NUM_SWEEPS = 1
"""A call: it gathers the neighbours of every unit of every chain, and needs seconds."""


def gibbs(machine: tuple[Any, ...], starts: np.ndarray, seed: int) -> Work:
    """Sweeps by `sample_states`; every call goes on where the last one stopped.

    The machine as an Ising model of spins s = 2 x − 1: couplings W/4, biases half of
    the units' own and a quarter of the sum of their weights.
    """
    thrml = importlib.import_module("thrml")
    program, blocks = _program(machine)
    schedule = thrml.SamplingSchedule(NUM_SWEEPS, n_samples=1, steps_per_sample=1)

    @importlib.import_module("equinox").filter_jit
    def run(program, states, key):
        def one(states, key):
            # It writes to the list that it is handed.
            arguments = (key, program, schedule, [*states], [], blocks)
            return [x[-1] for x in thrml.sample_states(*arguments)]

        return jax.vmap(one)(states, jax.random.split(key, len(starts)))

    key, calls = jax.random.key(seed), itertools.count(1)
    weights, _, hidden_bias = (np.asarray(x) for x in machine)
    inputs = jnp.asarray(starts @ weights + hidden_bias)
    hidden = jax.random.uniform(key, inputs.shape) < jax.nn.sigmoid(inputs)
    states = [jnp.asarray(starts > 0), hidden]

    def work():
        nonlocal states
        key_call = jax.random.fold_in(key, next(calls))
        states = jax.block_until_ready(run(program, states, key_call))
        return (states[0],)

    return work


def _program(machine: tuple[Any, ...]) -> tuple[Any, list[Any]]:
    """What thrml samples from, and the two blocks of its nodes, visible first."""
    thrml = importlib.import_module("thrml")
    models = importlib.import_module("thrml.models")
    weights, visible_bias, hidden_bias = (np.asarray(x) for x in machine)
    visible, hidden = ([thrml.SpinNode() for _ in range(n)] for n in weights.shape)
    inputs = (
        visible_bias / 2 + weights.sum(1) / 4,
        hidden_bias / 2 + weights.sum(0) / 4,
    )
    ebm = models.IsingEBM(
        [*visible, *hidden],
        list(itertools.product(visible, hidden)),
        jnp.asarray(np.concatenate(inputs)),
        jnp.asarray(weights.ravel() / 4),
        jnp.ones(()),
    )
    blocks = [thrml.Block(visible), thrml.Block(hidden)]
    return models.IsingSamplingProgram(ebm, blocks, clamped_blocks=[]), blocks
