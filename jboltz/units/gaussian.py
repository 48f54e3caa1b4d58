"""Real units with a mean and a log-variance each."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz.base import Leaf, check_shape, check_size, record

# In standard deviations. Trapezoids err by 2 exp(−2π²/spacing²), 1e-15; normals have
# another 1e-15 of their mass beyond the margin.
_SPACING = 0.75
_MARGIN = 8.0
_MOST_NODES = 4096


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
    """

    size: int

    def __post_init__(self) -> None:
        check_size(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def domain(self) -> str:
        return "real"

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
    ) -> Float[Array, ""]:
        check_shape("x", x, self.shape, self)
        return 0.5 * jnp.sum((x - params.mean) ** 2 * jnp.exp(-params.log_variance))

    def activity(
        self, params: GaussianParams, x: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        check_shape("x", x, self.shape, self)
        return x * jnp.exp(-params.log_variance)

    def log_normalizer(
        self, params: GaussianParams, inputs: Float[Array, " size"]
    ) -> Float[Array, ""]:
        check_shape("inputs", inputs, self.shape, self)
        shift = (params.mean + 0.5 * inputs) * inputs * jnp.exp(-params.log_variance)
        return jnp.sum(shift + 0.5 * (jnp.log(2 * jnp.pi) + params.log_variance))

    def mean(
        self, params: GaussianParams, inputs: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        return self.activity(params, self.mean_state(params, inputs))

    def mean_state(
        self, params: GaussianParams, inputs: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        check_shape("inputs", inputs, self.shape, self)
        return params.mean + inputs

    def sample(
        self,
        params: GaussianParams,
        inputs: Float[Array, " size"],
        key: Key[Array, ""],
    ) -> Float[Array, " size"]:
        mean = self.mean_state(params, inputs)
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        return mean + jnp.exp(0.5 * params.log_variance) * noise

    def shift(
        self, params: GaussianParams, inputs: Float[Array, " size"]
    ) -> GaussianParams:
        mean = self.mean_state(params, inputs)
        return GaussianParams(mean=mean, log_variance=params.log_variance)

    def interpolate(
        self, params: GaussianParams, base: GaussianParams, beta: Float[Array, ""]
    ) -> GaussianParams:
        # Precision and precision × mean are the natural parameters.
        weight = beta * jnp.exp(-params.log_variance)
        base_weight = (1 - beta) * jnp.exp(-base.log_variance)
        precision = base_weight + weight
        return GaussianParams(
            mean=(base_weight * base.mean + weight * params.mean) / precision,
            log_variance=-jnp.log(precision),
        )

    def alternatives(
        self,
        params: GaussianParams,
        lowest: Float[Array, " size"],
        highest: Float[Array, " size"],
    ) -> tuple[Float[Array, "levels size"], Float[Array, "levels size"]]:
        """Nodes of the trapezoid rule; their number depends on values, so no `jit`.

        A mixture of normals of one variance is band-limited: at this spacing the rule
        is exact to 1e-15, however many components there are.

        Raises:
          ValueError: inputs so far apart that it would take more than 4096 nodes.
        """
        deviation = jnp.exp(0.5 * params.log_variance)
        start = params.mean + lowest - _MARGIN * deviation
        length = highest - lowest + 2 * _MARGIN * deviation
        intervals = float(jnp.max(length / deviation)) / _SPACING
        if not intervals < _MOST_NODES:
            raise ValueError(
                f"Inputs of a real unit differ by {intervals * _SPACING:.3g} of its "
                f"standard deviations, but an integral over it needs less than "
                f"{_MOST_NODES * _SPACING:.3g}; use hidden units of bounded activity "
                "(Bernoulli, Spin, Softmax), or look for parameters that have diverged."
            )
        step = length / math.ceil(intervals)
        index = jnp.arange(math.ceil(intervals) + 1, dtype=step.dtype)
        log_weights = jnp.broadcast_to(jnp.log(step)[None], (len(index), self.size))
        return start[None] + index[:, None] * step[None], log_weights
