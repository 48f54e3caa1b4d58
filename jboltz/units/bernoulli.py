"""Binary units, x ∈ {0, 1}."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from jboltz import random
from jboltz.base import Leaf, record
from jboltz.checks import check_shape, check_size
from jboltz.domains import UnitInterval
from jboltz.products import full_product
from jboltz.units import _log1p


@record
class BernoulliParams:
    """The biases of a layer of binary units."""

    bias: Leaf  # (size,) log-odds of each unit when its input is zero


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Binary units, p(x_i = 1 | I) = σ(b_i + I_i).

    E(x) = −b·x,  a(x) = x,  Γ(I) = Σ_i log(1 + exp(b_i + I_i)).
    """

    size: int

    vanishes_at_zero: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_size(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def domain(self) -> UnitInterval:
        return UnitInterval()

    def init(self) -> BernoulliParams:
        return BernoulliParams(bias=jnp.zeros(self.size))

    def fit(self, values: Float[Array, "examples size"]) -> BernoulliParams:
        """Log-odds of the means; one more example of each value keeps them finite."""
        on, count = jnp.sum(values, axis=0), values.shape[0]
        return BernoulliParams(bias=jnp.log(on + 1) - jnp.log(count - on + 1))

    def energy(
        self, params: BernoulliParams, x: Float[Array, " size"]
    ) -> Inexact[Array, ""]:
        return full_product(self.activity(params, x), -params.bias)

    def activity(
        self, params: BernoulliParams, x: Float[Array, " size"]
    ) -> Inexact[Array, " size"]:
        del params
        check_shape("x", x, self.shape, self)
        return x

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
        # Explicit uniforms: the parity suite replays them in another library.
        return (random.uniform(key, p.shape, p.dtype) < p).astype(field.dtype)

    def shift(
        self, params: BernoulliParams, inputs: Inexact[Array, " size"]
    ) -> BernoulliParams:
        return BernoulliParams(bias=self._field(params, inputs))

    def interpolate(
        self, params: BernoulliParams, base: BernoulliParams, beta: Float[Array, ""]
    ) -> BernoulliParams:
        return BernoulliParams(bias=(1 - beta) * base.bias + beta * params.bias)

    def energies(
        self, params: BernoulliParams, x: Float[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return -params.bias * self.activity(params, x)

    def alternatives(
        self,
        params: BernoulliParams,
        lowest: Float[Array, " size"],
        highest: Float[Array, " size"],
    ) -> tuple[Float[Array, "2 size"], Float[Array, "2 size"]]:
        del params, lowest, highest
        values = jnp.array((0.0, 1.0))
        return jnp.tile(values[:, None], (1, self.size)), jnp.zeros((2, self.size))

    def log_normalizer_change(
        self,
        params: BernoulliParams,
        base: BernoulliParams,
        inputs: Inexact[Array, " size"],
        betas: tuple[Float[Array, ""], Float[Array, ""]],
    ) -> Inexact[Array, ""]:
        """What Γ gains between two rungs, of the fields (1 − β) b_base + β (b + I).

        Σ log(1 + exp(x′)) − log(1 + exp(x)) as a difference: the error is a rounding of
        what Γ gains and not of Γ, and a third of the time of the two goes.
        """
        (here, there), field = betas, self._field(params, inputs)
        x, y = ((1 - beta) * base.bias + beta * field for beta in betas)
        gain = (there - here) * (field - base.bias)  # y − x, before they are rounded
        return jnp.sum(_log1p.softplus_gain(x, y, gain))

    def log_normalizer_gain(
        self,
        params: BernoulliParams,
        inputs: Inexact[Array, " size"],
        change: Inexact[Array, " size"],
    ) -> Inexact[Array, ""]:
        x = self._field(params, inputs)
        return jnp.sum(_log1p.softplus_gain(x, x + change, change))

    def _field(
        self, params: BernoulliParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        check_shape("params.bias", params.bias, self.shape, self)
        check_shape("inputs", inputs, self.shape, self)
        return params.bias + inputs


@jax.custom_jvp
def _softplus(x: Array) -> Array:
    """log(1 + eˣ)."""
    return _log1p.softplus(x)


@_softplus.defjvp
def _softplus_jvp(primals, tangents):
    # Cheaper than to differentiate the value, and the compiler shares the sigmoid with
    # the one that a chain has drawn from.
    (x,), (dx,) = primals, tangents
    return _softplus(x), jax.nn.sigmoid(x) * dx
