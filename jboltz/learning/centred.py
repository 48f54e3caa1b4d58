"""Centring: the gradient of a model whose activities are measured from their means.

Of which means, is a choice: of the data's, or of the points half way to the model's,
the enhanced gradient.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz.abilities import CentrableModel
from jboltz.base import (
    Batch,
    Estimator,
    Leaf,
    Metrics,
    Params,
    State,
    of_hidden,
    record,
)
from jboltz.checks import dtype_of, require
from jboltz.learning.batch import complete, weighted_mean
from jboltz.learning.step import Optimizer
from jboltz.products import full_product

Offsets = tuple[Array, ...]
"""One vector of activities a layer, bottom first."""


@record
class CentredState:
    """The state of the estimator within, and where activities are measured from."""

    inner: State
    offsets: tuple[Leaf, ...] = of_hidden(None, -1)  # (size,) each


@dataclasses.dataclass(frozen=True)
class DataMeanOffsets:
    """Activities are measured from their means over the data.

    Reference:
      Montavon & Müller (2012), Deep Boltzmann machines and the centering trick.
    """

    def __call__(self, data: Array, slope: Array) -> Array:
        """The offset of a layer from ⟨a⟩_data and ⟨a⟩_model − ⟨a⟩_data."""
        del slope
        return data


@dataclasses.dataclass(frozen=True)
class MidpointOffsets:
    """Activities are measured from half way between their means, ½(⟨a⟩_d + ⟨a⟩_m).

    Reference:
      Cho, Raiko & Ilin (2011), Enhanced gradient and adaptive learning rate for
      training restricted Boltzmann machines.
    """

    def __call__(self, data: Array, slope: Array) -> Array:
        """The offset of a layer from ⟨a⟩_data and ⟨a⟩_model − ⟨a⟩_data."""
        return data + slope / 2


@dataclasses.dataclass(frozen=True)
class Centred:
    """Any estimator's gradient, taken in centred coordinates.

    E = −Σ_l (a_l − o_l)ᵀ W_l (a_{l+1} − o_{l+1}) − Σ_l (a_l − o_l)ᵀ b̃_l + …, the same
    model with b_l = b̃_l − W_l o_{l+1} − W_{l−1}ᵀ o_{l−1}. A gradient step there is, in
    the parameters as they are, a step along

        ΔW̃_l = ΔW_l − o_l Δb_{l+1}ᵀ − Δb_l o_{l+1}ᵀ,
        Δb_l − ΔW̃_l o_{l+1} − ΔW̃_{l−1}ᵀ o_{l−1},

    an ascent direction for any offsets. They move towards `around` by a share `rate` a
    batch; 0 keeps them where the biases alone put them.

    The means of the hidden layers over the data are those of `mean_activities`: of an
    RBM exact, of a DBM those of one pass upwards.

    The bias part takes it that all weights move. To train a part of them, say which in
    `masks`, one array of 0 and 1 for each matrix of weights; a mask in the optimizer
    would leave the biases to follow weights that stay, and is refused.

    Reference:
      Montavon & Müller (2012), Deep Boltzmann machines and the centering trick;
      Melchior, Fischer & Wiskott (2016), How to center deep Boltzmann machines.

    Example:
      >>> from jboltz import RBM, Bernoulli, ContrastiveDivergence, Gibbs
      >>> rbm = RBM(Bernoulli(784), Bernoulli(500))
      >>> estimator = Centred(ContrastiveDivergence(rbm, Gibbs(rbm)))
    """

    estimator: Estimator
    rate: float = 0.01
    around: DataMeanOffsets | MidpointOffsets = DataMeanOffsets()
    masks: tuple[Array | np.ndarray, ...] = ()
    """1 where a weight is trained, 0 where it stays; () trains all."""

    def __post_init__(self) -> None:
        require(self.estimator, Estimator, "centring", "estimator")
        require(self.model, CentrableModel, "centring")
        if not 0 <= self.rate <= 1:
            raise ValueError(
                f"`rate` is {self.rate} but offsets move by a share from 0 to 1."
            )

    @property
    def model(self) -> CentrableModel:
        return self.estimator.model

    def init(self, params: Params, key: Key[Array, ""]) -> CentredState:
        """Offsets at each layer's means without the weights."""
        unit_params, _ = self.model.parts(params)
        offsets = tuple(
            unit.mean(p, jnp.zeros(unit.size, dtype_of(params)))
            for unit, p in zip(self.model.units, unit_params, strict=True)
        )
        return CentredState(inner=self.estimator.init(params, key), offsets=offsets)

    def check_optimizer(self, optimizer: Optimizer, params: Params) -> None:
        """Refuses a mask in the optimizer: weights that no gradient moves."""
        moved = [jax.tree.map(jnp.abs, _move(optimizer, params, s)) for s in (1, -1)]
        moved = jax.tree.map(jnp.maximum, *moved)
        _, weights = self.model.parts(moved)
        if any(jnp.any(x) for x in jax.tree.leaves(moved)):
            trained = self.masks or tuple(map(jnp.ones_like, weights))
            stay = [
                jnp.sum((W == 0) & (m != 0))
                for W, m in zip(weights, trained, strict=True)
            ]
            if any(stay):
                raise ValueError(
                    f"`optimizer` leaves {int(sum(stay))} weights as they are, but the "
                    "centred gradient of the biases counts on their moving; say which "
                    "weights are trained in `Centred(…, masks=…)`."
                )

    def estimate(
        self, params: Params, state: CentredState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, CentredState, Metrics]:
        batch = complete(batch, params)
        gradient, inner, metrics = self.estimator.estimate(
            params, state.inner, batch, key
        )
        activities = jax.vmap(self.model.mean_activities, in_axes=(None, 0))
        data = [
            jax.vmap(weighted_mean, in_axes=(1, None))(a, batch.weights)
            for a in activities(params, batch.values)
        ]
        slopes = _slopes(self.model, gradient)
        offsets = tuple(
            o + self.rate * (self.around(d, slope) - o)
            for o, d, slope in zip(state.offsets, data, slopes, strict=True)
        )
        gradient = centre(self.model, gradient, offsets, self.masks)
        return gradient, CentredState(inner=inner, offsets=offsets), metrics


def enhanced_gradient(estimator: Estimator, *, rate: float = 1.0) -> Centred:
    """The enhanced gradient: centred half way between data and model.

    At rate 1 the offsets are those of the batch and its chains, and the weights move
    along Cov_data(a_l, a_{l+1}) − Cov_model(a_l, a_{l+1}). That is noisy where batches
    are small: a rate of 0.01, say, averages over a hundred.
    """
    return Centred(estimator, rate, MidpointOffsets())


def centre(
    model: CentrableModel,
    gradient: Params,
    offsets: Offsets,
    masks: tuple[Array | np.ndarray, ...] = (),
) -> Params:
    """T⁻¹ T⁻ᵀ `gradient`, with T the map from these to centred parameters.

    Args:
      masks: those of `Centred`; a weight is no parameter where they are 0.
    """
    units, weights = model.parts(gradient)
    biases = _slopes(model, gradient)
    weights = tuple(
        W - jnp.outer(offsets[i], biases[i + 1]) - jnp.outer(biases[i], offsets[i + 1])
        for i, W in enumerate(weights)
    )
    if masks:
        pairs = zip(masks, weights, strict=True)
        weights = tuple(jnp.asarray(mask, W.dtype) * W for mask, W in pairs)
    shifts = [jnp.zeros_like(b) for b in biases]
    for i, W in enumerate(weights):
        shifts[i] -= full_product(W, offsets[i + 1])
        shifts[i + 1] -= full_product(offsets[i], W)
    units = tuple(
        unit.shift(g, shift)
        for unit, g, shift in zip(model.units, units, shifts, strict=True)
    )
    return model.from_parts(units, weights)


@partial(jax.jit, static_argnums=0)
def _move(optimizer, params, sign):
    """The first update along a gradient of ±1."""
    gradient = jax.tree.map(lambda x: jnp.full_like(x, sign), params)
    return optimizer.update(gradient, optimizer.init(params), params)[0]


def _slopes(model: CentrableModel, gradient: Params) -> list[Array]:
    """The derivatives along each layer's biases: ⟨a⟩_model − ⟨a⟩_data."""
    units, _ = model.parts(gradient)
    return [_slope(u, g) for u, g in zip(model.units, units, strict=True)]


def _slope(unit, gradient):
    """`shift` is linear in its inputs, so where it is linearised does not matter."""
    zeros = jnp.zeros(unit.size, dtype_of(gradient))
    (along,) = jax.vjp(lambda inputs: unit.shift(gradient, inputs), zeros)[1](gradient)
    return along
