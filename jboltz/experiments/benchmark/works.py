"""What contests start from, and what turns a function of JAX into a work."""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Key

from jboltz.base import Batch, Estimator, Leaf, Params, State
from jboltz.experiments.benchmark import peers
from jboltz.experiments.benchmark.contest import Outcome, Work
from jboltz.learning.rows import num_rows
from jboltz.learning.step import init_train_state, make_train_step
from jboltz.models.rbm import RBM, RBMParams
from jboltz.units.bernoulli import BernoulliParams

Arrays: TypeAlias = tuple[Any, Any, Any]
"""Weights (visible, hidden), visible biases and hidden biases, as arrays of JAX, NumPy
or PyTorch."""


@struct.dataclass
class Inputs:
    """What every contest is given."""

    rows: np.ndarray  # (images, pixels), stored as uint8 or as float in [0, 1]
    key: Leaf  # for jboltz's draws
    seed: int = struct.field(pytree_node=False)  # for the draws of all others


@struct.dataclass
class Machine:
    """An RBM to start from."""

    model: RBM = struct.field(pytree_node=False)
    params: RBMParams


@struct.dataclass
class Job:
    """What another library is given to do."""

    arrays: tuple[Any, ...]  # `Arrays` to start from; of a DBN those of all its RBMs
    rows: np.ndarray  # in training gray images, in sampling the chains' first states
    size: int = struct.field(pytree_node=False)  # of a batch; in sampling, sweeps
    seed: int = struct.field(pytree_node=False)


def by_peers(
    table: Mapping[str, str], job: Callable[[str], Job]
) -> dict[str, Callable[[], Work | None]]:
    """The contestants in a table: what `peers.load` finds builds each one's work.

    Args:
      job: the name of a contestant → what it is given.
    """

    def build(name):
        return peers.load(table[name])(job(name))

    return {name: partial(build, name) for name in table}


def gray(rows: np.ndarray) -> np.ndarray:
    """Stored images as float32 in [0, 1]."""
    return rows.astype(np.float32) / 255 if rows.dtype == np.uint8 else rows


def binarised(images: np.ndarray, seed: int) -> np.ndarray:
    """One draw of pixels in {0, 1} whose means are the gray values."""
    uniforms = np.random.default_rng(seed).random(images.shape, np.float32)
    return (uniforms < images).astype(np.float32)


def first_rows(rows: np.ndarray, number: int) -> np.ndarray:
    """The first `number` images; they are repeated where there are fewer."""
    return rows[np.arange(number) % len(rows)]


def binary_images(inputs: Inputs, number: int) -> np.ndarray:
    """The first `number` images, binarised."""
    return binarised(gray(first_rows(inputs.rows, number)), inputs.seed)


def as_arrays(params: RBMParams) -> Arrays:
    return params.weights, params.visible.bias, params.hidden.bias


def as_params(arrays: Arrays) -> RBMParams:
    weights, visible_bias, hidden_bias = (jnp.asarray(np.asarray(x)) for x in arrays)
    return RBMParams(
        visible=BernoulliParams(bias=visible_bias),
        hidden=BernoulliParams(bias=hidden_bias),
        weights=weights,
    )


def shape(model: RBM) -> tuple[int, int]:
    """The shape of the weights: visible units, hidden units."""
    return model.visible.size, model.hidden.size


def sizes(layers: tuple[int, ...]) -> str:
    """As "784–500" of (784, 500)."""
    return "–".join(map(str, layers))


def continued(
    advance: Callable[[State, Key[Array, ""]], State],
    state: State,
    key: Key[Array, ""],
    outcome: Callable[[State], Outcome] = tuple,
) -> Work:
    """Every call goes on where the last one stopped, with a key of its own.

    Args:
      advance: state, key → the next state.
      outcome: what is to be checked of a state; by default all of it.
    """
    calls = itertools.count()

    def work():
        nonlocal state
        key_call = jax.random.fold_in(key, next(calls))
        state = jax.block_until_ready(advance(state, key_call))
        return outcome(state)

    return work


def updates(
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    params: Params,
    batches: State,
    key: Key[Array, ""],
) -> Work:
    """One update for each batch, in one scan."""
    step = make_train_step(estimator, optimizer)
    key_init, key_run = jax.random.split(key)

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


def of_products(
    products: Callable[[Array, Array], Outcome], shape: tuple[int, int], num_rows: int
) -> Work:
    """Products of orthonormal weights with as many rows."""
    weights, v = orthonormal(shape, num_rows)
    return compiled(products, weights, v)


def compiled(function: Callable[..., Outcome], *arrays: Any) -> Work:
    """The same call of a function again and again, compiled."""
    run = jax.jit(function)
    return lambda: jax.block_until_ready(run(*arrays))


def orthonormal(shape: tuple[int, int], num_rows: int) -> tuple[Array, Array]:
    """Orthonormal weights and rows of visible states, for products without end.

    v W Wᵀ then neither grows nor vanishes however often it is taken, and no
    arithmetic is needed to keep it in range.
    """
    rng = np.random.default_rng(0)
    left, _, right = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    v = rng.standard_normal((num_rows, shape[0]))
    return jnp.asarray(left @ right, jnp.float32), jnp.asarray(v, jnp.float32)


def orthonormal_layers(
    layers: tuple[int, ...], num_rows: int = 1
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """`orthonormal` for each pair of neighbouring layers: all weights, then all rows
    of the lower layers."""
    pairs = [orthonormal(shape, num_rows) for shape in itertools.pairwise(layers)]
    return tuple(weights for weights, _ in pairs), tuple(rows for _, rows in pairs)
