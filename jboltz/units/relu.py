"""Non-negative real units with a bias and a log-precision each."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import Leaf, record
from jboltz.checks import check_real, check_shape, check_size
from jboltz.domains import NonNegative
from jboltz.units import _truncated_normal as truncated_normal
from jboltz.units.biased import ON_THE_REAL_LINE

# The smallest θ/√γ of a fit. There a unit is exponential to within 2 %; data with a
# heavier tail than an exponential have no precision of maximum likelihood.
_MOST_EXPONENTIAL = -10.0


@record
class ReLUParams:
    """The biases and log-precisions of a layer of non-negative units."""

    bias: Leaf  # (size,) θ
    log_precision: Leaf  # (size,) log γ


@dataclasses.dataclass(frozen=True)
class ReLU:
    """Non-negative units, p(x | I) = N(c/γ, 1/γ) restricted to x ≥ 0, with c = θ + I.

    E(x) = Σ_i [½ γ_i x_i² − θ_i x_i],  a(x) = x,
    Γ(I) = Σ_i [c²/2γ + log Φ(c/√γ) + ½ log 2π/γ].

    Args:
      size: the number of units.
    """

    size: int

    def __post_init__(self) -> None:
        check_size(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def domain(self) -> NonNegative:
        return NonNegative()

    def init(self) -> ReLUParams:
        return ReLUParams(bias=jnp.zeros(self.size), log_precision=jnp.zeros(self.size))

    def fit(self, values: Float[Array, "examples size"]) -> ReLUParams:
        """Maximum likelihood; one more example of variance 1 keeps parameters finite.

        The ratio of the variance to the squared mean depends on t = θ/√γ alone and
        falls with t, from 1 for an exponential. Bisection finds t, then √γ follows.
        """
        count, mean = values.shape[0], jnp.mean(values, axis=0)
        variance = (count * jnp.var(values, axis=0) + 1) / (count + 1)

        unit = jnp.zeros_like(mean)  # log γ = 0

        def halve(_, bracket):
            low, high = bracket
            t = 0.5 * (low + high)
            is_low = (
                truncated_normal.variance(t, unit) * mean**2
                > variance * truncated_normal.mean(t, unit) ** 2
            )
            return jnp.where(is_low, t, low), jnp.where(is_low, high, t)

        bracket = jnp.full_like(mean, _MOST_EXPONENTIAL), mean / jnp.sqrt(variance)
        t = jax.lax.fori_loop(0, 60, halve, bracket)[0]  # down to float64's rounding
        # s = √γ solves s² E[x²] − s t E[x] = 1.
        square, drift = variance + mean**2, jnp.abs(t) * mean
        root = drift + jnp.sqrt(drift**2 + 4 * square)
        s = jnp.where(t < 0, 2 / root, root / (2 * square))
        return ReLUParams(bias=t * s, log_precision=2 * jnp.log(s))

    def energy(self, params: ReLUParams, x: Float[Array, " size"]) -> Float[Array, ""]:
        check_shape("x", x, self.shape, self)
        scaled = jnp.exp(0.5 * params.log_precision) * x
        return jnp.sum(0.5 * scaled**2 - params.bias * x)

    def activity(
        self, params: ReLUParams, x: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        del params
        check_shape("x", x, self.shape, self)
        return x

    def log_normalizer(
        self, params: ReLUParams, inputs: Float[Array, " size"]
    ) -> Float[Array, ""]:
        return jnp.sum(self._log_normalizers(params, inputs))

    def mean(
        self, params: ReLUParams, inputs: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        return truncated_normal.mean(self._field(params, inputs), params.log_precision)

    def mean_state(
        self, params: ReLUParams, inputs: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        return self.mean(params, inputs)

    def sample(
        self, params: ReLUParams, inputs: Float[Array, " size"], key: Key[Array, ""]
    ) -> Float[Array, " size"]:
        """The quantile of one uniform per unit, raised by half its spacing above 0."""
        field = self._field(params, inputs)
        scale = jnp.exp(0.5 * random.widened(params.log_precision))
        t = random.widened(field) / scale
        u = random.uniform(key, t.shape, t.dtype) + 0.5 * jnp.finfo(t.dtype).eps
        return (truncated_normal.quantile(u, t) / scale).astype(field.dtype)

    def shift(self, params: ReLUParams, inputs: Float[Array, " size"]) -> ReLUParams:
        return ReLUParams(
            bias=self._field(params, inputs), log_precision=params.log_precision
        )

    def interpolate(
        self, params: ReLUParams, base: ReLUParams, beta: Float[Array, ""]
    ) -> ReLUParams:
        # Bias and precision are the natural parameters.
        return ReLUParams(
            bias=(1 - beta) * base.bias + beta * params.bias,
            log_precision=jnp.logaddexp(
                jnp.log(1 - beta) + base.log_precision,
                jnp.log(beta) + params.log_precision,
            ),
        )

    def log_normalizer_gain(
        self,
        params: ReLUParams,
        inputs: Float[Array, " size"],
        change: Float[Array, " size"],
    ) -> Float[Array, ""]:
        there = self._log_normalizers(params, inputs + change)
        return jnp.sum(there - self._log_normalizers(params, inputs))

    def _log_normalizers(
        self, params: ReLUParams, inputs: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        c = self._field(params, inputs)
        return truncated_normal.log_integral(c, params.log_precision)

    def activity_scale(self, params: ReLUParams) -> Float[Array, " size"]:
        """1/√γ."""
        return jnp.exp(-0.5 * params.log_precision)

    def _field(
        self, params: ReLUParams, inputs: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        check_shape("params.bias", params.bias, self.shape, self)
        check_shape("inputs", inputs, self.shape, self)
        field = params.bias + inputs
        check_real("params", field, self, ON_THE_REAL_LINE)
        return field
