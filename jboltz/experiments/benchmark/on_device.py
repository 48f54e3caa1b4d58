"""What `accelerator` measures, in JAX.

A work is made from a row, a number of steps and a key. It is a state, and a function
(state, key) -> state that takes the steps.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import jboltz
from jboltz import random
from jboltz.evaluation.log_partitions import missing_intervals_allowed
from jboltz.learning.pretrain import LayerFeatures

HIGH_LOW = "bfloat16_high_low"
"""The precision of a `HighLowRBM`, beside those that the library has by name."""

REPLICAS = 8
"""Replicas of a tempered chain. A row counts the states of all of them."""


@dataclasses.dataclass(frozen=True)
class Row:
    """What is measured; `work` is a name in `WORKS`."""

    work: str
    shape: tuple[int, int]  # visible units, hidden units
    num_rows: int  # examples of a batch, or chains
    precision: str = "bfloat16"
    keys: str = "threefry2x32"
    library: str = "jboltz"


def by_parts(x: Float[Array, " n"], weights: Float[Array, "n m"]) -> Float[Array, " m"]:
    """x @ weights by two products of bfloat16, for x that bfloat16 holds exactly.

    The weights are the sum of a high part and a low part, which keep 16 bits of them.
    So is the derivative by the result, in the gradient of the weights.
    """
    total: Any = 0.0
    for part in (_high, _low):
        factor = weights + jax.lax.stop_gradient(part(weights) - weights)
        product = jnp.matmul(x, factor, precision="BF16_BF16_F32")
        total = total + _with_part_of_derivative(part, product)
    return total


def _high(x: Array) -> Array:
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)


def _low(x: Array) -> Array:
    return _high(x - _high(x))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _with_part_of_derivative(part: Callable[[Array], Array], x: Array) -> Array:
    return x


_with_part_of_derivative.defvjp(
    lambda part, x: (x, None), lambda part, _, derivative: (part(derivative),)
)


class HighLowRBM(jboltz.RBM):
    """An RBM of binary units whose products are those of `by_parts`."""

    def hidden_inputs(self, params, v):
        return by_parts(v, params.weights)

    def visible_inputs(self, params, h):
        return by_parts(h, params.weights.T)


def model_of(row: Row) -> jboltz.RBM:
    model = HighLowRBM if row.precision == HIGH_LOW else jboltz.RBM
    return model(*map(jboltz.Bernoulli, row.shape))


def precision_of(row: Row) -> Any:
    """As the library is asked for it; a `HighLowRBM` states its own."""
    return "float32" if row.precision == HIGH_LOW else row.precision


def step_and_state(row: Row, key: Any) -> Any:
    model = model_of(row)
    gibbs, optimizer = jboltz.Gibbs(model), optax.sgd(1e-3)
    estimator: Any = jboltz.ContrastiveDivergence(model, gibbs)
    if row.work == "PCD-1":
        estimator = jboltz.PersistentContrastiveDivergence(model, gibbs, row.num_rows)
    state = jboltz.init_train_state(model.init(key), estimator, optimizer, key)
    precision = precision_of(row)
    return jboltz.make_train_step(estimator, optimizer, precision=precision), state


def train(row: Row, num_steps: int, key: Any) -> Any:
    """Updates on one batch that stays on the device."""
    step, state = step_and_state(row, key)

    @partial(jax.jit, donate_argnums=0)
    def advance(carry, key):
        def update(state, index):
            batch = jboltz.Batch(values=carry[1])
            return step(state, batch, random.fold_in(key, index))[0], None

        return jax.lax.scan(update, carry[0], jnp.arange(num_steps))[0], carry[1]

    return (state, binary(row.num_rows, row, key)), advance


def fit(row: Row, num_steps: int, key: Any) -> Any:
    """An epoch, as users train: it chooses rows and draws them from gray images."""
    step, state = step_and_state(row, key)
    shape = (num_steps * row.num_rows, row.shape[0])
    images = jax.random.bits(key, shape, jnp.uint8)
    prepare = jax.tree_util.Partial(LayerFeatures((model_of(row),)), ())
    epoch = partial(jboltz.fit, batch_size=row.num_rows, num_epochs=1, prepare=prepare)
    return state, lambda state, key: epoch(step, state, images, key)[0]


def sample(row: Row, num_steps: int, key: Any) -> Any:
    """Gibbs sweeps; or steps of tempering, with as many states in all replicas."""
    model, num_chains = model_of(row), row.num_rows
    sampler: Any = jboltz.Gibbs(model)
    if row.work == "tempering":
        sampler = jboltz.ParallelTempering(jboltz.Annealed(model), REPLICAS)
        num_chains //= REPLICAS
    params = model.init(key)
    run = partial(jboltz.run_chains, sampler, num_steps=num_steps)

    @jax.jit
    def advance(carry, key):
        params, chains = carry
        with jax.default_matmul_precision(precision_of(row)):
            return params, run(params, chains, key)[0]

    v = binary(num_chains, row, key)
    return (params, jboltz.init_chains(sampler, params, v, key)), advance


def anneal(row: Row, num_steps: int, key: Any) -> Any:
    """A ladder of importance sampling, a rung a step."""
    annealed, num_chains = jboltz.Annealed(model_of(row)), row.num_rows
    start, betas = annealed.init(key), np.linspace(0, 1, num_steps + 1)
    climb = partial(jboltz.annealed_importance_sampling, num_chains=num_chains)

    def advance(start, key):
        with missing_intervals_allowed():
            climb(annealed, start.params, start.base, betas, key)
        return start

    return start, advance


def binary(num_states: int, row: Row, key: Any) -> Array:
    """Visible states of the row's model."""
    return jax.random.bernoulli(key, 0.2, (num_states, row.shape[0])).astype(float)


def multiply(row: Row, num_steps: int, key: Any) -> Any:
    """A product again and again, of matrices as the precision has them in memory."""
    name = row.precision.removesuffix("_high_low")
    dtype = jnp.bfloat16 if name == "bfloat16" else jnp.float32
    x = (jax.random.normal(key, row.shape) / np.sqrt(row.num_rows)).astype(dtype)
    factors = [x, x / 256] if row.precision == HIGH_LOW else [x]

    @jax.jit
    def advance(x, _):
        def step(x, _):
            with jax.default_matmul_precision(name):
                total: Any = sum(
                    jnp.matmul(x, y, preferred_element_type=float) for y in factors
                )
            return total.astype(dtype), None

        return jax.lax.scan(step, x, length=num_steps)[0]

    return x, advance


WORKS = {
    "product": (multiply, 1, 1),
    "CD-1": (train, 5, 1),
    "PCD-1": (train, 5, 1),
    "CD-1 by fit": (fit, 5, 1),
    "Gibbs": (sample, 2, 2),
    "tempering": (sample, 2, 2),
    "AIS": (anneal, 2, 2),
}
"""What makes a work; how many products of all its rows with all weights a step takes;
and how often a step counts a connection, once an example but twice a sweep."""
