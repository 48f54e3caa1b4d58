"""The contests of sampling from an RBM: Gibbs sweeps, tempering, and annealing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jboltz.base import Sampler
from jboltz.evaluation.annealing import annealed_importance_sampling
from jboltz.evaluation.log_partitions import missing_intervals_allowed
from jboltz.experiments.benchmark import works
from jboltz.experiments.benchmark.contest import Contest, Outcome, Record, Work
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
    "thrml": "in_thrml.gibbs",
}
FEW_SWEEPS = {"thrml": 1}
"""The sweeps of a call, where it does not take all of them: thrml gathers the
neighbours of every unit of every chain, and needs seconds for one sweep."""

LIMIT = 4.0
"""Bound of the check, whose mean is 1 if two contestants sample alike. Its
spread is that of a χ² with few degrees of freedom a degree: pixels are correlated."""

TEMPERING_CHAINS, NUM_REPLICAS = 100, 10
TEMPERING_STEPS = 20
"""A call."""

AIS_CHAINS = 100
RUNGS = 1000
"""A call, evenly spaced."""


def gibbs(
    machine: Machine, inputs: Inputs, num_chains: int, num_sweeps: int
) -> Contest:
    """Sweeps of chains that start at binarised images."""
    sampler, params, key = Gibbs(machine.model), machine.params, inputs.key
    starts = works.binary_images(inputs, num_chains)
    arrays, shape = works.as_arrays(params), works.shape(machine.model)
    chains = partial(chains_of, sampler, params, starts)
    cheaper = jax.random.wrap_key_data(jax.random.key_data(key), impl=THREEFRY_13)

    def check(contestant: str, outcome: Outcome, ours: Outcome) -> Record:
        if contestant in FEW_SWEEPS:
            # Beside as few sweeps of jboltz: neither is at equilibrium.
            ours = chains(key, num_steps=FEW_SWEEPS[contestant])()
        return same_means(outcome, ours)

    def job(contestant):
        size = FEW_SWEEPS.get(contestant, num_sweeps)
        return Job(arrays=arrays, rows=starts, size=size, seed=inputs.seed)

    return Contest(
        title=f"Gibbs, {works.sizes(shape)}: {num_sweeps} sweeps of "
        f"{num_chains} chains",
        sizes={
            "num_hidden": shape[1],
            "num_chains": num_chains,
            "num_sweeps": num_sweeps,
        },
        contestants={
            "jboltz": lambda: chains(key, num_steps=num_sweeps),
            "threefry_13": lambda: chains(cheaper, num_steps=num_sweeps),
            "products": lambda: by_products(shape, num_chains, num_sweeps),
            **works.by_peers(GIBBS_PEERS, job),
        },
        check=check,
        amounts={"sweeps": num_sweeps} | amounts(shape, num_sweeps * num_chains),
        fractions={name: count / num_sweeps for name, count in FEW_SWEEPS.items()},
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
    key: Key[Array, ""],
    *,
    num_steps: int,
) -> Work:
    """Steps by `run_chains`; every call goes on where the last one stopped."""
    key_init, key_run = jax.random.split(key)

    def advance(chains, key):
        return run_chains(sampler, params, chains, key, num_steps=num_steps)[0]

    return works.continued(
        advance,
        init_chains(sampler, params, jnp.asarray(starts), key_init),
        key_run,
        lambda chains: (chains.visible,),
    )


def by_products(shape: tuple[int, int], num_chains: int, num_sweeps: int) -> Work:
    run = partial(products, num_sweeps=num_sweeps)
    return works.of_products(run, shape, num_chains)


def products(
    weights: Float[Array, "visible hidden"],
    v: Float[Array, "chains visible"],
    *,
    num_sweeps: int,
) -> tuple[Array, Array]:
    """`num_sweeps` times the two products of a sweep, and nothing else."""

    def sweep(carry, _):
        h = carry[0] @ weights
        return (h @ weights.T, h), None

    start = (v, jnp.zeros((v.shape[0], weights.shape[1]), v.dtype))
    return jax.lax.scan(sweep, start, length=num_sweeps)[0]


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


def tempering(machine: Machine, inputs: Inputs) -> Contest:
    """Steps of replicas at several temperatures, from binarised images.

    The products that a step cannot do without are those of a sweep of every replica:
    an exchange moves what reaches the hidden units along with the state.
    """
    sampler = ParallelTempering(Annealed(machine.model), NUM_REPLICAS)
    starts = works.binary_images(inputs, TEMPERING_CHAINS)
    shape, steps = works.shape(machine.model), TEMPERING_STEPS
    num_states = TEMPERING_CHAINS * NUM_REPLICAS
    return Contest(
        title=f"Tempering, {works.sizes(shape)}: {steps} steps of {TEMPERING_CHAINS} "
        f"chains × {NUM_REPLICAS} replicas",
        sizes={
            "num_chains": TEMPERING_CHAINS,
            "num_replicas": NUM_REPLICAS,
            "steps": steps,
        },
        contestants={
            "jboltz": lambda: chains_of(
                sampler, machine.params, starts, inputs.key, num_steps=steps
            ),
            "products": lambda: by_products(shape, num_states, steps),
        },
        parts={"step": steps},
        amounts=amounts(shape, steps * num_states),
    )


def ais(machine: Machine, inputs: Inputs) -> Contest:
    """A ladder of annealed importance sampling, from the base rate of the images."""
    annealed, shape = Annealed(machine.model), works.shape(machine.model)
    base = annealed.fit_base(unit_interval(jnp.asarray(inputs.rows)))
    betas = np.linspace(0, 1, RUNGS + 1)

    def climb(_, key):
        with missing_intervals_allowed():
            found = annealed_importance_sampling(
                annealed, machine.params, base, betas, key, num_chains=AIS_CHAINS
            )
        return (found.log_weights,)

    return Contest(
        title=f"AIS, {works.sizes(shape)}: {RUNGS} rungs of {AIS_CHAINS} chains",
        sizes={"num_chains": AIS_CHAINS, "rungs": RUNGS},
        contestants={
            "jboltz": lambda: works.continued(climb, None, inputs.key),
            "products": lambda: by_products(shape, AIS_CHAINS, RUNGS),
        },
        parts={"rung": RUNGS},
    )
