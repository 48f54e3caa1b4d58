"""Centring: gradients in coordinates where the mean activity of each layer is zero.

Activities are centred at their means over the data, or half way between those and their
means in the model, which is called the enhanced gradient.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz import random
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
from jboltz.checks import check_number, dtype_of, is_traced, require
from jboltz.errors import InvalidValue
from jboltz.learning.batch import complete, weighted_mean
from jboltz.learning.step import Optimizer, take_update
from jboltz.learning.wrapping import Wrapping
from jboltz.products import full_product

Offsets = tuple[Array, ...]
"""One vector of activities per layer, bottom first."""


@record
class CentredState:
    """The state of the wrapped estimator, and the offset that centres each layer."""

    inner: State
    offsets: tuple[Leaf, ...] = of_hidden(None, -1)  # (size,) each


@dataclasses.dataclass(frozen=True)
class Mask:
    """A matrix of 0 and 1 that hashes and compares by its entries."""

    shape: tuple[int, ...]
    entries: bytes

    @classmethod
    def of(cls, x: Any) -> "Mask":
        """The mask with the entries of an array of bools, or of the numbers 0 and 1."""
        if isinstance(x, cls):
            return x
        array = np.asarray(x)
        if array.ndim != 2 or not np.isin(array, (0, 1)).all():
            raise InvalidValue(
                f"`masks` has {x!r} but each needs to be a matrix of 0 and 1, in the "
                "shape of its weights; pass a tuple of these."
            )
        return cls(array.shape, array.astype(bool).tobytes())

    @property
    def array(self) -> np.ndarray:
        """The mask as bools, in the shape of the weights."""
        return np.frombuffer(self.entries, bool).reshape(self.shape)


@dataclasses.dataclass(frozen=True)
class Centred(Wrapping):
    """The gradient of another estimator, taken in centred coordinates.

    With offsets o_l, a model with the biases b_l = b̃_l − W_l o_{l+1} − W_{l−1}ᵀ o_{l−1}
    has the energy E = −Σ_l (a_l − o_l)ᵀ W_l (a_{l+1} − o_{l+1}) − Σ_l (a_l − o_l)ᵀ b̃_l
    + …. If `estimator` has the gradient ΔW and Δb, a gradient step in W and b̃ moves W
    and b along

        ΔW̃_l = ΔW_l − o_l Δb_{l+1}ᵀ − Δb_l o_{l+1}ᵀ  and
        Δb_l − ΔW̃_l o_{l+1} − ΔW̃_{l−1}ᵀ o_{l−1}.

    In every batch the offsets move by a share `rate` towards ⟨a⟩_data, or with
    `model_share` s towards (1 − s) ⟨a⟩_data + s ⟨a⟩_model. They start at the mean
    activities without weights, and stay there if `rate` is 0.
    Means over the data are `mean_activities`: exact in an RBM, from one pass upwards in
    a DBM.

    The biases follow all weights. To train a part of the weights, pass `masks`. A mask
    in the optimizer is refused, as biases would follow weights that do not move.

    Args:
      estimator: the rule whose gradient is centred.
      rate: the share by which the offsets move in every batch.
      model_share: s, the share of the model's means in the offsets.

    Reference:
      Montavon & Müller (2012), Deep Boltzmann machines and the centering trick;
      Melchior, Fischer & Wiskott (2016), How to center deep Boltzmann machines.

    Example:
      >>> from jboltz import RBM, Bernoulli, ContrastiveDivergence, Gibbs
      >>> rbm = RBM(Bernoulli(784), Bernoulli(500))
      >>> estimator = Centred(ContrastiveDivergence(rbm, Gibbs(rbm)))
    """

    rate: float = 0.01
    model_share: float = 0.0
    masks: tuple[Any, ...] = ()
    """One array of 0 and 1 for each matrix of weights, 1 where a weight is trained; ()
    trains all. They are kept as `Mask`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.model, CentrableModel, "centring")
        check_number("rate", self.rate, 0, 1)
        check_number("model_share", self.model_share, 0, 1)
        object.__setattr__(self, "masks", tuple(map(Mask.of, self.masks)))

    def init(self, params: Params, key: Key[Array, ""]) -> CentredState:
        """Offsets at the mean activity of each layer without weights."""
        unit_params, weights = self.model.parts(params)
        got, need = [x.shape for x in self.masks], [W.shape for W in weights]
        if self.masks and got != need:
            raise InvalidValue(
                f"`masks` has shapes {got} but the weights have {need}; pass one mask "
                "for each matrix of weights, in its shape."
            )
        offsets = tuple(
            unit.mean(p, jnp.zeros(unit.size, dtype_of(params)))
            for unit, p in zip(self.model.units, unit_params, strict=True)
        )
        return CentredState(inner=self.estimator.init(params, key), offsets=offsets)

    def check_optimizer(self, optimizer: Optimizer, params: Params) -> None:
        """Refuses an optimizer that leaves some weights unchanged, as a mask does."""
        try:
            moved = _most_moved(optimizer, params)
        except TypeError:  # The optimizer lacks arguments; the step names them.
            return
        if is_traced(moved):
            return
        _, weights = self.model.parts(moved)
        masks = [mask.array for mask in self.masks] or [True for _ in weights]
        pairs = zip(weights, masks, strict=True)
        stay = sum(int(np.sum((np.asarray(W) == 0) & mask)) for W, mask in pairs)
        if stay and any(np.any(x) for x in jax.tree.leaves(moved)):
            raise InvalidValue(
                f"`optimizer` leaves {stay} weights as they are, but the centred "
                "gradient of the biases assumes that they move; mark the weights that "
                "are trained in `Centred(…, masks=…)`."
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
            o + self.rate * (self._target(d, slope) - o)
            for o, d, slope in zip(state.offsets, data, slopes, strict=True)
        )
        gradient = centre(self.model, gradient, offsets, self.masks)
        return gradient, CentredState(inner=inner, offsets=offsets), metrics

    def _target(self, data: Array, slope: Array) -> Array:
        """An offset from ⟨a⟩_data and ⟨a⟩_model − ⟨a⟩_data."""
        return data + self.model_share * slope if self.model_share else data


def enhanced_gradient(estimator: Estimator, *, rate: float = 1.0) -> Centred:
    """The enhanced gradient: `estimator` centred half way between data and model.

    At rate 1 the offsets come from the batch and its chains alone, and weights move
    along Cov_data(a_l, a_{l+1}) − Cov_model(a_l, a_{l+1}). This is noisy in small
    batches; a rate of 0.01 averages over about a hundred of them.

    Reference:
      Cho, Raiko & Ilin (2011), Enhanced gradient and adaptive learning rate for
      training restricted Boltzmann machines.
    """
    return Centred(estimator, rate, model_share=0.5)


def centre(
    model: CentrableModel,
    gradient: Params,
    offsets: Offsets,
    masks: tuple[Mask, ...] = (),
) -> Params:
    """T⁻¹ T⁻ᵀ `gradient`, where T maps parameters to centred parameters.

    Args:
      masks: as in `Centred`; weights with a mask of 0 get the gradient 0.
    """
    units, weights = model.parts(gradient)
    biases = _slopes(model, gradient)
    weights = tuple(
        W - jnp.outer(offsets[i], biases[i + 1]) - jnp.outer(biases[i], offsets[i + 1])
        for i, W in enumerate(weights)
    )
    if masks:
        pairs = zip(masks, weights, strict=True)
        weights = tuple(jnp.where(mask.array, W, 0) for mask, W in pairs)
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
def _most_moved(optimizer, params):
    """The largest absolute update of each parameter over several random gradients.

    The first updates may be 0: in a warm-up, or if updates are taken every few batches.
    """
    leaves, structure = jax.tree.flatten(params)

    def probe(step, carry):
        moved, state = carry
        keys = random.split(random.fold_in(jax.random.key(0), step % 8), len(leaves))
        sign = 1 - 2 * (step // 8)
        draws = [
            sign * random.normal(k, x.shape, x.dtype)
            for k, x in zip(keys, leaves, strict=True)
        ]
        gradient = structure.unflatten(draws)
        extra = {"value": jnp.zeros(()), "grad": gradient}
        update, state = take_update(optimizer, gradient, state, params, **extra)
        sizes = jax.tree.map(jnp.abs, update)
        return jax.tree.map(jnp.maximum, moved, sizes), state

    zeros = jax.tree.map(jnp.zeros_like, params)
    return jax.lax.fori_loop(0, 16, probe, (zeros, optimizer.init(params)))[0]


def _slopes(model: CentrableModel, gradient: Params) -> list[Array]:
    """The gradient in the biases of each layer, ⟨a⟩_model − ⟨a⟩_data."""
    units, _ = model.parts(gradient)
    return [_slope(u, g) for u, g in zip(model.units, units, strict=True)]


def _slope(unit, gradient):
    # `shift` is linear in its inputs, so they can be linearised at zero.
    zeros = jnp.zeros(unit.size, dtype_of(gradient))
    (along,) = jax.vjp(lambda inputs: unit.shift(gradient, inputs), zeros)[1](gradient)
    return along
