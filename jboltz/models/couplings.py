"""Checks that layers without a bound do not pull each other to infinity."""

import itertools

import numpy as np
from jaxtyping import Array

from jboltz.base import Params, Unit
from jboltz.domains import Reals
from jboltz.errors import InvalidValue
from jboltz.units.quadratic import QuadraticUnit, components_of

_ROUNDS = 200
"""Of the search among non-negative states; each does at least as well as the last."""


def check_couplings(
    units: tuple[Unit, ...], records: tuple[Params, ...], weights: tuple[Array, ...]
) -> None:
    """Refuses layers, joined by weights between neighbours, that have no finite Z.

    With every state x measured in its own 1/√γ, far from zero the energy is
    ½|y|² + ½|z|² − yᵀKz of the even layers y and the odd layers z. Bounded units have
    no part in it. Z is finite where ‖K‖₂ < 1, and for real units only there: 1 − ‖K‖₂
    is then the smallest eigenvalue of the precision. For non-negative units Z = ∞ if
    yᵀKz > 1 at unit vectors y, z ≥ 0. These are searched for: where none is found,
    nothing is known.

    Raises:
      ValueError: it names the largest yᵀKz.
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
        # At 1 a linear term decides, so that nothing is known there.
        largest = np.nextafter(_search(K, is_real, is_real_too), 0)
    if largest >= 1:
        raise InvalidValue(
            f"The weights in `params` stretch real states by up to {largest:.6g} "
            "standard deviations a standard deviation, but Gaussian and ReLU layers "
            "need less than 1 between them, or Z = ∞ and chains run away; scale the "
            "weights down, lower the variances, or make one of two neighbours a layer "
            "of bounded units (Bernoulli, Spin, Softmax)."
        )


def _scale(unit, params):
    """The scale of each entry of the activity, 0 if bounded, and which are real."""
    scales, signs = [], []
    for part, record, num_copies in components_of(unit, params):
        scale = np.zeros(part.size)
        if isinstance(part, QuadraticUnit):
            scale = np.asarray(part.activity_scale(record), np.float64)
        # n copies that agree: activities add up, and the state is √n times as long.
        scales.append(np.sqrt(num_copies) * scale)
        signs.append(np.full(part.size, part.domain == Reals()))
    return np.concatenate(scales), np.concatenate(signs)


def _search(K, is_real, is_real_too):
    """yᵀKz at unit vectors that are signed where units are real: no upper bound."""

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
