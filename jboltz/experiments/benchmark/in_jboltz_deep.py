"""The contestants by jboltz that train deep networks, and infer with them."""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from jboltz.base import Batch, Estimator, Params, State
from jboltz.experiments.benchmark import works
from jboltz.experiments.benchmark.in_jboltz import continued
from jboltz.experiments.benchmark.works import Job, Work
from jboltz.learning import mean_field as posteriors
from jboltz.learning.rows import num_rows
from jboltz.learning.step import init_train_state, make_train_step
from jboltz.models.dbm import DBM
from jboltz.nets.classifier import Classifier
from jboltz.nets.finetune import CrossEntropy, LabelledExamples
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import Bernoulli


def dbm_step(job: Job) -> Work:
    """Joint updates of a DBM by `MeanFieldPCD` on binarised images, in one scan."""
    sizes = job.sizes
    images = works.binary_images(job, sizes.dbm_updates * sizes.dbm_batch)
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
    params = dbm.init(works.key(job))
    return _updates(job, estimator, optax.sgd(0.01), params, batches)


def mean_field(job: Job) -> Work:
    """Mean-field posteriors of binarised images, and the sweeps that each one took."""
    images = jnp.asarray(works.binary_images(job, job.sizes.num_posteriors))
    dbm = DBM(tuple(map(Bernoulli, job.sizes.dbm_layers)))
    # Larger weights than a start's, with which it converges before the last sweep.
    params = jax.tree.map(lambda x: 10 * x, dbm.init(works.key(job)))

    @jax.jit
    def sweeps(params, v):
        # No tolerance: every sweep is taken, unless none moves any more.
        options = {"tolerance": 0.0, "max_sweeps": job.sizes.dbm_sweeps}
        q = jax.vmap(partial(posteriors.mean_field, dbm, params, **options))(v)
        return *q.activities, q.num_sweeps

    return lambda: jax.block_until_ready(sweeps(params, images))


def finetune(job: Job) -> Work:
    """Updates of a classifier by Adam on gray images, in one scan."""
    sizes, shape = job.sizes, (job.sizes.net_updates, job.sizes.net_batch)
    images = works.gray(works.first_rows(job.rows, shape[0] * shape[1]))
    batches = jnp.asarray(images.reshape(*shape, -1))
    net = Classifier(sizes.net_layers[1:-1], sizes.net_layers[-1])
    key_params, key_labels = jax.random.split(works.key(job))
    params = net.init(key_params, batches[0, 0])["params"]
    labels = jax.random.randint(key_labels, shape, 0, sizes.net_layers[-1])
    examples = LabelledExamples(images=batches, labels=labels)
    return _updates(job, CrossEntropy(net), optax.adamw(0.001), params, examples)


def _updates(
    job: Job,
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    params: Params,
    batches: State,
) -> Work:
    """One update for each batch."""
    step = make_train_step(estimator, optimizer)
    key_init, key_run = jax.random.split(works.key(job))

    @jax.jit
    def advance(state, batches, key):
        keys = jax.random.split(key, num_rows(Batch(values=batches)))
        return jax.lax.scan(
            lambda state, x: step(state, Batch(values=x[0]), x[1]),
            state,
            (batches, keys),
        )[0]

    return continued(
        lambda state, key: advance(state, batches, key),
        init_train_state(params, estimator, optimizer, key_init),
        key_run,
        lambda state: tuple(jax.tree.leaves(state.params)),
    )
