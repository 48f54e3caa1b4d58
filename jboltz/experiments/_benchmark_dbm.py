"""The joint training task of `benchmark`: updates of a deep Boltzmann machine."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jboltz.experiments import _benchmark_common as common
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments._benchmark_timing import Work
from jboltz.learning.mean_field import MeanFieldPCD
from jboltz.learning.step import init_train_state, make_train_step
from jboltz.models.dbm import DBM
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import Bernoulli

LAYERS = (784, 500, 1000)
BATCH_SIZE = NUM_CHAINS = 100
NUM_STEPS, NUM_SWEEPS = 5, 10
UPDATES = 20
"""A call; each one gets its own batch."""


def measure(
    rows: np.ndarray, key: Key[Array, ""], *, rounds: int, seed: int
) -> dict[str, Any]:
    """The record of the task: updates on binarised images, and their products alone."""
    images = common.as_float(rows[np.arange(UPDATES * BATCH_SIZE) % len(rows)])
    batches = common.binarised(images, seed).reshape(UPDATES, BATCH_SIZE, -1)
    works = {"jboltz": by_jboltz(batches, key), "products": by_products()}
    contestants = timing.beside_products("DBM", works, rounds, seed=seed)
    timing.add_milliseconds(contestants, "step", UPDATES)
    title = f"DBM, {common.sizes(LAYERS)}: {UPDATES} joint updates of {BATCH_SIZE} "
    title += f"examples and {NUM_CHAINS} chains"
    about = {"title": title}
    about |= {"layers": LAYERS, "batch_size": BATCH_SIZE, "num_chains": NUM_CHAINS}
    steps = {"num_steps": NUM_STEPS, "num_sweeps": NUM_SWEEPS, "updates": UPDATES}
    return {**about, **steps, "contestants": contestants}


def by_jboltz(batches: np.ndarray, key: Key[Array, ""]) -> Work:
    """Updates in one scan; every call goes on where the last one stopped."""
    dbm = DBM(tuple(Bernoulli(size) for size in LAYERS))
    # No tolerance: every sweep is taken.
    estimator = MeanFieldPCD(
        dbm, Gibbs(dbm), NUM_CHAINS, NUM_STEPS, tolerance=0.0, max_sweeps=NUM_SWEEPS
    )
    optimizer = optax.sgd(0.01)
    step = make_train_step(estimator, optimizer)
    key_init, key_run = jax.random.split(key)
    state = init_train_state(dbm.init(key_init), estimator, optimizer, key_init)
    return common.updates(step, state, jnp.asarray(batches), key_run)


def by_products() -> Work:
    (W0, v), (W1, h) = (
        common.orthonormal(shape, BATCH_SIZE) for shape in itertools.pairwise(LAYERS)
    )
    run = jax.jit(partial(products, updates=UPDATES))
    return lambda: jax.block_until_ready(run(W0, W1, v, h))


def products(
    W0: Float[Array, "visible hidden"],
    W1: Float[Array, "hidden top"],
    v: Float[Array, "batch visible"],
    h: Float[Array, "batch hidden"],
    *,
    updates: int,
) -> tuple[Array, ...]:
    """The products that an update cannot do without, and nothing else.

    Mean field: up once, then up and down between the hidden layers a sweep. A Gibbs
    step: both layers down and up. Statistics: an outer product a layer and phase.
    """

    def sweep(h, _):
        return (h @ W1) @ W1.T, None

    def gibbs(carry, _):
        v, h, _ = carry
        v, top = h @ W0.T, h @ W1
        return (v, 0.5 * (v @ W0 + top @ W1.T), top), None

    def update(carry, _):
        v, h, _ = carry
        m, _ = jax.lax.scan(sweep, v @ W0, length=NUM_SWEEPS)
        top = m @ W1
        x, y, z = jax.lax.scan(gibbs, (v, h, top), length=NUM_STEPS)[0]
        # Carried on: the compiler can drop none.
        return (x, y, (v.T @ m, m.T @ top, x.T @ y, y.T @ z)), None

    zeros = jnp.zeros_like(W0), jnp.zeros_like(W1)
    start = (v, h, zeros + zeros)
    v, h, outer = jax.lax.scan(update, start, length=updates)[0]
    return v, h, *outer
