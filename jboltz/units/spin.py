"""Spins, x ∈ {−1, +1}."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from jboltz import random
from jboltz.base import Leaf, record
from jboltz.checks import check_shape, check_size
from jboltz.domains import Spins
from jboltz.products import full_product
from jboltz.units import _log1p


@record
class SpinParams:
    """The biases (external fields) of a layer of spins."""

    bias: Leaf  # (size,) half the log-odds of +1 when the input is zero


@dataclasses.dataclass(frozen=True)
class Spin:
    """Spins, p(x_i = +1 | I) = σ(2(b_i + I_i)).

    E(x) = −b·x,  a(x) = x,  Γ(I) = Σ_i log 2cosh(b_i + I_i).
    """

    size: int

    vanishes_at_zero: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_size(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def domain(self) -> Spins:
        return Spins()

    def init(self) -> SpinParams:
        return SpinParams(bias=jnp.zeros(self.size))

    def fit(self, values: Float[Array, "examples size"]) -> SpinParams:
        """Half log-odds; one more example of each value keeps them finite."""
        up, down = (jnp.sum(1 + s * values, axis=0) / 2 for s in (1, -1))
        return SpinParams(bias=0.5 * (jnp.log(up + 1) - jnp.log(down + 1)))

    def energy(
        self, params: SpinParams, x: Float[Array, " size"]
    ) -> Inexact[Array, ""]:
        return full_product(self.activity(params, x), -params.bias)

    def activity(
        self, params: SpinParams, x: Float[Array, " size"]
    ) -> Inexact[Array, " size"]:
        del params
        check_shape("x", x, self.shape, self)
        return x

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

    def shift(self, params: SpinParams, inputs: Inexact[Array, " size"]) -> SpinParams:
        return SpinParams(bias=self._field(params, inputs))

    def interpolate(
        self, params: SpinParams, base: SpinParams, beta: Float[Array, ""]
    ) -> SpinParams:
        return SpinParams(bias=(1 - beta) * base.bias + beta * params.bias)

    def log_normalizer_gain(
        self,
        params: SpinParams,
        inputs: Inexact[Array, " size"],
        change: Inexact[Array, " size"],
    ) -> Inexact[Array, ""]:
        # log 2cosh x = log(1 + e²ˣ) − x.
        x, gain = 2 * self._field(params, inputs), 2 * change
        return jnp.sum(_log1p.softplus_gain(x, x + gain, gain) - change)

    def energies(
        self, params: SpinParams, x: Float[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return -params.bias * self.activity(params, x)

    def alternatives(
        self,
        params: SpinParams,
        lowest: Float[Array, " size"],
        highest: Float[Array, " size"],
    ) -> tuple[Float[Array, "2 size"], Float[Array, "2 size"]]:
        del params, lowest, highest
        values = jnp.array((-1.0, 1.0))
        return jnp.tile(values[:, None], (1, self.size)), jnp.zeros((2, self.size))

    def _field(
        self, params: SpinParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        check_shape("params.bias", params.bias, self.shape, self)
        check_shape("inputs", inputs, self.shape, self)
        return params.bias + inputs
