"""The contestant by thrml, block Gibbs sampling of graphs in JAX."""

import itertools

import equinox  # pyright: ignore[reportMissingImports]
import jax
import jax.numpy as jnp
import numpy as np
import thrml  # pyright: ignore[reportMissingImports]
from thrml import models  # pyright: ignore[reportMissingImports]

from jboltz.experiments.benchmark.in_jboltz import continued
from jboltz.experiments.benchmark.works import Arrays, Job, Work, binary_images

MOST_CHAINS = 16
"""thrml gathers the neighbours of every unit of every chain."""


def gibbs(job: Job) -> Work:
    """Sweeps by `sample_states`; every call goes on where the last one stopped.

    The machine as an Ising model of spins s = 2 x − 1: couplings W/4, biases half of
    the units' own and a quarter of the sum of their weights.
    """
    program, blocks = _program(job.arrays[0])
    starts = binary_images(job, min(job.sizes.num_chains, MOST_CHAINS))
    num_sweeps = job.sizes.num_sweeps
    schedule = thrml.SamplingSchedule(num_sweeps, n_samples=1, steps_per_sample=1)

    @equinox.filter_jit
    def run(program, states, key):
        def one(states, key):
            # A list of its own: thrml writes to it.
            states = [*states]
            found = thrml.sample_states(key, program, schedule, states, [], blocks)
            return [x[-1] for x in found]

        return jax.vmap(one)(states, jax.random.split(key, len(starts)))

    weights, _, hidden_bias = (np.asarray(x) for x in job.arrays[0])
    key_init, key_run = jax.random.split(jax.random.key(job.seed))
    inputs = jnp.asarray(starts @ weights + hidden_bias)
    hidden = jax.random.uniform(key_init, inputs.shape) < jax.nn.sigmoid(inputs)
    return continued(
        lambda states, key: run(program, states, key),
        [jnp.asarray(starts > 0), hidden],
        key_run,
        lambda states: (states[0],),
    )


def _program(arrays: Arrays) -> tuple[models.IsingSamplingProgram, list[thrml.Block]]:
    """What thrml samples from, and the two blocks of its nodes, visible first."""
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
