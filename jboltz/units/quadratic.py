"""Units with a quadratic energy: their states have no bound, and their Z may be ∞."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

from jboltz.base import Params, Unit
from jboltz.domains import Reals


@runtime_checkable
class QuadraticUnit(Unit, Protocol):
    """A `Unit` with E(x) = ½ Σ γ x² + linear terms and a(x) = c x.

    Each x_i is any real number or any non-negative one, as `domain` says.
    """

    def activity_scale(self, params: Params) -> Float[Array, " size"]:
        """c/√γ: how far the activity spreads, over all real x its deviation."""
        ...


@runtime_checkable
class CompositeUnit(Unit, Protocol):
    """A `Unit` made of others, side by side along the activity."""

    def components(self, params: Params) -> tuple[tuple[Unit, Params, int], ...]:
        """Each unit with its record, and how many copies of it add up."""
        ...


def components_of(
    unit: Unit, params: Params, num_copies: int = 1
) -> list[tuple[Unit, Params, int]]:
    """`unit` taken apart, down to the units that are made of no others."""
    if not isinstance(unit, CompositeUnit):
        return [(unit, params, num_copies)]
    return [
        component
        for part, record, count in unit.components(params)
        for component in components_of(part, record, num_copies * count)
    ]


def is_normal(unit: Unit, params: Params) -> bool:
    """Whether every p(x | I) is a normal distribution: a quadratic energy over ℝⁿ."""
    return all(
        isinstance(part, QuadraticUnit) and part.domain == Reals()
        for part, _, _ in components_of(unit, params)
    )
