"""Base classes of units that depend on bias and inputs through their sum alone."""

import abc
import dataclasses
import math
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from jboltz.base import State
from jboltz.checks import check_real, check_shape, check_size
from jboltz.domains import ArrayDomain

ON_THE_REAL_LINE = (
    "its Γ is written for the real line; Bernoulli, Spin, Softmax and Gaussian units "
    "take complex ones"
)


@dataclasses.dataclass(frozen=True)
class BiasedUnit(abc.ABC):
    """Units with a(x) = x and p(x | I) ∝ m(x) exp((b + I)·x); b + I is their field.

    A subclass declares its sizes as `int` fields and defines `shape`, `domain`, `fit`,
    `energy` = −b·x − log m(x), `log_normalizer`, the means and `sample`.
    """

    Params: ClassVar[type]
    """The class of the parameters, a record with `bias` in the shape of a state."""

    is_analytic: ClassVar[bool] = True
    """Whether the formulas hold for a complex field too; if not, it is refused."""

    def __post_init__(self) -> None:
        fields = dataclasses.fields(self)
        check_size(self, *(field.name for field in fields if field.type is int))

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]: ...

    def init(self) -> Any:
        return self.Params(bias=jnp.zeros(self.shape))

    def activity(self, params: Any, x: State) -> Inexact[Array, " size"]:
        del params
        check_shape("x", x, self.shape, self)
        return x.ravel()

    def shift(self, params: Any, inputs: Inexact[Array, " size"]) -> Any:
        return self.Params(bias=self._field(params, inputs))

    def interpolate(self, params: Any, base: Any, beta: Float[Array, ""]) -> Any:
        return self.Params(bias=(1 - beta) * base.bias + beta * params.bias)

    def _field(
        self, params: Any, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, "*shape"]:
        check_shape("params.bias", params.bias, self.shape, self)
        check_shape("inputs", inputs, (math.prod(self.shape),), self)
        field = params.bias + inputs.reshape(self.shape)
        if not self.is_analytic:
            check_real("params", field, self, ON_THE_REAL_LINE)
        return field


@dataclasses.dataclass(frozen=True)
class DiscreteUnit(BiasedUnit):
    """A `BiasedUnit` with finitely many values per site.

    A subclass also defines `energies` and `gain`.
    """

    @property
    @abc.abstractmethod
    def domain(self) -> ArrayDomain: ...

    @abc.abstractmethod
    def gain(
        self,
        x: Inexact[Array, "*shape"],
        y: Inexact[Array, "*shape"],
        change: Inexact[Array, "*shape"],
    ) -> Inexact[Array, ""]:
        """Γ at the field y minus Γ at the field x, where `change` is y − x unrounded.

        It is computed site by site, so its error is relative to the gain and not to Γ.
        """

    def log_normalizer_gain(
        self, params: Any, inputs: Inexact[Array, " size"], change: Inexact[Array, " _"]
    ) -> Inexact[Array, ""]:
        x, change = self._field(params, inputs), change.reshape(self.shape)
        return self.gain(x, x + change, change)

    def log_normalizer_change(
        self,
        params: Any,
        base: Any,
        inputs: Inexact[Array, " size"],
        betas: tuple[Float[Array, ""], Float[Array, ""]],
    ) -> Inexact[Array, ""]:
        """Γ at β₂ minus Γ at β₁, where the field is (1 − β) b_base + β (b + I)."""
        (here, there), field = betas, self._field(params, inputs)
        x, y = ((1 - beta) * base.bias + beta * field for beta in betas)
        return self.gain(x, y, (there - here) * (field - base.bias))

    def alternatives(
        self,
        params: Any,
        lowest: Float[Array, " size"],
        highest: Float[Array, " size"],
    ) -> tuple[State, Float[Array, "levels sites"]]:
        del params, lowest, highest
        levels, sites = int(self.domain.num_states), self.shape[0]
        states = self.domain.values(np.arange(levels)).astype(float)
        each = jnp.asarray(np.repeat(states[:, None], sites, axis=1))
        return each, jnp.zeros((levels, sites))
