"""What contests start from, and what turns a function of JAX into a work."""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import jax
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Key

from jboltz.base import Batch, Estimator, Params, State
from jboltz.experiments.benchmark import peers
from jboltz.experiments.benchmark.worker import Outcome, Work
from jboltz.learning.rows import num_rows
from jboltz.learning.step import init_train_state, make_train_step
from jboltz.models.rbm import RBM, RBMParams
from jboltz.units.bernoulli import Bernoulli, BernoulliParams

Arrays: TypeAlias = tuple[Any, Any, Any]
"""Weights (visible, hidden), visible biases and hidden biases, as arrays of JAX, NumPy
or PyTorch."""


@struct.dataclass
class Inputs:
    """What every contest is given."""

    rows: np.ndarray  # (images, pixels), stored as uint8 or as float in [0, 1]
    seed: int = struct.field(pytree_node=False)

    def key(self, impl: Any = None) -> Key[Array, ""]:
        """For jboltz's draws, made where it is used: keys cannot be pickled."""
        return jax.random.key(self.seed, impl=impl)


@struct.dataclass
class Machine:
    """An RBM to start from, with parameters that are arrays of NumPy."""

    model: RBM = struct.field(pytree_node=False)
    params: RBMParams


def untrained(num_visible: int, num_hidden: int, seed: int) -> Machine:
    """A machine with the parameters that training begins with."""
    model = RBM(Bernoulli(num_visible), Bernoulli(num_hidden))
    params = model.init(jax.random.key(seed))
    return Machine(model=model, params=jax.tree.map(np.array, params))


@struct.dataclass
class Job:
    """What another library is given to do."""

    arrays: tuple[Any, ...]  # `Arrays` to start from; of a DBN those of all its RBMs
    rows: np.ndarray  # in training stored images, in sampling the chains' first states
    size: int = struct.field(pytree_node=False)  # of a batch; in sampling, sweeps
    seed: int = struct.field(pytree_node=False)


PART = 4
"""Another library takes one epoch, which is checked, and then quarters of one."""


def part_of_epoch(num_rows: int, batch_size: int) -> tuple[int, int]:
    """The updates of an epoch, and those of a later call."""
    num_steps = -(-num_rows // batch_size)
    return num_steps, max(1, num_steps // PART)


def epoch_and_parts(job: Job, run: Callable[[int], Outcome]) -> Work:
    """The first call runs all updates of an epoch, a later one those of a part."""
    whole, part = part_of_epoch(len(job.rows), job.size)
    counts = itertools.chain([whole], itertools.repeat(part))
    return lambda: run(next(counts))


def by_peers(table: Mapping[str, str], job: Job) -> dict[str, Any]:
    """The contestants in a table: what `peers.load` finds builds each one's work."""
    return {name: partial(peers.build, table[name], job) for name in table}


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
    """Parameters that are arrays of NumPy."""
    copies: list[Any] = [np.array(x) for x in arrays]
    weights, visible_bias, hidden_bias = copies
    return RBMParams(
        visible=BernoulliParams(bias=visible_bias),
        hidden=BernoulliParams(bias=hidden_bias),
        weights=weights,
    )


def shape(model: RBM) -> tuple[int, int]:
    """The shape of the weights: visible units, hidden units."""
    return model.visible.size, model.hidden.size


def joined(layers: tuple[int, ...]) -> str:
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


def compiled(function: Callable[..., Outcome], *arrays: Any) -> Work:
    """The same call of a function again and again, compiled."""
    run = jax.jit(function)
    return lambda: jax.block_until_ready(run(*arrays))
