"""The contests of training: an epoch of CD-1, of PCD-1, and of each layer of a DBN."""

import itertools
from collections.abc import Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jboltz.base import Estimator
from jboltz.evaluation.monitors import reconstruction_errors
from jboltz.experiments.benchmark import floors, peers, works
from jboltz.experiments.benchmark.contest import Check, Contest, Record
from jboltz.experiments.benchmark.floors import Floor
from jboltz.experiments.benchmark.sizes import Sizes
from jboltz.experiments.benchmark.worker import Outcome, Work
from jboltz.experiments.benchmark.works import Inputs, Job, Machine
from jboltz.learning.contrastive import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
)
from jboltz.learning.pretrain import LayerFeatures, greedy
from jboltz.learning.step import TrainStep, init_train_state, make_train_step
from jboltz.learning.train import fit
from jboltz.models.dbn import DBN
from jboltz.models.rbm import RBMParams
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
    rows, shape = inputs.rows, works.shape(machine.model)
    if num_steps is not None:
        rows = works.first_rows(rows, num_steps * batch_size)
    num_steps, part = works.part_of_epoch(len(rows), batch_size)
    arrays = works.as_arrays(machine.params)
    job = Job(arrays=arrays, rows=rows, size=batch_size, seed=inputs.seed)
    # The short last batch of an epoch counts as a full one.
    floor = Floor(floors.cd, shape, batch_size, num_steps)
    return Contest(
        title=f"{rule}, {works.joined(shape)}, batch {batch_size}: {num_steps} updates",
        sizes={
            "num_examples": len(rows),
            "num_hidden": shape[1],
            "batch_size": batch_size,
            "num_steps": num_steps,
        },
        contestants={
            "jboltz": partial(epochs, rule, machine, rows, inputs.seed, batch_size),
            **floors.contestants(floor),
            **works.by_peers(RULES[rule], job),
        },
        check=same_errors(DBN((machine.model,)), works.gray(rows[:1000])),
        parts={"step": num_steps},
        # A connection counts once an example, as in "connection updates per second".
        amounts={"connections": shape[0] * shape[1] * len(rows)},
        fractions=dict.fromkeys(RULES[rule], part / num_steps),
    )


def fixed_cost(machine: Machine, inputs: Inputs, batch_size: int) -> Contest:
    """`fit` of one batch, beside the products of one update: what a call costs.

    Its compile seconds are those of the whole training program.
    """
    one = epoch("CD-1", machine, inputs, batch_size, num_steps=1)
    return Contest(
        title=f"`fit` of one batch of {batch_size}: 1 update",
        sizes=one.sizes,
        contestants={
            name: build
            for name, build in one.contestants.items()
            if name == "jboltz" or name in peers.FLOORS
        },
        parts={"step": 1},
    )


def epochs(
    rule: str, machine: Machine, rows: np.ndarray, seed: int, batch_size: int
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
    key_init, key_fit = jax.random.split(jax.random.key(seed))
    params = jax.tree.map(jnp.array, machine.params)
    state = init_train_state(params, estimator, OPTIMIZER, key_init)
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
    arrays = epochs("CD-1", machine, inputs.rows, inputs.seed, batch_size)()
    return Machine(model=machine.model, params=works.as_params(arrays))


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


def dbn_epoch(inputs: Inputs, sizes: Sizes) -> Contest:
    """The main job: CD-1 layer by layer, an epoch each, always from the same start."""
    layers, batch_size = sizes.dbn_layers, sizes.batch_size
    dbn, rows = DBN.chain(*map(Bernoulli, layers)), inputs.rows
    start = jax.tree.map(np.asarray, dbn.init(inputs.key()))
    stack = tuple(map(works.as_arrays, start))
    num_steps = -(-len(rows) // batch_size)
    floor = [
        Floor(
            partial(floors.pretraining, layer),
            layers,
            batch_size,
            num_steps,
            state=(layer,),
            has_batches=True,
        )
        for layer in range(len(start))
    ]
    job = Job(arrays=stack, rows=rows, size=batch_size, seed=inputs.seed)
    num_updates = len(start) * num_steps
    return Contest(
        title=f"DBN, {works.joined(layers)}: {num_updates} updates of {batch_size}",
        sizes={"layers": layers, "batch_size": batch_size, "num_examples": len(rows)},
        contestants={
            "jboltz": partial(pretraining, dbn, start, inputs, batch_size),
            **floors.contestants(*floor),
            **works.by_peers(DBN_PEERS, job),
        },
        check=same_errors(dbn, works.gray(rows[:1000])),
        parts={"step": num_updates},
    )


def pretraining(
    dbn: DBN, start: Sequence[RBMParams], inputs: Inputs, batch_size: int
) -> Work:
    """An epoch of each layer by `fit`, in the fold of `greedy`."""
    data = jnp.asarray(inputs.rows)

    def fit_layer(index, prepare, key):
        rbm = dbn.layers[index]
        estimator = ContrastiveDivergence(rbm, Gibbs(rbm))
        # A copy: training donates what it is given.
        params = jax.tree.map(jnp.array, start[index])
        state, _ = fit(
            train_step(estimator),
            init_train_state(params, estimator, OPTIMIZER, key),
            data,
            key,
            batch_size=batch_size,
            num_epochs=1,
            prepare=prepare,
        )
        return state.params

    def fold(_, key):
        layers = greedy(dbn.layers, key, fit_layer=fit_layer)
        return [x for params in layers for x in works.as_arrays(params)]

    return works.continued(fold, None, inputs.key())
