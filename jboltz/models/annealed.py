"""A model on the path from a base of independent layers (β = 0) to itself (β = 1)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, Key

from jboltz import random
from jboltz.abilities import LayeredModel
from jboltz.base import Leaf, Params, RungUnit, Shape, State, is_exact, record
from jboltz.checks import check_normalizable, require
from jboltz.errors import InvalidValue
from jboltz.units.start import start_of


def check_exact(model: LayeredModel) -> None:
    """Refuses layers whose draws do not follow their energy and have no likelihood."""
    require(model, LayeredModel, "a rung or a likelihood of units")
    inexact = [unit for unit in model.units if not is_exact(unit)]
    if inexact:
        raise InvalidValue(
            f"`model` has the layer {inexact[0]}, whose draws do not follow its "
            "energy, but likelihoods and rungs need exact units; take another unit, "
            "such as `ReLU` for `NoisyReLU`."
        )


@record
class AnnealedParams:
    """The parameters of a model and a base, and β; `vmap` over `beta` adds rungs."""

    params: Params  # of the model
    base: Params  # one record per layer, a tuple, bottom first
    beta: Leaf  # () the rung: 0 is the base, 1 the model


@dataclasses.dataclass(frozen=True)
class Annealed:
    """E_β = (1 − β) E_base + β E, where the layers of the base are independent.

    The model with a fixed β is called a rung. It is an `EnergyModel` with the states of
    `model`, so that every sampler runs on it. Given its inputs I from the unscaled
    weights, a layer has the energy (1 − β) E_base(x) + β (E(x) − I·a(x)).

    Args:
      model: the model at β = 1, an RBM or a DBM whose layers are swapped.

    Example:
      >>> from jboltz import RBM, Bernoulli
      >>> annealed = Annealed(RBM(Bernoulli(4), Bernoulli(3)))
      >>> base = annealed.fit_base(jnp.ones((10, 4)))  # one record per layer
      >>> len(base)
      2
    """

    model: LayeredModel

    def __post_init__(self) -> None:
        check_exact(self.model)

    def init(self, key: Key[Array, ""], *, data: State | None = None) -> AnnealedParams:
        """Initial parameters of the model and of the base, at β = 1; visible units are
        fitted to `data`, (examples, *shape), where given."""
        bottom, *others = self.model.units
        return AnnealedParams(
            params=self.model.init(key, data=data),
            base=(start_of(bottom, data), *(unit.init() for unit in others)),
            beta=jnp.ones(()),
        )

    def check_normalizable(self, params: AnnealedParams) -> None:
        """At β = 1 refuses a model whose Z is infinite; other rungs are not checked."""
        if np.max(params.beta) == 1:
            check_normalizable(self.model, params.params)

    def fit_base(self, values: State) -> tuple[Params, ...]:
        """A base whose bottom layer is fitted to `values`, (examples, *shape).

        The other layers have initial parameters; binary units are then uniform.
        """
        bottom, *others = self.model.units
        return (start_of(bottom, values, "values"), *(unit.init() for unit in others))

    def base_log_partition(self, params: AnnealedParams) -> Inexact[Array, ""]:
        return _total(_no_input_normalizer, self.model.units, params.base)

    def energy(self, params: AnnealedParams, v: State, h: State) -> Inexact[Array, ""]:
        """(1 − β) E_base(v, h) + β E(v, h), in nats."""
        own = self.model.energy(params.params, v, h)
        visible, hidden = self.model.blocks(self.model.units)
        visible_base, hidden_base = self.model.blocks(params.base)
        base = _total(_energy, visible, visible_base, v)
        base = base + _total(_energy, hidden, hidden_base, h)
        return (1 - params.beta) * base + params.beta * own

    def free_energy(self, params: AnnealedParams, v: State) -> Inexact[Array, ""]:
        """−log ∫ dh exp(−E_β(v, h)), in nats."""
        inputs = self.model.hidden_inputs(params.params, v)
        (visible, own, base), hidden = self._blocks(params)
        energy = params.beta * _total(_energy, visible, own, v)
        energy = energy + (1 - params.beta) * _total(_energy, visible, base, v)

        def log_normalizer(unit, own, base, inputs):
            return _log_normalizer(unit, own, base, inputs, params.beta)

        return energy - _total(log_normalizer, *hidden, inputs)

    def log_weight(
        self, here: AnnealedParams, there: AnnealedParams, v: State
    ) -> Inexact[Array, ""]:
        """F_β(v) − F_β′(v) of two rungs of one model, in nats, without cancellation."""
        own_inputs = self.model.hidden_inputs(here.params, v)
        (visible, own, base), hidden = self._blocks(here)
        step = there.beta - here.beta

        def change(unit, own, base, inputs):
            return _log_normalizer_change(
                unit, own, base, inputs, (here.beta, there.beta)
            )

        energy = _total(_energy, visible, own, v) - _total(_energy, visible, base, v)
        return _total(change, *hidden, own_inputs) - step * energy

    def sample_hidden(
        self, params: AnnealedParams, v: State, key: Key[Array, ""]
    ) -> State:
        """A draw from p_β(h | v); layer i of h draws from `fold_in(key, i)`."""
        inputs = self.model.hidden_inputs(params.params, v)
        _, (hidden, own, base) = self._blocks(params)
        return _sample(hidden, own, base, inputs, params.beta, key)

    def sample_visible(
        self, params: AnnealedParams, h: State, key: Key[Array, ""]
    ) -> State:
        """A draw from p_β(v | h); layer i of v draws from `fold_in(key, i)`."""
        inputs = self.model.visible_inputs(params.params, h)
        (visible, own, base), _ = self._blocks(params)
        return _sample(visible, own, base, inputs, params.beta, key)

    def sample_start(self, params: AnnealedParams, key: Key[Array, ""]) -> State:
        """An exact draw of v from the base, for any β."""
        (visible, own, base), _ = self._blocks(params)
        zeros = jax.tree.map(_no_inputs, visible, base)
        return _sample(visible, own, base, zeros, jnp.zeros_like(params.beta), key)

    def _blocks(self, params: AnnealedParams) -> Any:
        """(units, parameters, parameters of the base) of the layers of v, and of h."""
        own, _ = self.model.parts(params.params)
        layers = (self.model.units, own, params.base)
        return tuple(zip(*map(self.model.blocks, layers), strict=True))


# A block is the layers of v or of h: one unit, or a tuple of units.


def _total(function, units, *trees):
    """Σ of `function` over the units of a block."""
    terms = jax.tree.leaves(jax.tree.map(function, units, *trees))
    return jnp.sum(jnp.stack(terms))


def _sample(units, own, base, inputs, beta, key):
    leaves, structure = jax.tree.flatten(units)
    keys = [random.fold_in(key, index) for index in range(len(leaves))]

    def sample(unit, own, base, inputs, key):
        return unit.sample(
            _rung(unit, own, base, inputs, beta), jnp.zeros_like(inputs), key
        )

    return jax.tree.map(sample, units, own, base, inputs, structure.unflatten(keys))


def _rung(unit, own, base, inputs, beta):
    """The unit with energy (1 − β) E_base(x) + β (E(x) − I·a(x)), up to a constant.

    Every rung has the activity of the model. If parameters enter the activity, they are
    the model's: a Gaussian has a(x) = x/σ² with the model's σ.
    """
    return unit.interpolate(unit.shift(own, inputs), base, beta)


def _log_normalizer(unit, own, base, inputs, beta):
    """log ∫ dx exp(−(1 − β) E_base(x) − β (E(x) − I·a(x))), in nats."""
    rung = _rung(unit, own, base, inputs, beta)
    value = unit.log_normalizer(rung, jnp.zeros_like(inputs))
    if isinstance(unit, RungUnit):
        return value
    # The constant that `interpolate` leaves open is read off at x = 0, where a(x) = 0.
    # The formulas of the energies hold there even if x = 0 is not a state of the unit.
    zero = _zeros(unit.shape, inputs.dtype)
    exact = (1 - beta) * unit.energy(base, zero) + beta * unit.energy(own, zero)
    return value - (exact - unit.energy(rung, zero))


def _log_normalizer_change(unit, own, base, inputs, betas):
    """The difference of `_log_normalizer` between two rungs."""
    if isinstance(unit, RungUnit):
        return unit.log_normalizer_change(own, base, inputs, betas)
    here, there = (_log_normalizer(unit, own, base, inputs, beta) for beta in betas)
    return there - here


def _energy(unit, params, x):
    return unit.energy(params, x)


def _no_input_normalizer(unit, params):
    return unit.log_normalizer(params, _no_inputs(unit, params))


def _no_inputs(unit, params):
    return jnp.zeros(unit.size, jax.tree.leaves(params)[0].dtype)


def _zeros(shape: Shape, dtype: Any) -> State:
    if any(isinstance(part, tuple) for part in shape):
        return tuple(_zeros(part, dtype) for part in shape)
    return jnp.zeros(shape, dtype)
