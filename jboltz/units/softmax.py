"""Categorical sites as one-hot states, also known as Potts spins."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from jboltz import random
from jboltz.base import Leaf, record
from jboltz.checks import check_shape
from jboltz.domains import OneHot
from jboltz.products import full_product
from jboltz.units.biased import DiscreteUnit


@record
class SoftmaxParams:
    """The biases of a layer of categorical sites."""

    bias: Leaf  # (sites, num_categories) log-probabilities at zero inputs, plus any c


@dataclasses.dataclass(frozen=True)
class Softmax(DiscreteUnit):
    """One-hot sites, p(x_s = e_k | I) = softmax_k(b_s + I_s).

    E(x) = −⟨b, x⟩,  a(x) = x flattened,  Γ(I) = Σ_s log Σ_k exp(b_sk + I_sk).

    A constant added to the biases of all categories of a site changes no probability.
    `fit` returns biases that sum to zero; `zero_sum_gauge` does so for a whole RBM.

    Args:
      sites: the number of sites.
      num_categories: the number of categories of a site.

    Example:
      >>> unit = Softmax(sites=2, num_categories=3)
      >>> unit.shape, unit.size  # of a state, and of its activity
      ((2, 3), 6)
    """

    sites: int
    num_categories: int

    Params: ClassVar = SoftmaxParams

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.sites, self.num_categories)

    @property
    def size(self) -> int:
        return self.sites * self.num_categories

    @property
    def domain(self) -> OneHot:
        return OneHot(self.num_categories)

    def fit(
        self, values: Float[Array, "examples sites num_categories"]
    ) -> SoftmaxParams:
        """Log-frequencies; one more example of each category keeps them finite."""
        log_counts = jnp.log(jnp.sum(values, axis=0) + 1)
        return SoftmaxParams(bias=log_counts - log_counts.mean(1, keepdims=True))

    def energy(
        self, params: SoftmaxParams, x: Float[Array, "sites num_categories"]
    ) -> Inexact[Array, ""]:
        return full_product(self.activity(params, x), -params.bias.ravel())

    def log_normalizer(
        self, params: SoftmaxParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, ""]:
        return jnp.sum(jax.nn.logsumexp(self._field(params, inputs), axis=1))

    def mean(
        self, params: SoftmaxParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return self.mean_state(params, inputs).ravel()

    def mean_state(
        self, params: SoftmaxParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, "sites num_categories"]:
        return jax.nn.softmax(self._field(params, inputs), axis=1)

    def sample(
        self, params: SoftmaxParams, inputs: Float[Array, " size"], key: Key[Array, ""]
    ) -> Float[Array, "sites num_categories"]:
        """Inverse CDF: the first category whose cumulated probability exceeds u."""
        field = self._field(params, inputs)
        p = jax.nn.softmax(random.widened(field), axis=1)
        cumulated = jnp.cumsum(p, axis=1)
        # The total may differ from 1 by rounding. Multiplying u by it keeps the largest
        # u from drawing a category of probability zero.
        u = random.uniform(key, (self.sites, 1), p.dtype) * cumulated[:, -1:]
        index = jnp.sum(cumulated <= u, axis=1)
        return jax.nn.one_hot(index, self.num_categories, dtype=field.dtype)

    def energies(
        self, params: SoftmaxParams, x: Float[Array, "sites num_categories"]
    ) -> Inexact[Array, " sites"]:
        check_shape("x", x, self.shape, self)
        return jnp.sum(-params.bias * x, axis=1)

    def gain(
        self,
        x: Inexact[Array, "sites num_categories"],
        y: Inexact[Array, "sites num_categories"],
        change: Inexact[Array, "sites num_categories"],
    ) -> Inexact[Array, ""]:
        # The gain is log Σ_k p_k exp(c_k), with an error relative to the gain. Where an
        # unlikely category takes over (`far`), the gain is as large as Γ anyway.
        most = jnp.max(change.real, axis=1)
        p = jax.nn.softmax(x, axis=1)
        fall = jnp.sum(p * jnp.expm1(change - most[:, None]), axis=1)
        is_near = fall.real > -0.5
        near = most + jnp.log1p(jnp.where(is_near, fall, 0))
        far = jax.nn.logsumexp(y, axis=1) - jax.nn.logsumexp(x, axis=1)
        return jnp.sum(jnp.where(is_near, near, far))
