"""The contestant by thrml, block Gibbs sampling of graphs in JAX."""

import importlib
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jboltz.experiments.benchmark.contest import Work
from jboltz.experiments.benchmark.works import Arrays, continued


def gibbs(arrays: Arrays, starts: np.ndarray, num_sweeps: int, seed: int) -> Work:
    """Sweeps by `sample_states`; every call goes on where the last one stopped.

    The machine as an Ising model of spins s = 2 x − 1: couplings W/4, biases half of
    the units' own and a quarter of the sum of their weights.
    """
    thrml = importlib.import_module("thrml")
    program, blocks = _program(arrays)
    schedule = thrml.SamplingSchedule(num_sweeps, n_samples=1, steps_per_sample=1)

    @importlib.import_module("equinox").filter_jit
    def run(program, states, key):
        def one(states, key):
            # A list of its own: thrml writes to it.
            states = [*states]
            found = thrml.sample_states(key, program, schedule, states, [], blocks)
            return [x[-1] for x in found]

        return jax.vmap(one)(states, jax.random.split(key, len(starts)))

    weights, _, hidden_bias = (np.asarray(x) for x in arrays)
    key_init, key_run = jax.random.split(jax.random.key(seed))
    inputs = jnp.asarray(starts @ weights + hidden_bias)
    hidden = jax.random.uniform(key_init, inputs.shape) < jax.nn.sigmoid(inputs)
    return continued(
        lambda states, key: run(program, states, key),
        [jnp.asarray(starts > 0), hidden],
        key_run,
        lambda states: (states[0],),
    )


def _program(arrays: Arrays) -> tuple[Any, list[Any]]:
    """What thrml samples from, and the two blocks of its nodes, visible first."""
    thrml = importlib.import_module("thrml")
    models = importlib.import_module("thrml.models")
    weights, visible_bias, hidden_bias = (np.asarray(x) for x in arrays)
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
