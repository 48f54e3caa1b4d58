"""The contests of sampling from an RBM: Gibbs sweeps, tempering, and annealing."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jboltz.base import Sampler
from jboltz.evaluation.annealing import annealed_importance_sampling
from jboltz.evaluation.log_partitions import missing_intervals_allowed
from jboltz.experiments.benchmark import floors, works
from jboltz.experiments.benchmark.contest import Contest, Record
from jboltz.experiments.benchmark.floors import Floor
from jboltz.experiments.benchmark.sizes import Sizes
from jboltz.experiments.benchmark.worker import Outcome, Work
from jboltz.experiments.benchmark.works import Inputs, Job, Machine
from jboltz.learning.pretrain import unit_interval
from jboltz.models.annealed import Annealed
from jboltz.models.rbm import RBMParams
from jboltz.random import THREEFRY_13
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.gibbs import Gibbs
from jboltz.samplers.tempering import ParallelTempering

GIBBS_PEERS = {
    "torch": "in_torch.gibbs",
    "torch_compiled": "in_torch.gibbs_compiled",
    "rbms": "in_rbms.gibbs",
    "sklearn": "in_sklearn.gibbs",
}
THRML = {"thrml": "in_thrml.gibbs"}
"""It takes one sweep a call: it gathers the neighbours of every unit of every chain,
and needs seconds for that."""

LIMIT = 4.0
"""Bound of the check, whose mean is 1 if two contestants sample alike. Its
spread is that of a χ² with few degrees of freedom a degree: pixels are correlated."""


def gibbs(
    machine: Machine, inputs: Inputs, num_chains: int, num_sweeps: int
) -> Contest:
    """Sweeps of chains that start at binarised images."""
    sampler, params = Gibbs(machine.model), machine.params
    starts = works.binary_images(inputs, num_chains)
    arrays, shape = works.as_arrays(params), works.shape(machine.model)
    chains = partial(chains_of, sampler, params, starts, inputs)
    job, single = (
        Job(arrays=arrays, rows=starts, size=size, seed=inputs.seed)
        for size in (num_sweeps, 1)
    )

    def check(contestant: str, outcome: Outcome, ours: Outcome) -> Record:
        if contestant in THRML:
            # Beside as few sweeps of jboltz: neither is at equilibrium.
            ours = chains(num_steps=1)()
        return same_means(outcome, ours)

    return Contest(
        title=f"Gibbs, {works.joined(shape)}: {num_sweeps} sweeps of "
        f"{num_chains} chains",
        sizes={
            "num_hidden": shape[1],
            "num_chains": num_chains,
            "num_sweeps": num_sweeps,
        },
        contestants={
            "jboltz": partial(chains, num_steps=num_sweeps),
            "threefry_13": partial(threefry_13, chains, num_sweeps),
            **floors.contestants(Floor(floors.sweep, shape, num_chains, num_sweeps)),
            **works.by_peers(GIBBS_PEERS, job),
            **works.by_peers(THRML, single),
        },
        check=check,
        amounts={"sweeps": num_sweeps} | amounts(shape, num_sweeps * num_chains),
        fractions={"thrml": 1 / num_sweeps},
    )


def amounts(shape: tuple[int, int], num_swept: int) -> dict[str, int]:
    """What is done in `num_swept` sweeps of one chain.

    A unit counts once a sweep, whether or not its draw changes it; a connection
    twice, once in each direction.
    """
    num_visible, num_hidden = shape
    return {
        "unit_flips": num_swept * (num_visible + num_hidden),
        "connections": num_swept * 2 * num_visible * num_hidden,
    }


def chains_of(
    sampler: Sampler,
    params: RBMParams,
    starts: np.ndarray,
    inputs: Inputs,
    *,
    num_steps: int,
    impl: Any = None,
) -> Work:
    """Steps by `run_chains`; every call goes on where the last one stopped."""
    key_init, key_run = jax.random.split(inputs.key(impl))
    params = jax.tree.map(jnp.asarray, params)

    def advance(chains, key):
        return run_chains(sampler, params, chains, key, num_steps=num_steps)[0]

    return works.continued(
        advance,
        init_chains(sampler, params, jnp.asarray(starts), key_init),
        key_run,
        lambda chains: (chains.visible,),
    )


def threefry_13(chains: partial, num_steps: int) -> Work:
    """The same by the cheaper keys, which cannot be pickled."""
    return chains(num_steps=num_steps, impl=THREEFRY_13)


def same_means(outcome: Outcome, ours: Outcome) -> Record:
    """Checks that the mean of every pixel over the chains is jboltz's, up to chance.

    The squared distance, over what it is on average for two samples of one
    distribution, Σ 2 p (1 − p)/n.
    """
    theirs, expected = (np.asarray(x[0], np.float64) for x in (outcome, ours))
    distance = theirs.mean(axis=0) - expected.mean(axis=0)
    p = (theirs.mean(axis=0) + expected.mean(axis=0)) / 2
    by_chance = np.sum(2 * p * (1 - p)) / len(theirs)
    return {
        "what": "squared distance of its mean pixels from jboltz's, over chance",
        "value": float(np.sum(distance**2) / by_chance),
        "limit": LIMIT,
    }


def tempering(machine: Machine, inputs: Inputs, sizes: Sizes) -> Contest:
    """Steps of replicas at several temperatures, from binarised images.

    The products that a step cannot do without are those of a sweep of every replica:
    an exchange moves what reaches the hidden units along with the state.
    """
    num_chains, num_replicas = sizes.tempering_chains, sizes.num_replicas
    sampler = ParallelTempering(Annealed(machine.model), num_replicas)
    starts = works.binary_images(inputs, num_chains)
    shape, steps = works.shape(machine.model), sizes.tempering_steps
    num_states = num_chains * num_replicas
    ours = partial(chains_of, sampler, machine.params, starts, inputs, num_steps=steps)
    return Contest(
        title=f"Tempering, {works.joined(shape)}: {steps} steps of {num_chains} "
        f"chains × {num_replicas} replicas",
        sizes={"num_chains": num_chains, "num_replicas": num_replicas, "steps": steps},
        contestants={
            "jboltz": ours,
            **floors.contestants(Floor(floors.sweep, shape, num_states, steps)),
        },
        parts={"step": steps},
        amounts=amounts(shape, steps * num_states),
    )


def ais(machine: Machine, inputs: Inputs, sizes: Sizes) -> Contest:
    """A ladder of annealed importance sampling, from the base rate of the images."""
    shape, num_chains, rungs = works.shape(machine.model), sizes.ais_chains, sizes.rungs
    return Contest(
        title=f"AIS, {works.joined(shape)}: {rungs} rungs of {num_chains} chains",
        sizes={"num_chains": num_chains, "rungs": rungs},
        contestants={
            "jboltz": partial(ladders, machine, inputs, num_chains, rungs),
            **floors.contestants(Floor(floors.sweep, shape, num_chains, rungs)),
        },
        parts={"rung": rungs},
    )


def ladders(machine: Machine, inputs: Inputs, num_chains: int, rungs: int) -> Work:
    """Climbs by `annealed_importance_sampling`."""
    annealed = Annealed(machine.model)
    params = jax.tree.map(jnp.asarray, machine.params)
    base = annealed.fit_base(unit_interval(jnp.asarray(inputs.rows)))
    betas = np.linspace(0, 1, rungs + 1)

    def climb(_, key):
        with missing_intervals_allowed():
            found = annealed_importance_sampling(
                annealed, params, base, betas, key, num_chains=num_chains
            )
        return (found.log_weights,)

    return works.continued(climb, None, inputs.key())
