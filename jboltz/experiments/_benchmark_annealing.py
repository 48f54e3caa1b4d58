"""The annealing task of `benchmark`: rungs of annealed importance sampling."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz.evaluation.annealing import annealed_importance_sampling
from jboltz.evaluation.log_partitions import missing_intervals_allowed
from jboltz.experiments import _benchmark_gibbs as gibbs
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments._benchmark_timing import Work
from jboltz.learning.pretrain import unit_interval
from jboltz.models.annealed import Annealed
from jboltz.models.rbm import RBM, RBMParams

NUM_CHAINS = 100
RUNGS = 1000
"""A call, evenly spaced."""


def measure(
    model: RBM,
    params: RBMParams,
    rows: np.ndarray,
    key: Key[Array, ""],
    *,
    rounds: int,
    seed: int,
) -> dict[str, Any]:
    """The record of the task: ladders of an RBM, and their products alone."""
    works = {
        "jboltz": by_jboltz(model, params, rows, key),
        "products": gibbs.by_products(model, NUM_CHAINS, RUNGS),
    }
    contestants = timing.beside_products("AIS", works, rounds, seed=seed)
    timing.add_milliseconds(contestants, "rung", RUNGS)
    title = f"AIS, {model.visible.size}–{model.hidden.size}: {RUNGS} rungs of "
    return {
        "title": title + f"{NUM_CHAINS} chains",
        "num_chains": NUM_CHAINS,
        "rungs": RUNGS,
        "contestants": contestants,
    }


def by_jboltz(
    model: RBM, params: RBMParams, rows: np.ndarray, key: Key[Array, ""]
) -> Work:
    """One ladder a call, from the base rate of `rows`."""
    annealed, calls = Annealed(model), itertools.count()
    base = annealed.fit_base(unit_interval(jnp.asarray(rows)))
    betas = np.linspace(0, 1, RUNGS + 1)
    estimate = partial(annealed_importance_sampling, annealed, params, base, betas)

    def work():
        key_call = jax.random.fold_in(key, next(calls))
        with missing_intervals_allowed():
            found = estimate(key_call, num_chains=NUM_CHAINS)
        return (found.log_weights,)

    return work
