"""The contests of deep networks, each beside its products alone: joint updates of a
deep Boltzmann machine, its mean-field sweeps, and updates of a classifier."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jboltz.experiments.benchmark import sampling, works
from jboltz.experiments.benchmark.contest import Contest, Outcome, Record
from jboltz.experiments.benchmark.works import Inputs
from jboltz.learning import mean_field as posteriors
from jboltz.models.dbm import DBM
from jboltz.nets.classifier import Classifier
from jboltz.nets.finetune import CrossEntropy, LabelledExamples
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import Bernoulli

DBM_LAYERS = (784, 500, 1000)
DBM_BATCH = DBM_CHAINS = 100
DBM_STEPS, DBM_SWEEPS = 5, 10
DBM_UPDATES = 20
"""A call; each one gets its own batch."""

NUM_POSTERIORS = 1000
SWEEPS = 10
"""A call; all are taken."""

NET_LAYERS = (784, 500, 500, 2000, 10)
NET_BATCH = 128
NET_UPDATES = 40
"""A call; each one gets its own batch."""


def dbm_step(inputs: Inputs) -> Contest:
    """Joint updates on binarised images."""
    images = works.binary_images(inputs, DBM_UPDATES * DBM_BATCH)
    batches = jnp.asarray(images.reshape(DBM_UPDATES, DBM_BATCH, -1))
    (W0, W1), (v, h) = works.orthonormal_layers(DBM_LAYERS, DBM_BATCH)
    run = partial(dbm_products, updates=DBM_UPDATES)

    def by_jboltz():
        dbm = DBM(tuple(map(Bernoulli, DBM_LAYERS)))
        # No tolerance: every sweep is taken.
        estimator = posteriors.MeanFieldPCD(
            dbm, Gibbs(dbm), DBM_CHAINS, DBM_STEPS, tolerance=0.0, max_sweeps=DBM_SWEEPS
        )
        key_params, key_train = jax.random.split(inputs.key)
        params, optimizer = dbm.init(key_params), optax.sgd(0.01)
        return works.updates(estimator, optimizer, params, batches, key_train)

    return Contest(
        title=f"DBM, {works.sizes(DBM_LAYERS)}: {DBM_UPDATES} joint updates of "
        f"{DBM_BATCH} examples and {DBM_CHAINS} chains",
        sizes={
            "layers": DBM_LAYERS,
            "batch_size": DBM_BATCH,
            "num_chains": DBM_CHAINS,
            "num_steps": DBM_STEPS,
            "num_sweeps": DBM_SWEEPS,
            "updates": DBM_UPDATES,
        },
        contestants={
            "jboltz": by_jboltz,
            "products": lambda: works.compiled(run, W0, W1, v, h),
        },
        parts={"step": DBM_UPDATES},
    )


def dbm_products(
    W0: Float[Array, "visible hidden"],
    W1: Float[Array, "hidden top"],
    v: Float[Array, "batch visible"],
    h: Float[Array, "batch hidden"],
    *,
    updates: int,
) -> tuple[Array, ...]:
    """The products that a joint update cannot do without, and nothing else.

    Mean field: up once, then up and down between the hidden layers a sweep. A Gibbs
    step: both layers down and up. Statistics: an outer product a layer and phase.
    """

    def gibbs(carry, _):
        v, h, _ = carry
        v, top = h @ W0.T, h @ W1
        return (v, 0.5 * (v @ W0 + top @ W1.T), top), None

    def update(carry, _):
        v, h, _ = carry
        m, _ = sampling.products(W1, v @ W0, num_sweeps=DBM_SWEEPS)
        top = m @ W1
        x, y, z = jax.lax.scan(gibbs, (v, h, top), length=DBM_STEPS)[0]
        # Carried on: the compiler can drop none.
        return (x, y, (v.T @ m, m.T @ top, x.T @ y, y.T @ z)), None

    zeros = jnp.zeros_like(W0), jnp.zeros_like(W1)
    start = (v, h, zeros + zeros)
    v, h, outer = jax.lax.scan(update, start, length=updates)[0]
    return v, h, *outer


def mean_field(inputs: Inputs) -> Contest:
    """Posteriors of binarised images."""
    images = jnp.asarray(works.binary_images(inputs, NUM_POSTERIORS))
    (W0, W1), (v, _) = works.orthonormal_layers(DBM_LAYERS, NUM_POSTERIORS)
    dbm = DBM(tuple(map(Bernoulli, DBM_LAYERS)))
    # Larger weights than a start's, with which it converges before the last sweep.
    params = jax.tree.map(lambda x: 10 * x, dbm.init(inputs.key))

    def sweeps(params, v):
        # No tolerance: every sweep is taken, unless none moves any more.
        options = {"tolerance": 0.0, "max_sweeps": SWEEPS}
        q = jax.vmap(partial(posteriors.mean_field, dbm, params, **options))(v)
        return *q.activities, q.num_sweeps

    def check(contestant: str, outcome: Outcome, ours: Outcome) -> Record:
        del contestant, ours
        missed = SWEEPS - int(np.min(outcome[-1]))
        return {"what": "sweeps not taken", "value": missed, "limit": 0}

    return Contest(
        title=f"Mean field, {works.sizes(DBM_LAYERS)}: {SWEEPS} sweeps of "
        f"{NUM_POSTERIORS} examples",
        sizes={"layers": DBM_LAYERS, "num_examples": NUM_POSTERIORS, "sweeps": SWEEPS},
        contestants={
            "jboltz": lambda: works.compiled(sweeps, params, images),
            "products": lambda: works.compiled(mean_field_products, W0, W1, v),
        },
        check=check,
        parts={"sweep": SWEEPS},
    )


def mean_field_products(
    W0: Float[Array, "visible hidden"],
    W1: Float[Array, "hidden top"],
    v: Float[Array, "batch visible"],
) -> tuple[Array, Array]:
    """Up from the data once, then up and down between the hidden layers a sweep."""
    return sampling.products(W1, v @ W0, num_sweeps=SWEEPS)


def finetune(inputs: Inputs) -> Contest:
    """Updates of a classifier by Adam, on gray images."""
    images = works.gray(works.first_rows(inputs.rows, NET_UPDATES * NET_BATCH))
    batches = jnp.asarray(images.reshape(NET_UPDATES, NET_BATCH, -1))
    weights, _ = works.orthonormal_layers(NET_LAYERS)

    def by_jboltz():
        net = Classifier(NET_LAYERS[1:-1], NET_LAYERS[-1])
        key_params, key_labels, key_train = jax.random.split(inputs.key, 3)
        params = net.init(key_params, batches[0, 0])["params"]
        labels = jax.random.randint(key_labels, batches.shape[:2], 0, NET_LAYERS[-1])
        examples = LabelledExamples(images=batches, labels=labels)
        optimizer = optax.adamw(0.001)
        return works.updates(CrossEntropy(net), optimizer, params, examples, key_train)

    return Contest(
        title=f"Fine-tuning {works.sizes(NET_LAYERS)}: {NET_UPDATES} updates of "
        f"{NET_BATCH} examples by Adam",
        sizes={"layers": NET_LAYERS, "batch_size": NET_BATCH, "updates": NET_UPDATES},
        contestants={
            "jboltz": by_jboltz,
            "products": lambda: works.compiled(net_products, weights, batches),
        },
        parts={"step": NET_UPDATES},
    )


def net_products(
    weights: tuple[Float[Array, "_ _"], ...],
    batches: Float[Array, "updates batch pixels"],
) -> tuple[Array, ...]:
    """The products that an update cannot do without: of each layer one up, one for its
    gradient, and, but for the first, one down."""

    def update(_, x):
        states = [x]
        for W in weights:
            states.append(states[-1] @ W)
        down, gradients = states.pop(), []
        for W in reversed(weights[1:]):
            gradients.append(states.pop().T @ down)
            down = down @ W.T
        gradients.append(states.pop().T @ down)
        # Carried on: the compiler can drop none.
        return tuple(reversed(gradients)), None

    return jax.lax.scan(update, tuple(map(jnp.zeros_like, weights)), batches)[0]
