"""What the tasks of `benchmark` share: data, machines as arrays, and a scan."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz.base import Batch, State
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments._benchmark_timing import Work
from jboltz.learning.rows import num_rows
from jboltz.learning.step import TrainState, TrainStep
from jboltz.models.rbm import RBMParams
from jboltz.units.bernoulli import BernoulliParams


def updates(
    step: TrainStep, state: TrainState, batches: State, key: Key[Array, ""]
) -> Work:
    """An update a batch, in one scan; every call goes on where the last one stopped."""
    calls = itertools.count()

    @jax.jit
    def run(state, batches, key):
        keys = jax.random.split(key, num_rows(Batch(values=batches)))
        return jax.lax.scan(
            lambda state, x: step(state, Batch(values=x[0]), x[1]),
            state,
            (batches, keys),
        )

    def work():
        nonlocal state
        key_call = jax.random.fold_in(key, next(calls))
        state, _ = jax.block_until_ready(run(state, batches, key_call))
        return tuple(jax.tree.leaves(state.params))

    return work


def orthonormal(shape: tuple[int, int], num_rows: int) -> tuple[Array, Array]:
    """Orthonormal weights and rows of visible states, for products without end.

    v W Wᵀ then neither grows nor vanishes however often it is taken, and no
    arithmetic is needed to keep it in range.
    """
    rng = np.random.default_rng(0)
    left, _, right = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    v = rng.standard_normal((num_rows, shape[0]))
    return jnp.asarray(left @ right, jnp.float32), jnp.asarray(v, jnp.float32)


def as_float(rows: np.ndarray) -> np.ndarray:
    """Stored images as float32 in [0, 1]."""
    return rows.astype(np.float32) / 255 if rows.dtype == np.uint8 else rows


def binarised(images: np.ndarray, seed: int) -> np.ndarray:
    uniforms = np.random.default_rng(seed).random(images.shape, np.float32)
    return (uniforms < images).astype(np.float32)


def as_machine(params: RBMParams) -> tuple[Array, Array, Array]:
    return params.weights, params.visible.bias, params.hidden.bias


def flat(machines: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The arrays of all, one machine after another."""
    return tuple(itertools.chain.from_iterable(machines))


def as_params(machine: tuple[Any, ...]) -> RBMParams:
    weights, visible_bias, hidden_bias = (jnp.asarray(np.asarray(x)) for x in machine)
    return RBMParams(
        visible=BernoulliParams(bias=visible_bias),
        hidden=BernoulliParams(bias=hidden_bias),
        weights=weights,
    )


def sizes(layers: tuple[int, ...]) -> str:
    """As "784–500" of (784, 500)."""
    return "–".join(map(str, layers))


def errors_beside(
    outcomes: dict[str, tuple[Any, ...]],
    error: Callable[[tuple[Any, ...]], float],
    limits: dict[str, float],
) -> dict[str, dict[str, Any]]:
    """The checks that each contestant's reconstruction error is jboltz's; limits are
    0.05 where none is named."""
    ours, checks = error(outcomes["jboltz"]), {}
    for name, outcome in outcomes.items():
        if name == "products":
            checks[name] = timing.not_finite(outcome)
            continue
        value = error(outcome)
        checks[name] = {
            "what": "relative distance of its reconstruction error from jboltz's",
            "value": abs(value / ours - 1),
            "limit": limits.get(name, 0.05),
            "reconstruction_error": value,
        }
    return checks
