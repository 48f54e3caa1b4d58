"""The mean-field task of `benchmark`: sweeps over the hidden layers of a DBM."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jboltz.experiments import _benchmark_common as common
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments._benchmark_timing import Work
from jboltz.learning.mean_field import mean_field
from jboltz.models.dbm import DBM
from jboltz.units.bernoulli import Bernoulli

LAYERS = (784, 500, 1000)
NUM_EXAMPLES = 1000
SWEEPS = 10
"""A call; all are taken."""


def measure(
    rows: np.ndarray, key: Key[Array, ""], *, rounds: int, seed: int
) -> dict[str, Any]:
    """The record of the task: posteriors of binarised images, and the products."""
    images = common.as_float(rows[np.arange(NUM_EXAMPLES) % len(rows)])
    works = {
        "jboltz": by_jboltz(common.binarised(images, seed), key),
        "products": by_products(),
    }

    def check(outcomes):
        missed = SWEEPS - int(np.min(outcomes["jboltz"][-1]))
        what = {"what": "sweeps not taken", "value": missed, "limit": 0}
        return {"jboltz": what, "products": timing.not_finite(outcomes["products"])}

    contestants = timing.contest("mean field", works, rounds, seed=seed, check=check)
    timing.add_milliseconds(contestants, "sweep", SWEEPS)
    title = f"Mean field, {common.sizes(LAYERS)}: {SWEEPS} sweeps of {NUM_EXAMPLES} "
    return {
        "title": title + "examples",
        "layers": LAYERS,
        "num_examples": NUM_EXAMPLES,
        "sweeps": SWEEPS,
        "contestants": contestants,
    }


def by_jboltz(images: np.ndarray, key: Key[Array, ""]) -> Work:
    """Sweeps at the same images; the last thing returned is how many were taken."""
    dbm = DBM(tuple(Bernoulli(size) for size in LAYERS))
    # Larger weights than a start's, with which it converges before the last sweep.
    params = jax.tree.map(lambda x: 10 * x, dbm.init(key))
    v = jnp.asarray(images)

    @jax.jit
    def run(params, v):
        # No tolerance: every sweep is taken, unless none moves any more.
        ascend = partial(mean_field, dbm, params, tolerance=0.0, max_sweeps=SWEEPS)
        q = jax.vmap(ascend)(v)
        return *q.activities, q.num_sweeps

    return lambda: jax.block_until_ready(run(params, v))


def by_products() -> Work:
    (W0, v), (W1, _) = (
        common.orthonormal(shape, NUM_EXAMPLES) for shape in itertools.pairwise(LAYERS)
    )
    run = jax.jit(products)
    return lambda: jax.block_until_ready(run(W0, W1, v))


def products(
    W0: Float[Array, "visible hidden"],
    W1: Float[Array, "hidden top"],
    v: Float[Array, "batch visible"],
) -> tuple[Array, Array]:
    """Up from the data once, then up and down between the hidden layers a sweep."""

    def sweep(carry, _):
        top = carry[0] @ W1
        return (top @ W1.T, top), None

    start = (v @ W0, jnp.zeros((v.shape[0], W1.shape[1]), v.dtype))
    return jax.lax.scan(sweep, start, length=SWEEPS)[0]
