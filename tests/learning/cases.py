"""The estimators under test, and the machine, data and loops that tests of training
share."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import jboltz
from jboltz import Batch, TrainState
from jboltz.learning.best import BestSoFar
from jboltz.learning.contrastive import HalfStepContrastiveDivergence
from jboltz.learning.discriminative import Discriminative
from jboltz.learning.up_down import untie_weights
from jboltz.nets.classifier import Classifier
from jboltz.nets.finetune import CrossEntropy, LabelledExamples
from jboltz.nets.vae import VAE, NegativeELBO
from jboltz.samplers.langevin import OverRelaxed
from tests.helpers import random_params

# One machine for most tests, so that they share what they compile. Its state has all
# parts: parameters, momenta and persistent chains. The last of three batches is short.
MODEL = jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(4))
ESTIMATOR = jboltz.PersistentContrastiveDivergence(MODEL, jboltz.Gibbs(MODEL), 3)
OPTIMIZER = optax.sgd(0.1, momentum=0.9)
TRAIN_STEP = jboltz.make_train_step(ESTIMATOR, OPTIMIZER)
DATA = np.asarray(jnp.round(jax.random.uniform(jax.random.key(0), (22, 6))))
BATCH_SIZE, STEPS_PER_EPOCH = 8, 3

same = partial(chex.assert_trees_all_close, rtol=2e-5, atol=1e-6)
bit_for_bit = chex.assert_trees_all_equal
compiled = partial(jax.jit, static_argnums=0)(lambda f, *args: f(*args))


def start(key, optimizer=OPTIMIZER):
    params = random_params(MODEL.init(key), key)
    return jboltz.init_train_state(params, ESTIMATOR, optimizer, key)


def epoch_batches(key, epoch, num_examples):
    """(rows, key of the step) of an epoch, from the documented keys."""
    key_order, key_steps = jax.random.split(jax.random.fold_in(key, epoch))
    order = np.asarray(jax.random.permutation(key_order, num_examples))
    for step, first in enumerate(range(0, num_examples, BATCH_SIZE)):
        yield order[first : first + BATCH_SIZE], jax.random.fold_in(key_steps, step)


def by_hand(train_step, state, values, key):
    """One update; of the step's key the second half is the estimator's."""
    _, key_update = jax.random.split(key)
    return compiled(train_step, state, Batch(values=jnp.asarray(values)), key_update)


def appended(metrics):
    return {name: np.array([m[name] for m in metrics]) for name in metrics[0]}


# Every estimator: the conformance suite and `test_types` run on each of them. One entry
# an estimator, over 4 visible units.

B = jboltz.Bernoulli
RBM = jboltz.RBM(B(4), B(3))
REAL = jboltz.RBM(jboltz.Gaussian(4), B(3))
LABELLED = jboltz.RBM(jboltz.Joined(B(4), jboltz.Softmax(1, 2)), B(3))
DBM = jboltz.DBM((B(4), B(3), B(2)))
CD = jboltz.ContrastiveDivergence(RBM, jboltz.Gibbs(RBM))
PCD = jboltz.PersistentContrastiveDivergence(RBM, jboltz.Gibbs(RBM), 2)
REAL_CD = jboltz.ContrastiveDivergence(REAL, OverRelaxed(REAL), jnp.asarray(2))
LABELLED_CD = jboltz.ContrastiveDivergence(LABELLED, jboltz.Gibbs(LABELLED))
TEMPERED = jboltz.ParallelTempering(jboltz.Annealed(RBM), num_replicas=2)
ESTIMATORS = {
    "cd": CD,
    "cd of real units": REAL_CD,
    "half a step": HalfStepContrastiveDivergence(RBM, jboltz.Gibbs(RBM), 2),
    "pcd": PCD,
    "tempered pcd": jboltz.PersistentContrastiveDivergence(RBM, TEMPERED, 2),
    "fast pcd": jboltz.FastPersistentContrastiveDivergence(RBM, jboltz.Gibbs(RBM), 2),
    "mean field": jboltz.MeanFieldPCD(DBM, jboltz.Gibbs(DBM), 2, max_sweeps=5),
    "up-down": jboltz.UpDown(jboltz.DBN.chain(B(4), B(3), B(2))),
    "discriminative": Discriminative(LABELLED),
    "hybrid": jboltz.HybridDiscriminative(LABELLED_CD, 0.1),
    "imputed": jboltz.MissingDataEstimator(PCD, num_steps=2),
    "present only": jboltz.PresentOnly(RBM, 2),
    "centred": jboltz.Centred(REAL_CD),
    "sparse": jboltz.Sparse(PCD, target=0.1, strength=0.1),
    "traced": jboltz.TracedEstimator(PCD),
    "cross-entropy": CrossEntropy(Classifier(hidden=(3,), num_classes=2)),
    "best so far": BestSoFar(PCD),
    "negative elbo": NegativeELBO(VAE(num_visible=4, hidden=(3,), code_size=2)),
}


def init(estimator, key):
    """Parameters of what it trains; nets have an `init` of their own, `UpDown` both
    ways of its model."""
    if isinstance(estimator.model, nn.Module):
        return estimator.model.init(key, jnp.zeros(4))["params"]
    params = estimator.model.init(key)
    return untie_weights(params) if isinstance(estimator, jboltz.UpDown) else params


def examples_for(estimator, images):
    """Rows of 4 pixels, with classes where the estimator takes them."""
    labels = jnp.arange(len(images)) % 2
    if isinstance(estimator, CrossEntropy):
        return LabelledExamples(images=images, labels=labels)
    if estimator.model == LABELLED:
        return images, jax.nn.one_hot(labels, 2, dtype=images.dtype)[:, None]
    return images


# A step that trains nothing and keeps a book: for each row, named by its first entry,
# the weight that it came with, and the order in which all rows came.


def bookkeeping_step(state, batch, key):
    del key
    rows = batch.values[:, 0].astype(jnp.int32)
    weights = 1.0 if batch.weights is None else batch.weights
    position = state.opt_state
    return TrainState(
        step=state.step + 1,
        params={"visits": state.params["visits"].at[rows].add(weights)},
        opt_state=position + len(rows),
        estimator_state=jax.lax.dynamic_update_slice(
            state.estimator_state, rows, (position,)
        ),
    ), {"first row": batch.values[0, 0]}


def open_book(num_rows, num_visits):
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params={"visits": jnp.zeros(num_rows)},
        opt_state=jnp.zeros((), jnp.int32),
        estimator_state=jnp.full(num_visits, -1, jnp.int32),
    )


def numbered(num_rows):
    return np.arange(num_rows, dtype=np.float32)[:, None]


def breaks_at_row_13(state, batch, key):
    """Row 13 makes one leaf NaN, and the next step would make the other one so, too."""
    scale = jnp.where(jnp.any(batch.values == 13), jnp.nan, state.params["scale"])
    new_state, metrics = bookkeeping_step(state, batch, key)
    visits = new_state.params["visits"] + 0 * state.params["scale"]
    return new_state.replace(params={"scale": scale, "visits": visits}), metrics


def breakable_book():
    book = open_book(22, 66)
    return book.replace(params=book.params | {"scale": jnp.ones(())})
