"""Binary units, x ∈ {0, 1}."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from jboltz import random
from jboltz.base import Leaf, record
from jboltz.domains import UnitInterval
from jboltz.products import full_product
from jboltz.units import _log1p
from jboltz.units.biased import DiscreteUnit


@record
class BernoulliParams:
    """The biases of a layer of binary units."""

    bias: Leaf  # (size,) log-odds of each unit when its input is zero


@dataclasses.dataclass(frozen=True)
class Bernoulli(DiscreteUnit):
    """Binary units, p(x_i = 1 | I) = σ(b_i + I_i).

    E(x) = −b·x,  a(x) = x,  Γ(I) = Σ_i log(1 + exp(b_i + I_i)).

    Args:
      size: the number of units.

    Example:
      >>> unit = Bernoulli(3)
      >>> unit.mean(unit.init(), jnp.zeros(3)).tolist()  # p(x_i = 1)
      [0.5, 0.5, 0.5]
    """

    size: int

    Params: ClassVar = BernoulliParams

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def domain(self) -> UnitInterval:
        return UnitInterval()

    def fit(self, values: Float[Array, "examples size"]) -> BernoulliParams:
        """Log-odds of the means; one more example of each value keeps them finite."""
        on, count = jnp.sum(values, axis=0), values.shape[0]
        return BernoulliParams(bias=jnp.log(on + 1) - jnp.log(count - on + 1))

    def energy(
        self, params: BernoulliParams, x: Float[Array, " size"]
    ) -> Inexact[Array, ""]:
        return full_product(self.activity(params, x), -params.bias)

    def log_normalizer(
        self, params: BernoulliParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, ""]:
        return jnp.sum(_softplus(self._field(params, inputs)))

    def mean(
        self, params: BernoulliParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return jax.nn.sigmoid(self._field(params, inputs))

    def mean_state(
        self, params: BernoulliParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return self.mean(params, inputs)

    def sample(
        self,
        params: BernoulliParams,
        inputs: Float[Array, " size"],
        key: Key[Array, ""],
    ) -> Float[Array, " size"]:
        field = self._field(params, inputs)
        p = jax.nn.sigmoid(random.widened(field))
        # Uniforms are explicit, so that the tests can replay them in another library.
        return (random.uniform(key, p.shape, p.dtype) < p).astype(field.dtype)

    def energies(
        self, params: BernoulliParams, x: Float[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return -params.bias * self.activity(params, x)

    def gain(
        self,
        x: Inexact[Array, " size"],
        y: Inexact[Array, " size"],
        change: Inexact[Array, " size"],
    ) -> Inexact[Array, ""]:
        # This takes a third of the time of two softplus.
        return jnp.sum(_log1p.softplus_gain(x, y, change))


@jax.custom_jvp
def _softplus(x: Array) -> Array:
    """log(1 + eˣ)."""
    return _log1p.softplus(x)


@_softplus.defjvp
def _softplus_jvp(primals, tangents):
    # This is cheaper than the derivative of the formula, and the compiler shares the
    # sigmoid with a chain that draws from it.
    (x,), (dx,) = primals, tangents
    return _softplus(x), jax.nn.sigmoid(x) * dx
