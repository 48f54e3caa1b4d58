"""The main job as a task of `benchmark`: one epoch of each layer of a DBN."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jboltz.evaluation.monitors import reconstruction_errors
from jboltz.experiments import _benchmark_cd as cd
from jboltz.experiments import _benchmark_common as common
from jboltz.experiments import _benchmark_peers as peers
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments import _benchmark_torch as in_torch
from jboltz.experiments._benchmark_timing import Work
from jboltz.learning.contrastive import ContrastiveDivergence
from jboltz.learning.pretrain import greedy
from jboltz.learning.step import init_train_state
from jboltz.learning.train import fit
from jboltz.models.dbn import DBN, DBNParams
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import Bernoulli

LAYERS = (784, 500, 200)
BATCH_SIZE = 64


def measure(
    rows: np.ndarray, key: Key[Array, ""], *, rounds: int, seed: int
) -> dict[str, Any]:
    """The record of the task: CD-1 layer by layer, each from the same start."""
    dbn, images = DBN.chain(*map(Bernoulli, LAYERS)), common.as_float(rows)
    key_params, key_train = jax.random.split(key)
    start = dbn.init(key_params)
    works = {
        "jboltz": by_jboltz(dbn, start, rows, key_train),
        "products": by_products(images),
    }
    if peers.installed()["torch"]:
        machines = tuple(map(common.as_machine, start))
        for name, train in (
            ("torch_loader", in_torch.cd_loader),
            ("torch_notes", in_torch.notes),
        ):
            works[name] = in_torch.stacked(train, machines, images, BATCH_SIZE, seed)
    contestants = timing.contest(
        "DBN",
        works,
        rounds,
        seed=seed,
        check=partial(check, dbn, images=jnp.asarray(images[:1000])),
    )
    num_steps = len(start) * -(-len(rows) // BATCH_SIZE)
    timing.add_milliseconds(contestants, "step", num_steps)
    return {
        "title": f"DBN, {common.sizes(LAYERS)}: {num_steps} updates of {BATCH_SIZE}",
        "layers": LAYERS,
        "batch_size": BATCH_SIZE,
        "num_examples": len(rows),
        "contestants": contestants,
    }


def by_jboltz(
    dbn: DBN, start: DBNParams, rows: np.ndarray, key: Key[Array, ""]
) -> Work:
    """The fold over layers from `start`, at every call."""
    data, calls = jnp.asarray(rows), itertools.count()

    def fit_layer(index, prepare, key):
        rbm = dbn.layers[index]
        estimator = ContrastiveDivergence(rbm, Gibbs(rbm))
        # A copy: training donates what it is given.
        params = jax.tree.map(jnp.copy, start[index])
        state, _ = fit(
            cd.train_step(estimator),
            init_train_state(params, estimator, cd.OPTIMIZER, key),
            data,
            key,
            batch_size=BATCH_SIZE,
            num_epochs=1,
            prepare=prepare,
        )
        return state.params

    def work():
        key_call = jax.random.fold_in(key, next(calls))
        stack = greedy(dbn.layers, key_call, fit_layer=fit_layer)
        return common.flat(map(common.as_machine, jax.block_until_ready(stack)))

    return work


def by_products(images: np.ndarray) -> Work:
    """The products alone, layer by layer. The short last batch is left out."""
    weights = tuple(
        common.orthonormal(shape, 1)[0] for shape in itertools.pairwise(LAYERS)
    )
    num_steps = len(images) // BATCH_SIZE
    batches = images[: num_steps * BATCH_SIZE].reshape(num_steps, BATCH_SIZE, -1)
    run, batches = jax.jit(products, static_argnames="layer"), jnp.asarray(batches)

    def work():
        layers = [run(weights, batches, layer=index) for index in range(len(weights))]
        return common.flat(jax.block_until_ready(layers))

    return work


def products(
    weights: tuple[Float[Array, "_ _"], ...],
    batches: Float[Array, "updates batch pixels"],
    *,
    layer: int,
) -> tuple[Array, Array, Array]:
    """Of each update of a layer those that send data up to it, and the five of CD-1."""

    def update(_, v):
        for W in weights[:layer]:
            v = v @ W
        # Carried on: the compiler can drop none.
        return cd.products(weights[layer], v, num_steps=1), None

    W = weights[layer]
    v = jnp.zeros((batches.shape[1], W.shape[0]), W.dtype)
    return jax.lax.scan(update, (v, jnp.zeros_like(W), jnp.zeros_like(W)), batches)[0]


def check(
    dbn: DBN, outcomes: dict[str, tuple[Any, ...]], images: Float[Array, "batch pixels"]
) -> dict[str, dict[str, Any]]:
    """That each contestant's stack reconstructs as well as jboltz's."""

    def error(outcome):
        machines = (outcome[i : i + 3] for i in range(0, len(outcome), 3))
        params = tuple(map(common.as_params, machines))
        return float(reconstruction_errors(dbn, params, images)[-1])

    return common.errors_beside(outcomes, error, {})
