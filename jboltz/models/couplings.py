"""A check that weights between unbounded layers leave Z finite."""

import itertools

import numpy as np
from jaxtyping import Array

from jboltz.base import Params, Unit
from jboltz.domains import Reals
from jboltz.errors import InvalidValue
from jboltz.units.quadratic import QuadraticUnit, components_of

_ROUNDS = 200
"""The number of steps of the search over non-negative states; none lowers the value."""


def check_couplings(
    units: tuple[Unit, ...], records: tuple[Params, ...], weights: tuple[Array, ...]
) -> None:
    """Refuses layers, joined by weights between neighbours, whose Z is infinite.

    In units of 1/√γ, and far from zero, the energy is ½|y|² + ½|z|² − yᵀKz, where y are
    the states of the even layers and z of the odd layers; bounded units do not count.
    Z is finite if ‖K‖₂ < 1. For real units it is infinite otherwise: 1 − ‖K‖₂ is the
    smallest eigenvalue of the precision. With non-negative units Z is infinite if
    yᵀKz > 1 for unit vectors y, z ≥ 0; if a search finds none, the layers pass.

    Raises:
      ValueError: Z is infinite; the message has the largest yᵀKz.
    """
    scales, signs = zip(*map(_scale, units, records), strict=True)
    neighbours = itertools.pairwise(range(len(units)))
    if not any(scales[i].any() and scales[j].any() for i, j in neighbours):
        return
    sizes = [len(scale) for scale in scales]
    rows, columns = (np.cumsum([0, *sizes[first::2]]) for first in (0, 1))
    K = np.zeros((rows[-1], columns[-1]))
    for index, W in enumerate(weights):
        part = scales[index][:, None] * np.asarray(W, np.float64) * scales[index + 1]
        even, odd = (index + 1) // 2, index // 2
        part = part.T if index % 2 else part
        K[rows[even] : rows[even + 1], columns[odd] : columns[odd + 1]] = part
    largest = np.linalg.norm(K, 2)
    is_real, is_real_too = (np.concatenate(signs[first::2]) for first in (0, 1))
    all_real = is_real[K.any(1)].all() and is_real_too[K.any(0)].all()
    if largest >= 1 and not all_real:
        # At exactly 1 the linear terms decide, so this case passes.
        largest = np.nextafter(_search(K, is_real, is_real_too), 0)
    if largest >= 1:
        raise InvalidValue(
            f"The weights in `params` stretch real states by up to {largest:.6g} "
            "standard deviations per standard deviation, but Gaussian and ReLU layers "
            "need less than 1 between them, or Z = ∞ and chains diverge; scale the "
            "weights down, lower the variances, or make one of two neighbours a layer "
            "of bounded units (Bernoulli, Spin, Softmax)."
        )


def _scale(unit, params):
    """The scale of each entry of the activity, 0 if bounded, and whether it is real."""
    scales, signs = [], []
    for part, record, num_copies in components_of(unit, params):
        scale = np.zeros(part.size)
        if isinstance(part, QuadraticUnit):
            scale = np.asarray(part.activity_scale(record), np.float64)
        # n equal copies have n times the activity, and together √n times the length.
        scales.append(np.sqrt(num_copies) * scale)
        signs.append(np.full(part.size, part.domain == Reals()))
    return np.concatenate(scales), np.concatenate(signs)


def _search(K, is_real, is_real_too):
    """A large yᵀKz over unit vectors, negative only where units are real."""

    def step(product, is_real):
        allowed = np.where(is_real, product, np.maximum(product, 0))
        length = np.linalg.norm(allowed)
        return allowed / (length or 1), length

    lengths = [step(column, is_real)[1] for column in K.T]
    z = np.eye(K.shape[1])[np.argmax(lengths)]
    value = 0.0
    for _ in range(_ROUNDS):
        y, _ = step(K @ z, is_real)
        z, value = step(K.T @ y, is_real_too)
    return value
