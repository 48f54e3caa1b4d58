"""The sampling task of `benchmark`: Gibbs sweeps of many chains."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jboltz.experiments import _benchmark_common as common
from jboltz.experiments import _benchmark_peers as peers
from jboltz.experiments import _benchmark_rbms as in_rbms
from jboltz.experiments import _benchmark_thrml as in_thrml
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments import _benchmark_torch as in_torch
from jboltz.experiments._benchmark_timing import Work
from jboltz.models.rbm import RBM, RBMParams
from jboltz.random import THREEFRY_13
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
    versions, machine = peers.installed(), common.as_machine(params)
    images = common.as_float(rows[np.arange(num_chains) % len(rows)])
    starts = common.binarised(images, seed)
    advance = partial(by_jboltz, model, params, starts)
    cheaper = jax.random.wrap_key_data(jax.random.key_data(key), impl=THREEFRY_13)
    works = {
        "jboltz": advance(key, num_sweeps=num_sweeps),
        "threefry_13": advance(cheaper, num_sweeps=num_sweeps),
        "products": by_products(model, num_chains, num_sweeps),
    }
    arguments = (machine, starts, num_sweeps, seed)
    if versions["torch"]:
        works["torch"] = in_torch.gibbs(*arguments)
        if in_torch.can_compile():
            works["torch_compiled"] = in_torch.gibbs(*arguments, in_torch.compiled)
    if versions["rbms"]:
        works["rbms"] = in_rbms.gibbs(*arguments)
    if versions["scikit-learn"]:
        works["sklearn"] = peers.sklearn_gibbs(*arguments)
    fractions = {}
    if versions["thrml"]:
        works["thrml"] = in_thrml.gibbs(machine, starts, seed)
        fractions["thrml"] = in_thrml.NUM_SWEEPS / num_sweeps

    def check_all(outcomes):
        checks = check({k: v for k, v in outcomes.items() if k not in fractions})
        for name in fractions:
            # Beside as few sweeps of jboltz: neither is at equilibrium.
            ours = advance(key, num_sweeps=in_thrml.NUM_SWEEPS)()
            checks |= {name: check({"jboltz": ours, name: outcomes[name]})[name]}
        return checks

    sizes = (model.visible.size, model.hidden.size)
    name = f"Gibbs, {sizes[0]}–{sizes[1]}"
    contestants = timing.contest(
        name, works, rounds, seed=seed, check=check_all, fractions=fractions
    )
    done = {k: x * num_sweeps * num_chains for k, x in amounts(*sizes).items()}
    timing.add_rates(contestants, sweeps=num_sweeps, **done)
    return {
        "title": f"{name}: {num_sweeps} sweeps of {num_chains} chains",
        "num_hidden": sizes[1],
        "num_chains": num_chains,
        "num_sweeps": num_sweeps,
        "measured_fractions": fractions,
        "contestants": contestants,
    }


def amounts(num_visible: int, num_hidden: int) -> dict[str, int]:
    """Of a sweep of one chain. A unit counts once, whether or not its draw changes it;
    a connection twice, once in each direction."""
    flips, connections = num_visible + num_hidden, 2 * num_visible * num_hidden
    return {"unit_flips": flips, "connections": connections}


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
    weights, v = common.orthonormal(shape, num_chains)
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
