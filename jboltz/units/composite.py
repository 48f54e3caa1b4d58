"""Units made of units: tied copies of one, and two side by side."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from jboltz import random
from jboltz.base import (
    Domain,
    Params,
    Shape,
    State,
    Unit,
    is_exact,
    log_normalizer_gain,
    record,
)
from jboltz.checks import check_shape, check_size, require_unit
from jboltz.domains import Product


@dataclasses.dataclass(frozen=True)
class Copies:
    """Copies x₁ … x_n of one layer with the same parameters, drawn independently.

    E(x) = Σ_i E₁(x_i),  a(x) = Σ_i a₁(x_i),  Γ(I) = n Γ₁(I).

    All copies share the same weights. The outer layers of a DBM are pretrained as two
    copies: their inputs to the next layer are then doubled.

    Args:
      unit: the layer.
      num_copies: n, the number of copies.

    Reference:
      Salakhutdinov & Hinton (2009), Deep Boltzmann machines.
    """

    unit: Unit
    num_copies: int

    def __post_init__(self) -> None:
        require_unit(self.unit, "a layer of copies", "unit")
        check_size(self, "num_copies")

    @property
    def shape(self) -> Shape:
        return self._stacked(self.unit.shape)

    @property
    def size(self) -> int:
        return self.unit.size

    @property
    def domain(self) -> Domain:
        return self.unit.domain

    @property
    def is_exact(self) -> bool:
        return is_exact(self.unit)

    def init(self) -> Params:
        return self.unit.init()

    def fit(self, values: State) -> Params:
        """The unit fitted to all copies of all examples, (examples, n, …), together."""
        return self.unit.fit(jax.tree.map(jnp.concatenate, values))

    def energy(self, params: Params, x: State) -> Inexact[Array, ""]:
        check_shape("x", x, self.shape, self)
        return jnp.sum(jax.vmap(self.unit.energy, in_axes=(None, 0))(params, x))

    def activity(self, params: Params, x: State) -> Inexact[Array, " size"]:
        check_shape("x", x, self.shape, self)
        activities = jax.vmap(self.unit.activity, in_axes=(None, 0))(params, x)
        return jnp.sum(activities, axis=0)

    def log_normalizer(
        self, params: Params, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, ""]:
        return self.num_copies * self.unit.log_normalizer(params, inputs)

    def mean(
        self, params: Params, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return self.num_copies * self.unit.mean(params, inputs)

    def mean_state(self, params: Params, inputs: Inexact[Array, " size"]) -> State:
        def repeat(x):
            return jnp.broadcast_to(x[None], (self.num_copies, *x.shape))

        return jax.tree.map(repeat, self.unit.mean_state(params, inputs))

    def sample(
        self, params: Params, inputs: Float[Array, " size"], key: Key[Array, ""]
    ) -> State:
        """Copy i draws from `fold_in(key, i)`."""
        keys = random.fold_in_range(key, self.num_copies)
        return jax.vmap(self.unit.sample, in_axes=(None, None, 0))(params, inputs, keys)

    def shift(self, params: Params, inputs: Inexact[Array, " size"]) -> Params:
        return self.unit.shift(params, inputs)

    def interpolate(
        self, params: Params, base: Params, beta: Float[Array, ""]
    ) -> Params:
        return self.unit.interpolate(params, base, beta)

    def log_normalizer_gain(
        self,
        params: Params,
        inputs: Inexact[Array, " size"],
        change: Inexact[Array, " size"],
    ) -> Inexact[Array, ""]:
        return self.num_copies * log_normalizer_gain(self.unit, params, inputs, change)

    def components(self, params: Params) -> tuple[tuple[Unit, Params, int], ...]:
        return ((self.unit, params, self.num_copies),)

    def _stacked(self, shape: Shape) -> Shape:
        if any(isinstance(part, tuple) for part in shape):
            return tuple(self._stacked(part) for part in shape)
        return (self.num_copies, *shape)


@record
class JoinedParams:
    """The parameters of two layers side by side."""

    first: Params
    second: Params


@dataclasses.dataclass(frozen=True)
class Joined:
    """Two layers side by side as one, such as an image beside its label: x = (y, z).

    E(x) = E₁(y) + E₂(z),  a(x) = (a₁(y), a₂(z)),  Γ(I) = Γ₁(I₁) + Γ₂(I₂).

    A state is the tuple of the two states, `shape` the pair of the two shapes.

    Args:
      first: the unit of y.
      second: the unit of z.

    Example:
      >>> from jboltz import Bernoulli, Softmax
      >>> Joined(Bernoulli(784), Softmax(1, 10)).shape  # an image beside its class
      ((784,), (1, 10))
    """

    first: Unit
    second: Unit

    def __post_init__(self) -> None:
        require_unit(self.first, "a joined layer", "first")
        require_unit(self.second, "a joined layer", "second")

    @property
    def shape(self) -> Shape:
        return (self.first.shape, self.second.shape)

    @property
    def size(self) -> int:
        return self.first.size + self.second.size

    @property
    def domain(self) -> Domain:
        return Product((self.first.domain, self.second.domain))

    @property
    def is_exact(self) -> bool:
        return is_exact(self.first) and is_exact(self.second)

    def init(self) -> JoinedParams:
        return JoinedParams(first=self.first.init(), second=self.second.init())

    def fit(self, values: State) -> JoinedParams:
        """Each layer fitted to its own part of `values`."""
        first, second = values
        return JoinedParams(first=self.first.fit(first), second=self.second.fit(second))

    def energy(self, params: JoinedParams, x: State) -> Inexact[Array, ""]:
        check_shape("x", x, self.shape, self)
        first, second = self._each(params, x, lambda unit, p, x: unit.energy(p, x))
        return first + second

    def activity(self, params: JoinedParams, x: State) -> Inexact[Array, " size"]:
        check_shape("x", x, self.shape, self)
        return jnp.concatenate(
            self._each(params, x, lambda unit, p, x: unit.activity(p, x))
        )

    def log_normalizer(
        self, params: JoinedParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, ""]:
        parts = self._split(inputs)
        first, second = self._each(
            params, parts, lambda u, p, i: u.log_normalizer(p, i)
        )
        return first + second

    def mean(
        self, params: JoinedParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        parts = self._split(inputs)
        return jnp.concatenate(
            self._each(params, parts, lambda unit, p, i: unit.mean(p, i))
        )

    def mean_state(
        self, params: JoinedParams, inputs: Inexact[Array, " size"]
    ) -> State:
        parts = self._split(inputs)
        return self._each(params, parts, lambda unit, p, i: unit.mean_state(p, i))

    def sample(
        self, params: JoinedParams, inputs: Float[Array, " size"], key: Key[Array, ""]
    ) -> State:
        parts = zip(self._split(inputs), random.split(key), strict=True)
        return self._each(params, parts, lambda unit, p, part: unit.sample(p, *part))

    def shift(
        self, params: JoinedParams, inputs: Inexact[Array, " size"]
    ) -> JoinedParams:
        parts = self._split(inputs)
        first, second = self._each(params, parts, lambda unit, p, i: unit.shift(p, i))
        return JoinedParams(first=first, second=second)

    def interpolate(
        self, params: JoinedParams, base: JoinedParams, beta: Float[Array, ""]
    ) -> JoinedParams:
        return JoinedParams(
            first=self.first.interpolate(params.first, base.first, beta),
            second=self.second.interpolate(params.second, base.second, beta),
        )

    def log_normalizer_gain(
        self,
        params: JoinedParams,
        inputs: Inexact[Array, " size"],
        change: Inexact[Array, " size"],
    ) -> Inexact[Array, ""]:
        parts = zip(self._split(inputs), self._split(change), strict=True)
        first, second = self._each(
            params, parts, lambda unit, p, part: log_normalizer_gain(unit, p, *part)
        )
        return first + second

    def components(self, params: JoinedParams) -> tuple[tuple[Unit, Params, int], ...]:
        return ((self.first, params.first, 1), (self.second, params.second, 1))

    def _each(
        self, params: JoinedParams, parts: Any, function: Callable[..., Any]
    ) -> tuple[Any, Any]:
        """`function(unit, its parameters, its part)` of both units."""
        first, second = parts
        return (
            function(self.first, params.first, first),
            function(self.second, params.second, second),
        )

    def _split(
        self, inputs: Inexact[Array, " size"]
    ) -> tuple[Inexact[Array, " first"], Inexact[Array, " second"]]:
        check_shape("inputs", inputs, (self.size,), self)
        return inputs[: self.first.size], inputs[self.first.size :]
