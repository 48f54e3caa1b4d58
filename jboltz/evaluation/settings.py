"""Settings of evaluations, which are part of the configuration of programs."""

import dataclasses
from typing import Annotated

from jboltz.ranges import ChainSteps, LadderScale, Range, Several


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ladders:
    """Settings to estimate log Z by annealing from a base to the model."""

    ladder_scale: LadderScale = 1.0
    """The length of the annealing ladder, in units of 14 500 rungs."""
    ladder_check: Annotated[float, Range(0, 1000)] = 10.0
    """The length of a second, longer ladder, in units of the first; 0 leaves it out."""
    annealed_chains: Several = 100
    """The number of chains along each ladder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tempering(Ladders):
    """Settings to estimate log Z in both directions, with samples by tempering."""

    num_replicas: Several = 20
    """The number of replicas of a tempered chain."""
    tempering_steps: ChainSteps = 1000
    """The steps of the tempered chains, after as many steps of warm-up."""
