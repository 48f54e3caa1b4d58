"""The training task of `benchmark`: one epoch of CD-1."""

import itertools
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jboltz.base import Estimator
from jboltz.experiments import _benchmark_common as common
from jboltz.experiments import _benchmark_peers as peers
from jboltz.experiments import _benchmark_rbms as in_rbms
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments import _benchmark_torch as in_torch
from jboltz.experiments._benchmark_timing import Work
from jboltz.learning.contrastive import ContrastiveDivergence
from jboltz.learning.pretrain import LayerFeatures
from jboltz.learning.step import TrainStep, init_train_state, make_train_step
from jboltz.learning.train import fit
from jboltz.models.rbm import RBM, RBMParams
from jboltz.runs import machine as _machine
from jboltz.samplers.gibbs import Gibbs

LIMITS = {"jboltz": 0.0, "sklearn": 0.25}
"""Of the checks, others 0.05. scikit-learn's PCD-1 does not learn quite what CD-1
learns."""

OPTIMIZER = optax.sgd(peers.LEARNING_RATE)


def measure(
    model: RBM,
    params: RBMParams,
    rows: np.ndarray,
    key: Key[Array, ""],
    *,
    batch_size: int,
    rounds: int,
    seed: int,
) -> dict[str, Any]:
    """The record of the task: CD-1 from `params`."""
    memory = {"before": _machine.peak_memory_mb()}
    ours = by_jboltz(
        model,
        ContrastiveDivergence(model, Gibbs(model)),
        params,
        rows,
        key,
        batch_size=batch_size,
    )
    first = timing.timed(ours)
    # Before another library is loaded: the peak is that of the process.
    memory["after"] = _machine.peak_memory_mb()
    versions, start = peers.installed(), common.as_machine(params)
    images = common.as_float(rows)
    arguments = (start, images, batch_size, seed)
    on_binary = (common.binarised(images, seed), batch_size, seed)
    works = {"jboltz": ours}
    if versions["torch"]:
        works["torch"] = in_torch.cd(*arguments)
        if in_torch.can_compile():
            works["torch_compiled"] = in_torch.cd(*arguments, in_torch.compiled)
        works["torch_loader"] = in_torch.cd_loader(*arguments)
        works["torch_notes"] = in_torch.notes(*arguments)
    if versions["rbms"]:
        works["rbms"] = in_rbms.cd(start, *on_binary)
    if versions["scikit-learn"]:
        binary, *others = on_binary
        works["sklearn"] = peers.sklearn_pcd(binary, model.hidden.size, *others)
    record = compare(
        "CD-1",
        model,
        rows,
        works,
        limits=LIMITS,
        batch_size=batch_size,
        rounds=rounds,
        seed=seed,
        first={"jboltz": first},
    )
    return record | {"peak_memory_mb": memory}


def compare(
    name: str,
    model: RBM,
    rows: np.ndarray,
    works: dict[str, Work],
    *,
    limits: dict[str, float],
    batch_size: int,
    rounds: int,
    seed: int,
    first: dict[str, tuple[tuple[Any, ...], float]] | None = None,
) -> dict[str, Any]:
    """The record of epochs of `rows` by `works`, and by their five products alone.

    Args:
      name: of what they train by.
      limits: of the checks, by contestant.
      first: as for `timing.contest`.
    """
    num_steps, images = -(-len(rows) // batch_size), common.as_float(rows[:1000])
    ours, *others = works.items()
    products = by_products(model, batch_size, num_steps)
    sizes = (model.visible.size, model.hidden.size)
    name = f"{name}, {sizes[0]}–{sizes[1]}, batch {batch_size}"
    contestants = timing.contest(
        name,
        dict([ours, ("products", products), *others]),
        rounds,
        seed=seed,
        check=partial(check, model, images=images, limits=limits),
        first=first,
    )
    timing.add_milliseconds(contestants, "step", num_steps)
    # A connection counts once an example, as in "connection updates per second".
    timing.add_rates(contestants, connections=sizes[0] * sizes[1] * len(rows))
    first_seconds = contestants["jboltz"]["first_seconds"]
    return {
        "title": f"{name}: {num_steps} updates",
        "num_examples": len(rows),
        "num_hidden": sizes[1],
        "batch_size": batch_size,
        "num_steps": num_steps,
        "contestants": contestants,
        "first_epoch_seconds": first_seconds,
        "compile_seconds": first_seconds - contestants["jboltz"]["seconds"]["median"],
    }


def by_jboltz(
    model: RBM,
    estimator: Estimator,
    params: RBMParams,
    rows: np.ndarray,
    key: Key[Array, ""],
    *,
    batch_size: int,
) -> Work:
    """One epoch by `fit`, as any user calls it; every call is the next epoch."""
    step = train_step(estimator)
    prepare = jax.tree_util.Partial(LayerFeatures((model,)), ())
    key_init, key_fit = jax.random.split(key)
    state = init_train_state(params, estimator, OPTIMIZER, key_init)
    data, epochs = jnp.asarray(rows), itertools.count()

    def work():
        nonlocal state
        epoch = next(epochs)
        state, _ = fit(
            step,
            state,
            data,
            key_fit,
            batch_size=batch_size,
            first_epoch=epoch,
            num_epochs=epoch + 1,
            prepare=prepare,
        )
        return common.as_machine(jax.block_until_ready(state.params))

    return work


@cache
def train_step(estimator: Estimator) -> TrainStep:
    """The same one for an estimator, so that what was compiled serves again."""
    return make_train_step(estimator, OPTIMIZER)


def trained(
    model: RBM,
    params: RBMParams,
    rows: np.ndarray,
    key: Key[Array, ""],
    *,
    batch_size: int,
) -> RBMParams:
    """The parameters after an epoch of CD-1, for tasks that need a model of images."""
    estimator = ContrastiveDivergence(model, Gibbs(model))
    epoch = by_jboltz(model, estimator, params, rows, key, batch_size=batch_size)
    return common.as_params(epoch())


def by_products(model: RBM, batch_size: int, num_steps: int) -> Work:
    """The products alone. The short last batch of an epoch counts as a full one."""
    shape = (model.visible.size, model.hidden.size)
    weights, v = common.orthonormal(shape, batch_size)
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


def check(
    model: RBM,
    outcomes: dict[str, tuple[Any, ...]],
    images: np.ndarray,
    limits: dict[str, float],
) -> dict[str, dict[str, Any]]:
    """That each contestant learnt what jboltz did, to the mean reconstruction error."""

    @jax.jit
    def mean_error(params, images):
        h = jax.vmap(model.mean_hidden_state, in_axes=(None, 0))(params, images)
        v = jax.vmap(model.mean_visible_state, in_axes=(None, 0))(params, h)
        return jnp.mean((images - v) ** 2)

    def error(machine):
        return float(mean_error(common.as_params(machine), images))

    return common.errors_beside(outcomes, error, limits)
