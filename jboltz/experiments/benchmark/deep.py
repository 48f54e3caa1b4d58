"""The contests of deep networks, each beside its products alone: joint updates of a
deep Boltzmann machine, its mean-field sweeps, and updates of a classifier."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jboltz.experiments.benchmark import floors, works
from jboltz.experiments.benchmark.contest import Contest, Record
from jboltz.experiments.benchmark.floors import Floor
from jboltz.experiments.benchmark.sizes import Sizes
from jboltz.experiments.benchmark.worker import Outcome, Work
from jboltz.experiments.benchmark.works import Inputs
from jboltz.learning import mean_field as posteriors
from jboltz.models.dbm import DBM
from jboltz.nets.classifier import Classifier
from jboltz.nets.finetune import CrossEntropy, LabelledExamples
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import Bernoulli


def dbm_step(inputs: Inputs, sizes: Sizes) -> Contest:
    """Joint updates on binarised images."""
    layers, batch, updates = sizes.dbm_layers, sizes.dbm_batch, sizes.dbm_updates
    step = partial(floors.dbm, sizes.dbm_sweeps, sizes.dbm_steps)
    return Contest(
        title=f"DBM, {works.joined(layers)}: {updates} joint updates of "
        f"{batch} examples and {batch} chains",
        sizes={
            "layers": layers,
            "batch_size": batch,
            "num_chains": batch,
            "num_steps": sizes.dbm_steps,
            "num_sweeps": sizes.dbm_sweeps,
            "updates": updates,
        },
        contestants={
            "jboltz": partial(joint_updates, inputs, sizes),
            **floors.contestants(Floor(step, layers, batch, updates, state=(0, 1))),
        },
        parts={"step": updates},
    )


def joint_updates(inputs: Inputs, sizes: Sizes) -> Work:
    """Updates by `MeanFieldPCD`, in one scan."""
    images = works.binary_images(inputs, sizes.dbm_updates * sizes.dbm_batch)
    batches = jnp.asarray(images.reshape(sizes.dbm_updates, sizes.dbm_batch, -1))
    dbm = DBM(tuple(map(Bernoulli, sizes.dbm_layers)))
    # No tolerance: every sweep is taken.
    estimator = posteriors.MeanFieldPCD(
        dbm,
        Gibbs(dbm),
        sizes.dbm_batch,
        sizes.dbm_steps,
        tolerance=0.0,
        max_sweeps=sizes.dbm_sweeps,
    )
    key_params, key_train = jax.random.split(inputs.key())
    params = dbm.init(key_params)
    return works.updates(estimator, optax.sgd(0.01), params, batches, key_train)


def mean_field(inputs: Inputs, sizes: Sizes) -> Contest:
    """Posteriors of binarised images."""
    layers, number, sweeps = sizes.dbm_layers, sizes.num_posteriors, sizes.dbm_sweeps

    def check(contestant: str, outcome: Outcome, ours: Outcome) -> Record:
        del contestant, ours
        missed = sweeps - int(np.min(outcome[-1]))
        return {"what": "sweeps not taken", "value": missed, "limit": 0}

    floor = Floor(partial(floors.mean_field, sweeps), layers, number, 1)
    return Contest(
        title=f"Mean field, {works.joined(layers)}: {sweeps} sweeps of "
        f"{number} examples",
        sizes={"layers": layers, "num_examples": number, "sweeps": sweeps},
        contestants={
            "jboltz": partial(mean_field_sweeps, inputs, sizes),
            **floors.contestants(floor),
        },
        check=check,
        parts={"sweep": sweeps},
    )


def mean_field_sweeps(inputs: Inputs, sizes: Sizes) -> Work:
    """Sweeps by `mean_field`, and how many each example took."""
    images = jnp.asarray(works.binary_images(inputs, sizes.num_posteriors))
    dbm = DBM(tuple(map(Bernoulli, sizes.dbm_layers)))
    # Larger weights than a start's, with which it converges before the last sweep.
    params = jax.tree.map(lambda x: 10 * x, dbm.init(inputs.key()))

    def sweeps(params, v):
        # No tolerance: every sweep is taken, unless none moves any more.
        options = {"tolerance": 0.0, "max_sweeps": sizes.dbm_sweeps}
        q = jax.vmap(partial(posteriors.mean_field, dbm, params, **options))(v)
        return *q.activities, q.num_sweeps

    return works.compiled(sweeps, params, images)


def finetune(inputs: Inputs, sizes: Sizes) -> Contest:
    """Updates of a classifier by Adam, on gray images."""
    layers, batch, updates = sizes.net_layers, sizes.net_batch, sizes.net_updates
    floor = Floor(floors.net, layers, batch, updates, state=(), has_batches=True)
    return Contest(
        title=f"Fine-tuning {works.joined(layers)}: {updates} updates of "
        f"{batch} examples by Adam",
        sizes={"layers": layers, "batch_size": batch, "updates": updates},
        contestants={
            "jboltz": partial(net_updates, inputs, sizes),
            **floors.contestants(floor),
        },
        parts={"step": updates},
    )


def net_updates(inputs: Inputs, sizes: Sizes) -> Work:
    """Updates of a `Classifier`, in one scan."""
    layers, shape = sizes.net_layers, (sizes.net_updates, sizes.net_batch)
    images = works.gray(works.first_rows(inputs.rows, shape[0] * shape[1]))
    batches = jnp.asarray(images.reshape(*shape, -1))
    net = Classifier(layers[1:-1], layers[-1])
    key_params, key_labels, key_train = jax.random.split(inputs.key(), 3)
    params = net.init(key_params, batches[0, 0])["params"]
    labels = jax.random.randint(key_labels, shape, 0, layers[-1])
    examples = LabelledExamples(images=batches, labels=labels)
    return works.updates(
        CrossEntropy(net), optax.adamw(0.001), params, examples, key_train
    )
