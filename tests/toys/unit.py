"""Units with three levels, all equally likely without bias: a toy."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from jboltz import random
from jboltz.base import Leaf, record
from jboltz.domains import Counts
from jboltz.products import full_product
from jboltz.units.biased import DiscreteUnit


@record
class ToyParams:
    """The biases of a layer of toys."""

    bias: Leaf  # (size,)


@dataclasses.dataclass(frozen=True)
class Toy(DiscreteUnit):
    """x_i ∈ {0, 1, 2}: E(x) = −b·x,  Γ(I) = Σ_i log(1 + exp(c_i) + exp(2c_i))."""

    size: int

    Params: ClassVar = ToyParams

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def domain(self) -> Counts:
        return Counts(2)

    def fit(self, values: Float[Array, "examples size"]) -> ToyParams:
        """By Newton's method; one more example of each level keeps it finite."""
        mean = (jnp.sum(values, axis=0) + 3) / (values.shape[0] + 3)

        def step(_, c):
            p = jax.nn.softmax(self._logits(c), axis=0)
            first, second = p[1] + 2 * p[2], p[1] + 4 * p[2]
            return c + jnp.clip((mean - first) / (second - first**2), -1, 1)

        return ToyParams(bias=jax.lax.fori_loop(0, 60, step, jnp.zeros_like(mean)))

    def energy(self, params: ToyParams, x: Float[Array, " size"]) -> Inexact[Array, ""]:
        return full_product(self.activity(params, x), -params.bias)

    def energies(self, params: ToyParams, x: Float[Array, " size"]) -> Array:
        return -params.bias * self.activity(params, x)

    def log_normalizer(self, params: ToyParams, inputs: Array) -> Inexact[Array, ""]:
        return jnp.sum(jax.nn.logsumexp(self._logits(self._field(params, inputs)), 0))

    def mean(self, params: ToyParams, inputs: Array) -> Inexact[Array, " size"]:
        p = jax.nn.softmax(self._logits(self._field(params, inputs)), axis=0)
        return p[1] + 2 * p[2]

    def mean_state(self, params: ToyParams, inputs: Array) -> Inexact[Array, " size"]:
        return self.mean(params, inputs)

    def sample(self, params: ToyParams, inputs: Array, key: Key[Array, ""]) -> Array:
        field = self._field(params, inputs)
        p = jax.nn.softmax(self._logits(random.widened(field)), axis=0)
        u = random.uniform(key, field.shape, p.dtype)
        levels = jnp.stack([u > p[0], u > p[0] + p[1]])
        return jnp.sum(levels.astype(field.dtype), axis=0)

    def gain(self, x: Array, y: Array, change: Array) -> Inexact[Array, ""]:
        del change
        here, there = (jax.nn.logsumexp(self._logits(z), axis=0) for z in (x, y))
        return jnp.sum(there - here)

    def _logits(self, field: Array) -> Array:
        return jnp.stack([jnp.zeros_like(field), field, 2 * field])
