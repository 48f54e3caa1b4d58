"""Sites in one of several categories each: one-hot states, Potts spins."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import Leaf, check_shape, check_size, record


@record
class SoftmaxParams:
    """The biases of a layer of categorical sites."""

    bias: Leaf  # (sites, num_categories) log-probabilities without input, plus any c


@dataclasses.dataclass(frozen=True)
class Softmax:
    """One-hot sites, p(x_s = e_k | I) = softmax_k(b_s + I_s).

    E(x) = −⟨b, x⟩,  a(x) = x flattened,  Γ(I) = Σ_s log Σ_k exp(b_sk + I_sk).

    A constant added to all categories of a site changes no probability; `fit` returns
    biases that sum to zero, and `zero_sum_gauge` brings a whole RBM there.
    """

    sites: int
    num_categories: int

    vanishes_at_zero: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_size(self, "sites", "num_categories")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.sites, self.num_categories)

    @property
    def size(self) -> int:
        return self.sites * self.num_categories

    @property
    def domain(self) -> str:
        return "one-hot"

    def init(self) -> SoftmaxParams:
        return SoftmaxParams(bias=jnp.zeros(self.shape))

    def fit(
        self, values: Float[Array, "examples sites num_categories"]
    ) -> SoftmaxParams:
        """Log-frequencies; one more example of each category keeps them finite."""
        log_counts = jnp.log(jnp.sum(values, axis=0) + 1)
        return SoftmaxParams(bias=log_counts - log_counts.mean(1, keepdims=True))

    def energy(
        self, params: SoftmaxParams, x: Float[Array, "sites num_categories"]
    ) -> Float[Array, ""]:
        return self.activity(params, x) @ -params.bias.ravel()

    def activity(
        self, params: SoftmaxParams, x: Float[Array, "sites num_categories"]
    ) -> Float[Array, " size"]:
        del params
        check_shape("x", x, self.shape, self)
        return x.ravel()

    def log_normalizer(
        self, params: SoftmaxParams, inputs: Float[Array, " size"]
    ) -> Float[Array, ""]:
        return jnp.sum(jax.nn.logsumexp(self._field(params, inputs), axis=1))

    def mean(
        self, params: SoftmaxParams, inputs: Float[Array, " size"]
    ) -> Float[Array, " size"]:
        return self.mean_state(params, inputs).ravel()

    def mean_state(
        self, params: SoftmaxParams, inputs: Float[Array, " size"]
    ) -> Float[Array, "sites num_categories"]:
        return jax.nn.softmax(self._field(params, inputs), axis=1)

    def sample(
        self, params: SoftmaxParams, inputs: Float[Array, " size"], key: Key[Array, ""]
    ) -> Float[Array, "sites num_categories"]:
        """Inverse CDF: the first category whose cumulated probability exceeds u."""
        p = self.mean_state(params, inputs)
        cumulated = jnp.cumsum(p, axis=1)
        # Times the total, which rounding leaves beside 1: no category of probability
        # zero is drawn for the largest u.
        u = random.uniform(key, (self.sites, 1), p.dtype) * cumulated[:, -1:]
        index = jnp.sum(cumulated <= u, axis=1)
        return jax.nn.one_hot(index, self.num_categories, dtype=p.dtype)

    def shift(
        self, params: SoftmaxParams, inputs: Float[Array, " size"]
    ) -> SoftmaxParams:
        return SoftmaxParams(bias=self._field(params, inputs))

    def interpolate(
        self, params: SoftmaxParams, base: SoftmaxParams, beta: Float[Array, ""]
    ) -> SoftmaxParams:
        return SoftmaxParams(bias=(1 - beta) * base.bias + beta * params.bias)

    def alternatives(
        self,
        params: SoftmaxParams,
        lowest: Float[Array, " size"],
        highest: Float[Array, " size"],
    ) -> tuple[
        Float[Array, "num_categories sites num_categories"],
        Float[Array, "num_categories sites"],
    ]:
        del params, lowest, highest
        one_hot = jnp.eye(self.num_categories)
        states = jnp.tile(one_hot[:, None], (1, self.sites, 1))
        return states, jnp.zeros((self.num_categories, self.sites))

    def _field(
        self, params: SoftmaxParams, inputs: Float[Array, " size"]
    ) -> Float[Array, "sites num_categories"]:
        check_shape("inputs", inputs, (self.size,), self)
        return params.bias + inputs.reshape(self.shape)
