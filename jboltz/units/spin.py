"""Spins, x ∈ {−1, +1}."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from jboltz import random
from jboltz.base import Leaf, record
from jboltz.domains import Spins
from jboltz.products import full_product
from jboltz.units import _log1p
from jboltz.units.biased import DiscreteUnit


@record
class SpinParams:
    """The biases (external fields) of a layer of spins."""

    bias: Leaf  # (size,) half the log-odds of +1 when the input is zero


@dataclasses.dataclass(frozen=True)
class Spin(DiscreteUnit):
    """Spins, p(x_i = +1 | I) = σ(2(b_i + I_i)).

    E(x) = −b·x,  a(x) = x,  Γ(I) = Σ_i log 2cosh(b_i + I_i).

    Args:
      size: the number of units.

    Example:
      >>> unit = Spin(3)
      >>> unit.mean(unit.init(), jnp.zeros(3)).tolist()
      [0.0, 0.0, 0.0]
    """

    size: int

    Params: ClassVar = SpinParams

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def domain(self) -> Spins:
        return Spins()

    def fit(self, values: Float[Array, "examples size"]) -> SpinParams:
        """Half log-odds; one more example of each value keeps them finite."""
        up, down = (jnp.sum(1 + s * values, axis=0) / 2 for s in (1, -1))
        return SpinParams(bias=0.5 * (jnp.log(up + 1) - jnp.log(down + 1)))

    def energy(
        self, params: SpinParams, x: Float[Array, " size"]
    ) -> Inexact[Array, ""]:
        return full_product(self.activity(params, x), -params.bias)

    def log_normalizer(
        self, params: SpinParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, ""]:
        field = self._field(params, inputs)
        return jnp.sum(jnp.logaddexp(field, -field))

    def mean(
        self, params: SpinParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return jnp.tanh(self._field(params, inputs))

    def mean_state(
        self, params: SpinParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return self.mean(params, inputs)

    def sample(
        self, params: SpinParams, inputs: Float[Array, " size"], key: Key[Array, ""]
    ) -> Float[Array, " size"]:
        field = self._field(params, inputs)
        p = jax.nn.sigmoid(2 * random.widened(field))
        is_up = random.uniform(key, p.shape, p.dtype) < p
        return 2 * is_up.astype(field.dtype) - 1

    def energies(
        self, params: SpinParams, x: Float[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return -params.bias * self.activity(params, x)

    def gain(
        self,
        x: Inexact[Array, " size"],
        y: Inexact[Array, " size"],
        change: Inexact[Array, " size"],
    ) -> Inexact[Array, ""]:
        # log 2cosh x = log(1 + e²ˣ) − x.
        return jnp.sum(_log1p.softplus_gain(2 * x, 2 * y, 2 * change) - change)
