"""The unit types under test: the conformance, enumeration and stationarity suites run
on each of them, and on every pair of them."""

import itertools

from jboltz.units.bernoulli import Bernoulli
from jboltz.units.gaussian import Gaussian

# One line a unit, of at most eight states or two real components, so that `states_of`
# and a count of the states of a pair stay affordable.
UNITS = [
    Bernoulli(3),
    Gaussian(2),
]

PAIRS = list(itertools.product(UNITS, UNITS))


def is_enumerable(unit):
    return unit.domain in ("unit interval", "one-hot")


ENUMERABLE_PAIRS = [(v, h) for v, h in PAIRS if is_enumerable(v) and is_enumerable(h)]


def pair_name(pair):
    """Bernoulli-Gaussian, …: the id of a pair."""
    return "-".join(type(unit).__name__ for unit in pair)
