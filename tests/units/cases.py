"""The unit types under test: the conformance, enumeration and stationarity suites run
on each of them that is exact, and on pairs of them."""

import itertools
import math

from jboltz.base import is_exact
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.binomial import Binomial
from jboltz.units.composite import Copies, Joined
from jboltz.units.gaussian import Gaussian
from jboltz.units.noisy_relu import NoisyReLU
from jboltz.units.relu import ReLU
from jboltz.units.softmax import Softmax
from jboltz.units.spin import Spin

# One line a unit, of at most nine states or two real components, so that `states_of`
# and a count of the states of a pair stay affordable.
UNITS = [
    Bernoulli(3),
    Gaussian(2),
    Softmax(2, 3),
    ReLU(2),
    Spin(2),
    Copies(Bernoulli(1), 2),
    Copies(Gaussian(1), 2),
    Joined(Gaussian(1), Softmax(1, 2)),
    NoisyReLU(2),
    Binomial(2, 2),
]

EXACT_UNITS = [unit for unit in UNITS if is_exact(unit)]


def is_enumerable(unit):
    return unit.domain.count(unit.shape) < math.inf


def pairs(units):
    """Each unit on either side of a unit of the other kind, and the first of each kind
    with itself: what all pairs would tell at a fraction of their time, as no unit
    knows its partner."""
    discrete = [unit for unit in units if is_enumerable(unit)]
    real = [unit for unit in units if not is_enumerable(unit)]
    few, many = sorted((discrete, real), key=len)
    mixed = list(zip(itertools.cycle(few), many, strict=False))
    alike = [(unit, unit) for unit in (discrete[0], real[0])]
    return alike + mixed + [(v, h) for h, v in mixed]


PAIRS = pairs(EXACT_UNITS)

ENUMERABLE_PAIRS = [(v, h) for v, h in PAIRS if is_enumerable(v) and is_enumerable(h)]


def unit_name(unit):
    """Bernoulli, Copies of Gaussian, …"""
    inner = [unit_name(x) for x in vars(unit).values() if hasattr(x, "log_normalizer")]
    return " ".join([type(unit).__name__, *(["of"] if inner else []), *inner])


def pair_name(pair):
    """Bernoulli-Gaussian, …: the id of a pair."""
    return "-".join(map(unit_name, pair))
