"""Real units with a mean and a log-variance each."""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from jboltz import random
from jboltz.base import Leaf, record
from jboltz.checks import check_shape, check_size
from jboltz.domains import Reals
from jboltz.errors import InvalidValue

# Both are in standard deviations. The trapezoid rule errs by 2 exp(−2π²/spacing²),
# about 1e-15, and a normal has another 1e-15 of its mass beyond the margin.
_SPACING = 0.75
_MARGIN = 8.0
_MOST_NODES = 4096
_MOST_BLUR = 0.01


@record
class GaussianParams:
    """The means and log-variances of a layer of real units."""

    mean: Leaf  # (size,) μ, in the units of the data
    log_variance: Leaf  # (size,) log σ²


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Real units, p(x_i | I) = N(μ_i + I_i, σ_i²).

    E(x) = ½ Σ_i (x_i − μ_i)²/σ_i²,  a(x) = x/σ²,
    Γ(I) = Σ_i [(μ_i I_i + ½ I_i²)/σ_i² + ½ log 2πσ_i²].

    The inputs shift the mean directly: the convention v/σ² of Cho, Ilin & Raiko (2011)
    and of Liao, Kornblith, Ren, Fleet & Hinton (2022), not the v/σ of Krizhevsky.

    Args:
      size: the number of units.

    Example:
      >>> unit = Gaussian(2)
      >>> unit.mean_state(unit.init(), jnp.array([1.0, -2.0])).tolist()
      [1.0, -2.0]
    """

    size: int

    def __post_init__(self) -> None:
        check_size(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def domain(self) -> Reals:
        return Reals()

    def init(self) -> GaussianParams:
        return GaussianParams(
            mean=jnp.zeros(self.size), log_variance=jnp.zeros(self.size)
        )

    def fit(self, values: Float[Array, "examples size"]) -> GaussianParams:
        """Means and variances; one more example of variance 1 keeps them finite."""
        count = values.shape[0]
        variance = (count * jnp.var(values, axis=0) + 1) / (count + 1)
        return GaussianParams(
            mean=jnp.mean(values, axis=0), log_variance=jnp.log(variance)
        )

    def energy(
        self, params: GaussianParams, x: Float[Array, " size"]
    ) -> Inexact[Array, ""]:
        return jnp.sum(self.energies(params, x))

    def activity(
        self, params: GaussianParams, x: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        check_shape("x", x, self.shape, self)
        # x is multiplied by 1/σ twice, since 1/σ² overflows a float32 below
        # log σ² = −88, and 1/σ only below −177.
        scale = jnp.exp(-0.5 * params.log_variance)
        return x * scale * scale

    def log_normalizer(
        self, params: GaussianParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, ""]:
        check_shape("inputs", inputs, self.shape, self)
        shift = self._rise(params, params.mean, inputs)
        return jnp.sum(shift + 0.5 * (jnp.log(2 * jnp.pi) + params.log_variance))

    def mean(
        self, params: GaussianParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return self.activity(params, self.mean_state(params, inputs))

    def mean_state(
        self, params: GaussianParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        check_shape("params.mean", params.mean, self.shape, self)
        check_shape("inputs", inputs, self.shape, self)
        return params.mean + inputs

    def sample(
        self,
        params: GaussianParams,
        inputs: Float[Array, " size"],
        key: Key[Array, ""],
    ) -> Float[Array, " size"]:
        mean = self.mean_state(params, inputs)
        noise = random.normal(key, mean.shape, mean.dtype)
        return mean + jnp.exp(0.5 * params.log_variance) * noise

    def shift(
        self, params: GaussianParams, inputs: Inexact[Array, " size"]
    ) -> GaussianParams:
        mean = self.mean_state(params, inputs)
        return GaussianParams(mean=mean, log_variance=params.log_variance)

    def interpolate(
        self, params: GaussianParams, base: GaussianParams, beta: Float[Array, ""]
    ) -> GaussianParams:
        # Precision and precision × mean are the natural parameters.
        log_weight = jnp.log(beta) - params.log_variance
        log_base_weight = jnp.log(1 - beta) - base.log_variance
        log_precision = jnp.logaddexp(log_weight, log_base_weight)
        weight = jnp.exp(log_weight - log_precision)
        base_weight = jnp.exp(log_base_weight - log_precision)
        return GaussianParams(
            mean=base_weight * base.mean + weight * params.mean,
            log_variance=-log_precision,
        )

    def log_normalizer_gain(
        self,
        params: GaussianParams,
        inputs: Inexact[Array, " size"],
        change: Inexact[Array, " size"],
    ) -> Inexact[Array, ""]:
        mean = self.mean_state(params, inputs)
        return jnp.sum(self._rise(params, mean, change))

    def energies(
        self, params: GaussianParams, x: Float[Array, " size"]
    ) -> Inexact[Array, " size"]:
        check_shape("x", x, self.shape, self)
        # (x − μ)² times 1/σ² might be 0 times infinity.
        deviation = (x - params.mean) * jnp.exp(-0.5 * params.log_variance)
        return 0.5 * deviation**2

    def activity_scale(self, params: GaussianParams) -> Float[Array, " size"]:
        """1/σ."""
        return jnp.exp(-0.5 * params.log_variance)

    def alternatives(
        self,
        params: GaussianParams,
        lowest: Float[Array, " size"],
        highest: Float[Array, " size"],
    ) -> tuple[Float[Array, "levels size"], Float[Array, "levels size"]]:
        """Nodes of the trapezoid rule and their log weights. It cannot be jitted.

        The Fourier transform of a mixture of normals of one variance decays so fast
        that the rule is exact to 1e-15, for any number of components.

        Raises:
          ValueError: the range of inputs needs more than 4096 nodes, or the variance is
            so small that neighbouring nodes are equal after rounding.
        """
        deviation = jnp.exp(0.5 * params.log_variance)
        start = params.mean + lowest - _MARGIN * deviation
        length = highest - lowest + 2 * _MARGIN * deviation
        intervals = float(jnp.max(length / deviation)) / _SPACING
        if not intervals < _MOST_NODES:
            raise InvalidValue(
                f"Inputs of a real unit differ by {intervals * _SPACING:.3g} of its "
                f"standard deviations, but an integral over it needs less than "
                f"{_MOST_NODES * _SPACING:.3g}; use hidden units of bounded activity "
                "(Bernoulli, Spin, Softmax), or look for parameters that have diverged."
            )
        step = length / math.ceil(intervals)
        largest = jnp.maximum(jnp.abs(start), jnp.abs(start + length))
        blur = float(jnp.max(largest / deviation)) * float(jnp.finfo(step.dtype).eps)
        if not blur < _MOST_BLUR:
            raise InvalidValue(
                f"`params.log_variance` is down to {float(params.log_variance.min())}, "
                f"so that {step.dtype} rounds values of a real unit by {blur:.3g} of "
                f"its standard deviations, but an integral over it needs "
                f"{_MOST_BLUR}; enable x64, or standardise the data."
            )
        index = jnp.arange(math.ceil(intervals) + 1, dtype=step.dtype)
        log_weights = jnp.broadcast_to(jnp.log(step)[None], (len(index), self.size))
        return start[None] + index[:, None] * step[None], log_weights

    def _rise(self, params, mean, inputs):
        """How much `inputs` add to Γ of each site whose mean without them is `mean`."""
        scale = jnp.exp(-0.5 * params.log_variance)
        return (mean + 0.5 * inputs) * scale * (inputs * scale)
