"""The sampling task of `benchmark`: Gibbs sweeps of many chains."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jboltz.experiments import _benchmark_cd as cd
from jboltz.experiments import _benchmark_peers as peers
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments import _run
from jboltz.experiments._benchmark_timing import Work
from jboltz.models.rbm import RBM, RBMParams
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.gibbs import Gibbs

LIMIT = 4.0
"""Of the check, whose value is 1 on average where two contestants sample alike. Its
spread is that of a χ² with few degrees of freedom a degree: pixels are correlated."""


def measure(
    model: RBM,
    params: RBMParams,
    rows: np.ndarray,
    key: Key[Array, ""],
    *,
    num_chains: int,
    num_sweeps: int,
    rounds: int,
    seed: int,
) -> dict[str, Any]:
    """The record of the task: chains that start at binarised images."""
    versions, machine = peers.installed(), cd.as_machine(params)
    _run.say("Gibbs: the first call of each contestant is checked and not counted")
    images = cd.as_float(rows[np.arange(num_chains) % len(rows)])
    starts = cd.binarised(images, seed)
    works = {
        "jboltz": by_jboltz(model, params, starts, key, num_sweeps=num_sweeps),
        "products": by_products(model, num_chains, num_sweeps),
    }
    if versions["torch"]:
        works["torch"] = peers.torch_gibbs(machine, starts, num_sweeps, seed)
    if versions["scikit-learn"]:
        works["sklearn"] = peers.sklearn_gibbs(machine, starts, num_sweeps, seed)
    checks = check({name: w() for name, w in works.items()})
    timing.require_same_work("Gibbs", checks)
    contestants = timing.compare(timing.rounds("Gibbs", works, rounds, seed=seed))
    num_units = model.visible.size + model.hidden.size
    num_connections = model.visible.size * model.hidden.size
    for name, record in contestants.items():
        rate = num_sweeps / record["seconds"]["median"]
        record["sweeps_per_second"] = rate
        # A unit counts once a sweep, whether or not its draw changes it; a connection
        # twice, once in each direction.
        record["unit_flips_per_second"] = rate * num_chains * num_units
        record["connections_per_second"] = rate * num_chains * 2 * num_connections
        record["check"] = checks[name]
    return {"contestants": contestants}


def by_jboltz(
    model: RBM,
    params: RBMParams,
    starts: np.ndarray,
    key: Key[Array, ""],
    *,
    num_sweeps: int,
) -> Work:
    """Sweeps by `run_chains`; every call goes on where the last one stopped."""
    sampler, (key_init, key_run) = Gibbs(model), jax.random.split(key)
    chains = init_chains(sampler, params, jnp.asarray(starts), key_init)
    calls = itertools.count()

    def work():
        nonlocal chains
        key_call = jax.random.fold_in(key_run, next(calls))
        chains, _ = run_chains(sampler, params, chains, key_call, num_steps=num_sweeps)
        return (jax.block_until_ready(chains).visible,)

    return work


def by_products(model: RBM, num_chains: int, num_sweeps: int) -> Work:
    shape = (model.visible.size, model.hidden.size)
    weights, v = cd.orthonormal(shape, num_chains)
    run = jax.jit(partial(products, num_sweeps=num_sweeps))
    return lambda: jax.block_until_ready(run(weights, v))


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


def check(outcomes: dict[str, tuple[Any, ...]]) -> dict[str, dict[str, Any]]:
    """That the mean of every pixel over the chains is jboltz's, up to chance.

    The squared distance, over what it is on average for two samples of one
    distribution, Σ 2 p (1 − p)/n.
    """
    pixels = {k: np.asarray(v[0], np.float64) for k, v in outcomes.items()}
    ours, checks = pixels["jboltz"].mean(axis=0), {}
    for name, states in pixels.items():
        if name == "products":
            checks[name] = timing.not_finite(outcomes[name])
            continue
        theirs = states.mean(axis=0)
        p = (ours + theirs) / 2
        expected = np.sum(2 * p * (1 - p)) / len(states)
        checks[name] = {
            "what": "squared distance of its mean pixels from jboltz's, over chance",
            "value": float(np.sum((theirs - ours) ** 2) / expected),
            "limit": LIMIT,
        }
    return checks
