"""The fine-tuning task of `benchmark`: updates of a classifier by Adam."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jboltz.experiments import _benchmark_common as common
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments._benchmark_timing import Work
from jboltz.learning.step import init_train_state, make_train_step
from jboltz.nets.classifier import Classifier
from jboltz.nets.finetune import CrossEntropy, LabelledExamples

LAYERS = (784, 500, 500, 2000, 10)
BATCH_SIZE = 128
UPDATES = 40
"""A call; each one gets its own batch."""


def measure(
    rows: np.ndarray, key: Key[Array, ""], *, rounds: int, seed: int
) -> dict[str, Any]:
    """The record of the task: updates on gray images, and their products alone."""
    images = common.as_float(rows[np.arange(UPDATES * BATCH_SIZE) % len(rows)])
    batches = jnp.asarray(images.reshape(UPDATES, BATCH_SIZE, -1))
    works = {"jboltz": by_jboltz(batches, key), "products": by_products(batches)}
    contestants = timing.beside_products("fine-tuning", works, rounds, seed=seed)
    timing.add_milliseconds(contestants, "step", UPDATES)
    title = f"Fine-tuning {common.sizes(LAYERS)}: {UPDATES} updates of {BATCH_SIZE} "
    about = {"title": title + "examples by Adam"}
    about |= {"layers": LAYERS, "batch_size": BATCH_SIZE, "updates": UPDATES}
    return {**about, "contestants": contestants}


def by_jboltz(
    batches: Float[Array, "updates batch pixels"], key: Key[Array, ""]
) -> Work:
    """Updates in one scan; every call goes on where the last one stopped."""
    net = Classifier(LAYERS[1:-1], LAYERS[-1])
    estimator, optimizer = CrossEntropy(net), optax.adamw(0.001)
    step = make_train_step(estimator, optimizer)
    key_init, key_labels, key_run = jax.random.split(key, 3)
    params = net.init(key_init, batches[0, 0])["params"]
    state = init_train_state(params, estimator, optimizer, key_init)
    labels = jax.random.randint(key_labels, batches.shape[:2], 0, LAYERS[-1])
    return common.updates(
        step, state, LabelledExamples(images=batches, labels=labels), key_run
    )


def by_products(batches: Float[Array, "updates batch pixels"]) -> Work:
    weights = tuple(
        common.orthonormal(shape, 1)[0] for shape in itertools.pairwise(LAYERS)
    )
    run = jax.jit(products)
    return lambda: jax.block_until_ready(run(weights, batches))


def products(
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
