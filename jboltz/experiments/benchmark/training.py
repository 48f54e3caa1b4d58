"""The contests of training: an epoch of CD-1, of PCD-1, and of each layer of a DBN."""

import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jboltz.base import Estimator
from jboltz.evaluation.monitors import reconstruction_errors
from jboltz.experiments.benchmark import peers, works
from jboltz.experiments.benchmark.contest import Check, Contest, Outcome, Record, Work
from jboltz.experiments.benchmark.works import Inputs, Job, Machine
from jboltz.learning.contrastive import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
)
from jboltz.learning.pretrain import LayerFeatures, greedy
from jboltz.learning.step import TrainStep, init_train_state, make_train_step
from jboltz.learning.train import fit
from jboltz.models.dbn import DBN
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import Bernoulli

OPTIMIZER = optax.sgd(peers.LEARNING_RATE)

RULES = {
    "CD-1": {
        "torch": "in_torch.cd",
        "torch_compiled": "in_torch.cd_compiled",
        "torch_loader": "in_torch.cd_loader",
        "torch_notes": "in_torch.notes",
        "rbms": "in_rbms.cd",
        "sklearn": "in_sklearn.pcd",
    },
    "PCD-1": {
        "torch": "in_torch.pcd",
        "rbms": "in_rbms.pcd",
        "sklearn": "in_sklearn.pcd",
    },
}
"""The rules by which an RBM is trained, each with the others that train by it."""

DBN_PEERS = {
    "torch_loader": "in_torch.stacked_cd",
    "torch_notes": "in_torch.stacked_notes",
}

LIMITS = {"jboltz": 0.0, "sklearn": 0.25}
"""Bounds of the checks; 0.05 for all others. scikit-learn starts from its own weights,
and its PCD-1 does not learn quite what CD-1 learns."""

LAYERS = (784, 500, 200)
BATCH_SIZE = 64
"""Layers and batch size of the DBN, as in the main job."""


def epoch(
    rule: str,
    machine: Machine,
    inputs: Inputs,
    batch_size: int,
    num_steps: int | None = None,
) -> Contest:
    """An epoch by a rule of `RULES`, from the parameters of `machine`.

    Args:
      num_steps: the updates of the epoch; by default as many as the images make.
    """
    if num_steps is None:
        rows, num_steps = inputs.rows, -(-len(inputs.rows) // batch_size)
    else:
        rows = works.first_rows(inputs.rows, num_steps * batch_size)
    shape, arrays = works.shape(machine.model), works.as_arrays(machine.params)
    floor = partial(products, num_steps=num_steps)

    @cache  # Not before a peer needs it: its images would be part of the peak memory.
    def job():
        images, seed = works.gray(rows), inputs.seed
        return Job(arrays=arrays, rows=images, size=batch_size, seed=seed)

    return Contest(
        title=f"{rule}, {works.sizes(shape)}, batch {batch_size}: {num_steps} updates",
        sizes={
            "num_examples": len(rows),
            "num_hidden": shape[1],
            "batch_size": batch_size,
            "num_steps": num_steps,
        },
        contestants={
            "jboltz": lambda: epochs(rule, machine, rows, inputs.key, batch_size),
            # The short last batch of an epoch counts as a full one.
            "products": lambda: works.of_products(floor, shape, batch_size),
            **works.by_peers(RULES[rule], lambda _: job()),
        },
        check=same_errors(DBN((machine.model,)), works.gray(rows[:1000])),
        parts={"step": num_steps},
        # A connection counts once an example, as in "connection updates per second".
        amounts={"connections": shape[0] * shape[1] * len(rows)},
        is_epoch=True,
        reads_memory=rule == "CD-1",
    )


def epochs(
    rule: str, machine: Machine, rows: np.ndarray, key: Key[Array, ""], batch_size: int
) -> Work:
    """One epoch by `fit`, as any user calls it; every call is the next epoch.

    PCD has as many chains as a batch has examples. An update by it then needs the five
    products of CD-1.
    """
    model, sampler = machine.model, Gibbs(machine.model)
    estimator = ContrastiveDivergence(model, sampler)
    if rule == "PCD-1":
        estimator = PersistentContrastiveDivergence(model, sampler, batch_size)
    prepare = jax.tree_util.Partial(LayerFeatures((model,)), ())
    key_init, key_fit = jax.random.split(key)
    state = init_train_state(machine.params, estimator, OPTIMIZER, key_init)
    data, numbers = jnp.asarray(rows), itertools.count()

    def work():
        nonlocal state
        epoch = next(numbers)
        state, _ = fit(
            train_step(estimator),
            state,
            data,
            key_fit,
            batch_size=batch_size,
            first_epoch=epoch,
            num_epochs=epoch + 1,
            prepare=prepare,
        )
        return works.as_arrays(jax.block_until_ready(state.params))

    return work


@cache
def train_step(estimator: Estimator) -> TrainStep:
    """The same object for equal estimators, so that what was compiled serves again."""
    return make_train_step(estimator, OPTIMIZER)


def trained(machine: Machine, inputs: Inputs, batch_size: int) -> Machine:
    """The machine after an epoch of CD-1, for contests that need a model of images."""
    arrays = epochs("CD-1", machine, inputs.rows, inputs.key, batch_size)()
    return Machine(model=machine.model, params=works.as_params(arrays))


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


def same_errors(dbn: DBN, images: np.ndarray) -> Check:
    """Checks that a stack, an RBM at least, reconstructs images as well as jboltz's."""

    def error(outcome: Outcome) -> float:
        stack = [outcome[i : i + 3] for i in range(0, len(outcome), 3)]
        params = tuple(map(works.as_params, stack))
        return reconstruction_errors(dbn, params, jnp.asarray(images))[-1]

    def check(contestant: str, outcome: Outcome, ours: Outcome) -> Record:
        value = error(outcome)
        return {
            "what": "relative distance of its reconstruction error from jboltz's",
            "value": abs(value / error(ours) - 1),
            "limit": LIMITS.get(contestant, 0.05),
            "reconstruction_error": value,
        }

    return check


def dbn_epoch(inputs: Inputs) -> Contest:
    """The main job: CD-1 layer by layer, an epoch each, always from the same start."""
    dbn, rows = DBN.chain(*map(Bernoulli, LAYERS)), inputs.rows
    images = works.gray(rows)
    key_params, key_train = jax.random.split(inputs.key)
    start = dbn.init(key_params)
    stack = tuple(map(works.as_arrays, start))
    num_steps = len(start) * -(-len(rows) // BATCH_SIZE)

    def by_jboltz():
        data = jnp.asarray(rows)

        def fit_layer(index, prepare, key):
            rbm = dbn.layers[index]
            estimator = ContrastiveDivergence(rbm, Gibbs(rbm))
            # A copy: training donates what it is given.
            params = jax.tree.map(jnp.copy, start[index])
            state, _ = fit(
                train_step(estimator),
                init_train_state(params, estimator, OPTIMIZER, key),
                data,
                key,
                batch_size=BATCH_SIZE,
                num_epochs=1,
                prepare=prepare,
            )
            return state.params

        def fold(_, key):
            layers = greedy(dbn.layers, key, fit_layer=fit_layer)
            return [x for params in layers for x in works.as_arrays(params)]

        return works.continued(fold, None, key_train)

    job = Job(arrays=stack, rows=images, size=BATCH_SIZE, seed=inputs.seed)

    return Contest(
        title=f"DBN, {works.sizes(LAYERS)}: {num_steps} updates of {BATCH_SIZE}",
        sizes={"layers": LAYERS, "batch_size": BATCH_SIZE, "num_examples": len(rows)},
        contestants={
            "jboltz": by_jboltz,
            "products": lambda: pretraining_by_products(images),
            **works.by_peers(DBN_PEERS, lambda _: job),
        },
        check=same_errors(dbn, images[:1000]),
        parts={"step": num_steps},
    )


def pretraining_by_products(images: np.ndarray) -> Work:
    """The products alone, layer by layer. The short last batch is left out."""
    weights, _ = works.orthonormal_layers(LAYERS)
    num_steps = len(images) // BATCH_SIZE
    batches = images[: num_steps * BATCH_SIZE].reshape(num_steps, BATCH_SIZE, -1)
    # A program a layer: in one program, two layers could run at the same time.
    run, batches = jax.jit(pretraining_products, static_argnums=2), jnp.asarray(batches)

    def work():
        layers = [run(weights, batches, index) for index in range(len(weights))]
        return tuple(x for layer in jax.block_until_ready(layers) for x in layer)

    return work


def pretraining_products(
    weights: tuple[Float[Array, "_ _"], ...],
    batches: Float[Array, "updates batch pixels"],
    layer: int,
) -> tuple[Array, Array, Array]:
    """For each update of a layer: the products that send data up to it, and the five
    of CD-1."""

    def update(_, v):
        for W in weights[:layer]:
            v = v @ W
        # Carried on: the compiler can drop none.
        return products(weights[layer], v, num_steps=1), None

    W = weights[layer]
    v = jnp.zeros((batches.shape[1], W.shape[0]), W.dtype)
    return jax.lax.scan(update, (v, jnp.zeros_like(W), jnp.zeros_like(W)), batches)[0]
