"""The training task of `benchmark`: one epoch of CD-1."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jboltz.base import Batch, State
from jboltz.experiments import _benchmark_peers as peers
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments import _run
from jboltz.experiments._benchmark_timing import Work
from jboltz.learning.contrastive import ContrastiveDivergence
from jboltz.learning.pretrain import LayerInput
from jboltz.learning.step import (
    TrainState,
    TrainStep,
    init_train_state,
    make_train_step,
    num_rows,
)
from jboltz.learning.train import fit
from jboltz.models.rbm import RBM, RBMParams
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import BernoulliParams

LIMITS = {"jboltz": 0.0, "products": 0.0, "torch": 0.05, "torch_loader": 0.05}
LIMITS |= {"torch_notes": 0.05, "sklearn": 0.25}
"""Of the checks. scikit-learn's PCD-1 does not learn quite what CD-1 learns."""


def measure(
    model: RBM,
    params: RBMParams,
    rows: np.ndarray,
    key: Key[Array, ""],
    *,
    batch_size: int,
    rounds: int,
    seed: int,
) -> tuple[RBMParams, dict[str, Any]]:
    """The parameters after jboltz's first epoch, and the record of the task."""
    versions, num_steps = peers.installed(), -(-len(rows) // batch_size)
    _run.say("CD-1: the first epoch of each contestant is checked and not counted")
    memory = {"before": _run.peak_memory_mb()}
    works = {"jboltz": by_jboltz(model, params, rows, key, batch_size=batch_size)}
    machine, first_seconds = timing.timed(works["jboltz"])
    # Before another library is loaded: the peak is that of the process.
    memory["after"] = _run.peak_memory_mb()
    works["products"] = by_products(model, batch_size, num_steps)
    images = as_float(rows)
    if versions["torch"]:
        start = as_machine(params)
        works["torch"] = peers.torch_cd(start, images, batch_size, seed)
        works["torch_loader"] = peers.torch_cd_loader(start, images, batch_size, seed)
        works["torch_notes"] = peers.torch_notes(start, images, batch_size, seed)
    if versions["scikit-learn"]:
        works["sklearn"] = peers.sklearn_cd(
            binarised(images, seed), model.hidden.size, batch_size, seed
        )
    outcomes = {"jboltz": machine}
    outcomes |= {name: w() for name, w in works.items() if name != "jboltz"}
    checks = check(model, outcomes, images[:1000])
    timing.require_same_work("CD-1", checks)
    contestants = timing.compare(timing.rounds("CD-1", works, rounds, seed=seed))
    for name, record in contestants.items():
        record["milliseconds_a_step"] = 1e3 * record["seconds"]["median"] / num_steps
        record["check"] = checks[name]
    later = contestants["jboltz"]["seconds"]["median"]
    return as_params(machine), {
        "num_examples": len(rows),
        "num_steps": num_steps,
        "contestants": contestants,
        "first_epoch_seconds": first_seconds,
        "compile_seconds": first_seconds - later,
        "peak_memory_mb": memory,
    }


def by_jboltz(
    model: RBM,
    params: RBMParams,
    rows: np.ndarray,
    key: Key[Array, ""],
    *,
    batch_size: int,
) -> Work:
    """One epoch by `fit`, as any user calls it; every call is the next epoch."""
    estimator = ContrastiveDivergence(model, Gibbs(model))
    optimizer = optax.sgd(peers.LEARNING_RATE)
    train_step = make_train_step(estimator, optimizer)
    prepare = jax.tree_util.Partial(LayerInput((model,)), ())
    key_init, key_fit = jax.random.split(key)
    state = init_train_state(params, estimator, optimizer, key_init)
    data, epochs = jnp.asarray(rows), itertools.count()

    def work():
        nonlocal state
        epoch = next(epochs)
        state, _ = fit(
            *(train_step, state, data, key_fit),
            batch_size=batch_size,
            first_epoch=epoch,
            num_epochs=epoch + 1,
            prepare=prepare,
        )
        return as_machine(jax.block_until_ready(state.params))

    return work


def updates(
    step: TrainStep, state: TrainState, batches: State, key: Key[Array, ""]
) -> Work:
    """An update a batch, in one scan; every call goes on where the last one stopped."""
    calls = itertools.count()

    @jax.jit
    def run(state, batches, key):
        keys = jax.random.split(key, num_rows(Batch(values=batches)))
        return jax.lax.scan(
            lambda state, x: step(state, Batch(values=x[0]), x[1]),
            *(state, (batches, keys)),
        )

    def work():
        nonlocal state
        key_call = jax.random.fold_in(key, next(calls))
        state, _ = jax.block_until_ready(run(state, batches, key_call))
        return tuple(jax.tree.leaves(state.params))

    return work


def by_products(model: RBM, batch_size: int, num_steps: int) -> Work:
    """The products alone. The short last batch of an epoch counts as a full one."""
    shape = (model.visible.size, model.hidden.size)
    weights, v = orthonormal(shape, batch_size)
    run = jax.jit(partial(products, num_steps=num_steps))
    return lambda: jax.block_until_ready(run(weights, v))


def products(
    weights: Float[Array, "visible hidden"],
    v: Float[Array, "batch visible"],
    *,
    num_steps: int,
) -> tuple[Array, Array, Array]:
    """`num_steps` times the five products of a CD-1 update, and nothing else.

    Each step starts from the reconstruction of the one before, and all its results
    are carried on: the compiler can hoist, merge or drop none.
    """

    def step(carry, _):
        v, _, _ = carry
        h = v @ weights
        v_k = h @ weights.T
        h_k = v_k @ weights
        return (v_k, v.T @ h, v_k.T @ h_k), None

    start = (v, jnp.zeros_like(weights), jnp.zeros_like(weights))
    return jax.lax.scan(step, start, length=num_steps)[0]


def orthonormal(shape: tuple[int, int], num_rows: int) -> tuple[Array, Array]:
    """Orthonormal weights and rows of visible states, for products without end.

    v W Wᵀ then neither grows nor vanishes however often it is taken, and no
    arithmetic is needed to keep it in range.
    """
    rng = np.random.default_rng(0)
    left, _, right = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    v = rng.standard_normal((num_rows, shape[0]))
    return jnp.asarray(left @ right, jnp.float32), jnp.asarray(v, jnp.float32)


def check(
    model: RBM, outcomes: dict[str, tuple[Any, ...]], images: np.ndarray
) -> dict[str, dict[str, Any]]:
    """That each contestant learnt what jboltz did, to the mean reconstruction error."""

    @jax.jit
    def mean_error(params, images):
        h = jax.vmap(model.mean_hidden_state, in_axes=(None, 0))(params, images)
        v = jax.vmap(model.mean_visible_state, in_axes=(None, 0))(params, h)
        return jnp.mean((images - v) ** 2)

    def error(machine):
        return float(mean_error(as_params(machine), images))

    ours, checks = error(outcomes["jboltz"]), {}
    for name, outcome in outcomes.items():
        if name == "products":
            checks[name] = timing.not_finite(outcome)
            continue
        value = error(outcome)
        checks[name] = {
            "what": "relative distance of its reconstruction error from jboltz's",
            "value": abs(value / ours - 1),
            "limit": LIMITS[name],
            "reconstruction_error": value,
        }
    return checks


def as_float(rows: np.ndarray) -> np.ndarray:
    """Stored images as float32 in [0, 1]."""
    return rows.astype(np.float32) / 255 if rows.dtype == np.uint8 else rows


def binarised(images: np.ndarray, seed: int) -> np.ndarray:
    uniforms = np.random.default_rng(seed).random(images.shape, np.float32)
    return (uniforms < images).astype(np.float32)


def as_machine(params: RBMParams) -> tuple[Array, Array, Array]:
    return params.weights, params.visible.bias, params.hidden.bias


def as_params(machine: tuple[Any, ...]) -> RBMParams:
    weights, visible_bias, hidden_bias = (jnp.asarray(np.asarray(x)) for x in machine)
    return RBMParams(
        visible=BernoulliParams(bias=visible_bias),
        hidden=BernoulliParams(bias=hidden_bias),
        weights=weights,
    )
