"""The deep Boltzmann machine: layers of units with weights between neighbours."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Key

from jboltz import random
from jboltz.base import Domain, Leaf, Params, State, Unit, of_hidden, record
from jboltz.checks import check_key, check_shape, check_tuple, require_unit
from jboltz.errors import InvalidValue
from jboltz.models.couplings import check_couplings
from jboltz.models.rbm import INIT_SCALE, RBM, RBMParams
from jboltz.products import full_product, product, transposed_product
from jboltz.units.composite import Copies
from jboltz.units.start import start_of

Layers = tuple[State, ...]
"""One state per layer, bottom first."""


@record
class DBMParams:
    """The record of each layer and the weights between neighbours, bottom first."""

    units: tuple[Params, ...] = of_hidden(None, -1)  #: of layers 0 … L
    #: weights[l] is (size of layer l, size of layer l + 1)
    weights: tuple[Leaf, ...] = of_hidden(-1, -2)


@dataclasses.dataclass(frozen=True)
class DBM:
    """E(x₀ … x_L) = Σ_l E_l(x_l) − Σ_l a_l(x_l)ᵀ W_l a_{l+1}(x_{l+1}), x₀ = the data.

    As an `EnergyModel`, its v is the tuple of the even layers and its h the tuple of
    the odd layers. Given one of them the layers of the other are independent, so that
    `Gibbs` draws all even or all odd layers at once.

    Args:
      units: the units of all layers, the data first.

    Reference:
      Salakhutdinov & Hinton (2009), Deep Boltzmann machines.

    Example:
      >>> from jboltz import Bernoulli
      >>> dbm = DBM((Bernoulli(784), Bernoulli(500), Bernoulli(200)))
      >>> [W.shape for W in dbm.init(jax.random.key(0)).weights]
      [(784, 500), (500, 200)]
    """

    units: tuple[Unit, ...]

    def __post_init__(self) -> None:
        check_tuple(self, "units", "`DBM((Bernoulli(9), Bernoulli(5)))`")
        for index, unit in enumerate(self.units):
            require_unit(unit, "a DBM", f"units[{index}]")
        if len(self.units) < 2:
            raise InvalidValue(
                f"`units` has {len(self.units)} layers but a DBM needs the visible one "
                "and at least one hidden layer: `DBM((Bernoulli(9), Bernoulli(5)))`."
            )

    def init(self, key: Key[Array, ""], *, data: State | None = None) -> DBMParams:
        """Weights from N(0, 0.01²), W_l from `fold_in(key, l)`; units by their `init`.

        Args:
          data: examples, (examples, *shape), that the lowest layer is fitted to.
        """
        check_key(key)
        sizes = itertools.pairwise(unit.size for unit in self.units)
        bottom, *others = self.units
        return DBMParams(
            units=(start_of(bottom, data), *(unit.init() for unit in others)),
            weights=tuple(
                INIT_SCALE * jax.random.normal(random.fold_in(key, index), shape)
                for index, shape in enumerate(sizes)
            ),
        )

    def energy(self, params: DBMParams, v: Layers, h: Layers) -> Inexact[Array, ""]:
        """E in nats, for even layers `v` and odd layers `h`."""
        layers = interleave(v, h)
        a = self._activities(params, layers)
        own = [
            unit.energy(p, x)
            for unit, p, x in zip(self.units, params.units, layers, strict=True)
        ]
        coupling = [
            full_product(product(below, W), above)
            for below, W, above in zip(a, params.weights, a[1:], strict=False)
        ]
        return _total(own) - _total(coupling)

    def free_energy(self, params: DBMParams, v: Layers) -> Inexact[Array, ""]:
        """−log Σ over the odd layers of exp(−E), in nats, given all even layers `v`.

        The free energy of the data alone has no closed form; `learning.mean_field` has
        a bound on it.
        """
        return self._free_energy(params, v, summed=1)

    def hidden_free_energy(self, params: DBMParams, h: Layers) -> Inexact[Array, ""]:
        """−log Σ over the even layers of exp(−E), in nats, given all odd layers `h`."""
        return self._free_energy(params, h, summed=0)

    def hidden_inputs(self, params: DBMParams, v: Layers) -> tuple[Array, ...]:
        """The inputs of each odd layer from the even ones, biases excluded."""
        return self._inputs(params, v, first=1)

    def visible_inputs(self, params: DBMParams, h: Layers) -> tuple[Array, ...]:
        """The inputs of each even layer from the odd ones, biases excluded."""
        return self._inputs(params, h, first=0)

    def sample_hidden(
        self, params: DBMParams, v: Layers, key: Key[Array, ""]
    ) -> Layers:
        """The odd layers given the even ones; layer l draws from `fold_in(key, l)`."""
        return self._sample(params, 1, self.hidden_inputs(params, v), key)

    def sample_visible(
        self, params: DBMParams, h: Layers, key: Key[Array, ""]
    ) -> Layers:
        """The even layers given the odd ones; layer l draws from `fold_in(key, l)`."""
        return self._sample(params, 0, self.visible_inputs(params, h), key)

    def sample_start(self, params: DBMParams, key: Key[Array, ""]) -> Layers:
        """The even layers, drawn with zero inputs."""
        zeros = [
            jnp.zeros(unit.size, params.weights[0].dtype) for unit in self.units[::2]
        ]
        return self._sample(params, 0, zeros, key)

    def start_at(self, params: DBMParams, v: State, key: Key[Array, ""]) -> Layers:
        """The even layers with the data `v` at the bottom, to start a chain near `v`.

        The other layers are drawn given the mean activities of the layers below.
        """
        means = self.mean_activities(params, v)
        inputs = [
            product(means[index - 1], params.weights[index - 1])
            for index in range(2, len(self.units), 2)
        ]
        above = self._sample(params, 2, inputs, key)
        return (v, *above)

    def data_of(self, visible: tuple[Any, ...]) -> Any:
        """The lowest of the even layers, which holds the data."""
        return visible[0]

    def with_data(self, visible: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
        """The even layers with `data` as the lowest one."""
        return (data, *visible[1:])

    @property
    def hidden_model(self) -> "DBM":
        """The layers above the data as a DBM."""
        if len(self.units) < 3:
            raise InvalidValue(
                f"This DBM has {len(self.units)} layers, but the layers above the data "
                "are a DBM only if it has 3 or more; with 2 `free_energy` is exact."
            )
        return DBM(self.units[1:])

    def given_data(
        self, params: DBMParams, v: State
    ) -> tuple[DBMParams, Inexact[Array, ""]]:
        """Parameters of `hidden_model` for the layers given `v`, and an energy in nats.

        E(v, x₁ … x_L) is the energy of `hidden_model` plus this energy.
        """
        check_shape("v", v, self.units[0].shape, f"{self}.units[0]")
        below, bottom, *others = params.units
        a = self.units[0].activity(below, v)
        unit, inputs = self.units[1], product(a, params.weights[0])
        shifted = unit.shift(bottom, inputs)
        # `shift` leaves a constant open; the same integral by both records fixes it.
        constant = unit.log_normalizer(shifted, jnp.zeros_like(inputs))
        constant = constant - unit.log_normalizer(bottom, inputs)
        given = DBMParams(units=(shifted, *others), weights=params.weights[1:])
        return given, self.units[0].energy(below, v) + constant

    def mean_activities(self, params: DBMParams, v: State) -> tuple[Array, ...]:
        """Mean activities of all layers from one pass upwards.

        A layer has no inputs from above in this pass. Below the top, its inputs from
        below are doubled instead.
        """
        check_shape("v", v, self.units[0].shape, f"{self}.units[0]")
        a = [self.units[0].activity(params.units[0], v)]
        for index, W in enumerate(params.weights, start=1):
            factor = 1 if index == len(params.weights) else 2
            inputs = factor * product(a[-1], W)
            a.append(self.units[index].mean(params.units[index], inputs))
        return tuple(a)

    def mean_visible_state(self, params: DBMParams, h: Layers) -> State:
        """E[x₀ | x₁], given the odd layers `h`."""
        a = self.units[1].activity(params.units[1], h[0])
        inputs = transposed_product(a, params.weights[0])
        return self.units[0].mean_state(params.units[0], inputs)

    def check_normalizable(self, params: DBMParams) -> None:
        """Refuses weights between unbounded layers that make Z infinite."""
        check_couplings(self.units, *self.parts(params))

    @property
    def domain(self) -> Domain:
        return self.units[0].domain

    def parts(self, params: DBMParams) -> tuple[tuple[Params, ...], tuple[Array, ...]]:
        return params.units, params.weights

    def blocks(self, layers: tuple[Any, ...]) -> tuple[Any, Any]:
        return layers[::2], layers[1::2]

    def from_parts(
        self, units: tuple[Params, ...], weights: tuple[Array, ...]
    ) -> DBMParams:
        return DBMParams(units=units, weights=weights)

    def pretraining_layers(self) -> tuple[RBM, ...]:
        """The RBMs to train greedily, whose parameters `compose` joins into this DBM.

        A hidden layer of the DBM has inputs from both sides, in an RBM from one only.
        So the bottom RBM has two tied copies of its data, the top RBM has two tied
        copies of its hidden layer, and `compose` halves the weights between them.
        """
        last = len(self.units) - 2
        layers = []
        for index, (lower, upper) in enumerate(itertools.pairwise(self.units)):
            visible = Copies(lower, 2) if index == 0 < last else lower
            hidden = Copies(upper, 2) if index == last > 0 else upper
            layers.append(RBM(visible, hidden))
        return tuple(layers)

    def compose(self, stack: tuple[RBMParams, ...]) -> DBMParams:
        """The parameters of this DBM from the parameters of its `pretraining_layers`.

        A layer between two RBMs gets the mean of its parameters in the two.

        Args:
          stack: the parameters of the RBMs, bottom first.

        Raises:
          ValueError: the shapes of the weights do not fit the layers of this DBM.
        """
        self._check_stack(stack)
        last = len(stack) - 1
        between = [
            jax.tree.map(lambda x, y: (x + y) / 2, lower.hidden, upper.visible)
            for lower, upper in itertools.pairwise(stack)
        ]
        return DBMParams(
            units=(stack[0].visible, *between, stack[-1].hidden),
            weights=tuple(
                layer.weights if index in (0, last) else layer.weights / 2
                for index, layer in enumerate(stack)
            ),
        )

    def _check_stack(self, stack: tuple[RBMParams, ...]) -> None:
        shapes = [layer.weights.shape for layer in stack]
        sizes = [unit.size for unit in self.units]
        if shapes != list(itertools.pairwise(sizes)):
            raise InvalidValue(
                f"`stack` has weights of shapes {shapes} but the layers of this DBM "
                f"have the sizes {sizes}; train the RBMs of `pretraining_layers`."
            )

    def _activities(self, params: DBMParams, layers: Layers) -> list[Array]:
        if len(layers) != len(self.units):
            raise InvalidValue(
                f"{len(layers)} layers were given but this DBM has {len(self.units)}; "
                "`v` is the tuple of the even layers and `h` of the odd layers."
            )
        for index, (unit, x) in enumerate(zip(self.units, layers, strict=True)):
            check_shape(f"layer {index}", x, unit.shape, f"{self}.units[{index}]")
        return [
            unit.activity(p, x)
            for unit, p, x in zip(self.units, params.units, layers, strict=True)
        ]

    def _free_energy(
        self, params: DBMParams, block: Layers, *, summed: int
    ) -> Inexact[Array, ""]:
        """The free energy with every second layer, from `summed` on, summed out."""
        inputs = self._inputs(params, block, first=summed)
        kept, out = slice(1 - summed, None, 2), slice(summed, None, 2)
        energies = [
            unit.energy(p, x)
            for unit, p, x in zip(
                self.units[kept], params.units[kept], block, strict=True
            )
        ]
        log_normalizers = [
            unit.log_normalizer(p, i)
            for unit, p, i in zip(
                self.units[out], params.units[out], inputs, strict=True
            )
        ]
        return _total(energies) - _total(log_normalizers)

    def _inputs(
        self, params: DBMParams, block: Layers, *, first: int
    ) -> tuple[Array, ...]:
        """Inputs of every second layer, from `first` on, given the layers between."""
        a = {}
        for index, x in zip(range(1 - first, len(self.units), 2), block, strict=True):
            unit = self.units[index]
            check_shape(f"layer {index}", x, unit.shape, f"{self}.units[{index}]")
            a[index] = unit.activity(params.units[index], x)
        return tuple(
            inputs_of(params, a, index) for index in range(first, len(self.units), 2)
        )

    def _sample(
        self,
        params: DBMParams,
        first: int,
        inputs: Sequence[Array],
        key: Key[Array, ""],
    ) -> Layers:
        """A draw of every second layer, from `first` on, given its inputs."""
        indices = range(first, len(self.units), 2)
        return tuple(
            self.units[index].sample(params.units[index], i, random.fold_in(key, index))
            for index, i in zip(indices, inputs, strict=True)
        )


def interleave(v: Layers, h: Layers) -> Layers:
    """All layers, bottom first, from the even ones `v` and the odd ones `h`."""
    pairs = itertools.zip_longest(v, h)
    return tuple(itertools.chain.from_iterable(pairs))[: len(v) + len(h)]


def inputs_of(
    params: DBMParams, activities: Mapping[int, Array], index: int
) -> Inexact[Array, " size"]:
    """The inputs of layer `index` from the `activities` of its neighbours."""
    inputs = []
    if index > 0:
        inputs.append(product(activities[index - 1], params.weights[index - 1]))
    if index < len(params.weights):
        W = params.weights[index]
        inputs.append(transposed_product(activities[index + 1], W))
    return sum(inputs[1:], start=inputs[0])


def _total(terms: list[Array]) -> Inexact[Array, ""]:
    return jnp.sum(jnp.stack(terms))
