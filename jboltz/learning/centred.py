"""Centring: the gradient of a model whose activities are measured from their means."""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Key

from jboltz.base import Batch, Estimator, Leaf, Metrics, Params, State
from jboltz.models.dbm import DBM
from jboltz.models.rbm import RBM

Offsets = tuple[Array, ...]
"""One vector of activities a layer, bottom first."""


@struct.dataclass
class CentredState:
    """The state of the estimator within, and where activities are measured from."""

    inner: State
    offsets: tuple[Leaf, ...]  # (size,) each


class _EstimatorOfChain(Estimator, Protocol):
    """An estimator that says of which model, as all of jboltz do."""

    @property
    def model(self) -> RBM | DBM: ...


@dataclasses.dataclass(frozen=True)
class Centred:
    """Any estimator's gradient, taken in centred coordinates.

    E = −Σ_l (a_l − o_l)ᵀ W_l (a_{l+1} − o_{l+1}) − Σ_l (a_l − o_l)ᵀ b̃_l + …, the same
    model with b_l = b̃_l − W_l o_{l+1} − W_{l−1}ᵀ o_{l−1}. A gradient step there is, in
    the parameters as they are, a step along

        ΔW̃_l = ΔW_l − o_l Δb_{l+1}ᵀ − Δb_l o_{l+1}ᵀ,
        Δb_l − ΔW̃_l o_{l+1} − ΔW̃_{l−1}ᵀ o_{l−1},

    an ascent direction for any offsets. They follow the data with rate `rate` a batch;
    0 keeps them where the biases alone put them.

    Reference:
      Montavon & Müller (2012), Deep Boltzmann machines and the centering trick;
      Melchior, Fischer & Wiskott (2016), How to center deep Boltzmann machines.
    """

    estimator: _EstimatorOfChain
    rate: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(
                f"`rate` is {self.rate} but offsets move by a share from 0 to 1."
            )

    @property
    def model(self) -> RBM | DBM:
        return self.estimator.model

    def init(self, params: Params, key: Key[Array, ""]) -> CentredState:
        """Offsets at each layer's means without the weights."""
        unit_params, _ = self.model.parts(params)
        offsets = tuple(
            unit.mean(p, jnp.zeros(unit.size))
            for unit, p in zip(self.model.units, unit_params, strict=True)
        )
        return CentredState(inner=self.estimator.init(params, key), offsets=offsets)

    def estimate(
        self, params: Params, state: CentredState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, CentredState, Metrics]:
        gradient, inner, metrics = self.estimator.estimate(
            params, state.inner, batch, key
        )
        activities = jax.vmap(self.model.mean_activities, in_axes=(None, 0))
        offsets = tuple(
            o + self.rate * (jnp.mean(a, axis=0) - o)
            for o, a in zip(
                state.offsets, activities(params, batch.values), strict=True
            )
        )
        gradient = centre(self.model, gradient, offsets)
        return gradient, CentredState(inner=inner, offsets=offsets), metrics


def centre(model: RBM | DBM, gradient: Params, offsets: Offsets) -> Params:
    """T⁻¹ T⁻ᵀ `gradient`, with T the map from these to centred parameters."""
    units, weights = model.parts(gradient)
    biases = [_bias(u, g) for u, g in zip(model.units, units, strict=True)]
    weights = tuple(
        W - jnp.outer(offsets[i], biases[i + 1]) - jnp.outer(biases[i], offsets[i + 1])
        for i, W in enumerate(weights)
    )
    shifts = [jnp.zeros_like(b) for b in biases]
    for i, W in enumerate(weights):
        shifts[i] -= W @ offsets[i + 1]
        shifts[i + 1] -= offsets[i] @ W
    units = tuple(
        unit.shift(g, shift)
        for unit, g, shift in zip(model.units, units, shifts, strict=True)
    )
    return model.from_parts(units, weights)


def _bias(unit, gradient):
    """The derivative along the biases: `shift` is linear in its inputs."""
    zeros = jnp.zeros(unit.size)
    (along,) = jax.vjp(lambda inputs: unit.shift(gradient, inputs), zeros)[1](gradient)
    return along
