"""Units with a quadratic energy: states are unbounded, so that Z may be infinite."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

from jboltz.base import Params, Unit
from jboltz.domains import Reals


@runtime_checkable
class QuadraticUnit(Unit, Protocol):
    """A `Unit` with E(x) = ½ Σ γ x² + linear terms and a(x) = c x.

    `domain` says whether each x_i is any real number or a non-negative one.
    """

    def activity_scale(self, params: Params) -> Float[Array, " size"]:
        """c/√γ, the standard deviation of the activity if x may be any real number."""
        ...


@runtime_checkable
class CompositeUnit(Unit, Protocol):
    """A `Unit` made of other units, whose activities are concatenated."""

    def components(self, params: Params) -> tuple[tuple[Unit, Params, int], ...]:
        """(unit, its parameters, how many copies of it are summed), for each unit."""
        ...


def components_of(
    unit: Unit, params: Params, num_copies: int = 1
) -> list[tuple[Unit, Params, int]]:
    """The components of `unit` and of its components, down to simple units."""
    if not isinstance(unit, CompositeUnit):
        return [(unit, params, num_copies)]
    return [
        component
        for part, record, count in unit.components(params)
        for component in components_of(part, record, num_copies * count)
    ]


def is_normal(unit: Unit, params: Params) -> bool:
    """Whether every p(x | I) is a normal distribution."""
    return all(
        isinstance(part, QuadraticUnit) and part.domain == Reals()
        for part, _, _ in components_of(unit, params)
    )
