"""Binary units, x ∈ {0, 1}."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import Leaf, check_shape, check_size, record
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
    def domain(self) -> str:
        return "unit interval"

    def init(self) -> BernoulliParams:
        return BernoulliParams(bias=jnp.zeros(self.size))

    def fit(self, values: Float[Array, "examples size"]) -> BernoulliParams:
        """Log-odds of the means; one more example of each value keeps them finite."""
        on, count = jnp.sum(values, axis=0), values.shape[0]
        return BernoulliParams(bias=jnp.log(on + 1) - jnp.log(count - on + 1))

    def energy(
        self, params: BernoulliParams, x: Float[Array, " size"]
    ) -> Float[Array, ""]:
        return self.activity(params, x) @ -params.bias

    def activity(
        self, params: BernoulliParams, x: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        del params
        check_shape("x", x, self.shape, self)
        return x

    def log_normalizer(
        self, params: BernoulliParams, inputs: Float[Array, " size"]
    ) -> Float[Array, ""]:
        return jnp.sum(_softplus(self._field(params, inputs)))

    def mean(
        self, params: BernoulliParams, inputs: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        return jax.nn.sigmoid(self._field(params, inputs))

    def mean_state(
        self, params: BernoulliParams, inputs: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        return self.mean(params, inputs)

    def sample(
        self,
        params: BernoulliParams,
        inputs: Float[Array, " size"],
        key: Key[Array, ""],
    ) -> Float[Array, " size"]:
        p = self.mean(params, inputs)
        # Explicit uniforms: the parity suite replays them in another library.
        return (random.uniform(key, p.shape, p.dtype) < p).astype(p.dtype)

    def shift(
        self, params: BernoulliParams, inputs: Float[Array, " size"]
    ) -> BernoulliParams:
        return BernoulliParams(bias=self._field(params, inputs))

    def interpolate(
        self, params: BernoulliParams, base: BernoulliParams, beta: Float[Array, ""]
    ) -> BernoulliParams:
        return BernoulliParams(bias=(1 - beta) * base.bias + beta * params.bias)

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
        inputs: Float[Array, " size"],
        betas: tuple[Float[Array, ""], Float[Array, ""]],
    ) -> Float[Array, ""]:
        """What Γ gains between two rungs, of the fields (1 − β) b_base + β (b + I).

        Σ log(1 + exp(x′)) − log(1 + exp(x)) as a difference: the error is a rounding of
        what Γ gains and not of Γ, and a third of the time of the two goes.
        """
        (here, there), field = betas, self._field(params, inputs)
        x, y = ((1 - beta) * base.bias + beta * field for beta in betas)
        gain = (there - here) * (field - base.bias)  # y − x, before they are rounded
        has_one_sign = (x > 0) == (y > 0)
        positive = jnp.maximum(y, 0) - jnp.maximum(x, 0)
        positive = jnp.where(has_one_sign, jnp.where(x > 0, gain, 0), positive)
        # The rest of log(1 + eˣ) is log(1 + e⁻ᵃ), a = |x|, and between a and a + r
        # it falls by −log(1 − σ(−a)(1 − e⁻ʳ)): nothing here overflows or cancels.
        a, b = jnp.abs(x), jnp.abs(y)
        r = jnp.where(has_one_sign, jnp.abs(gain), jnp.abs(b - a))
        tail = jax.nn.sigmoid(-jnp.minimum(a, b))
        fall = _log1p.log1p(tail * jnp.expm1(-r))
        # A choice at the end, as in `softplus`.
        return jnp.sum(jnp.where(b > a, positive + fall, positive - fall))

    def _field(
        self, params: BernoulliParams, inputs: Float[Array, " size"]
    ) -> Float[Array, " size"]:
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
