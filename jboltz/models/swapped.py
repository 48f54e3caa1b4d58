"""A model with its v and h exchanged."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Key

from jboltz import random
from jboltz.abilities import LayeredModel
from jboltz.base import Params, State, Unit
from jboltz.models.couplings import check_couplings


@dataclasses.dataclass(frozen=True)
class SwappedLayers:
    """`model` with h in the place of v, and v in the place of h.

    Chains of `Annealed(SwappedLayers(dbm))` have the odd layers as v, with all even
    layers summed out. In a DBM with two hidden layers, v is then the first of them.
    """

    model: LayeredModel

    @property
    def units(self) -> tuple[Unit, ...]:
        return self.model.units

    def init(self, key: Key[Array, ""], *, data: State | None = None) -> Params:
        """The initial parameters of `model`, fitted to `data` of `model` if given."""
        return self.model.init(key, data=data)

    def parts(self, params: Params) -> tuple[tuple[Params, ...], tuple[Array, ...]]:
        return self.model.parts(params)

    def blocks(self, layers: tuple[Any, ...]) -> tuple[Any, Any]:
        return self.model.blocks(layers)[::-1]

    def energy(self, params: Params, v: State, h: State) -> Inexact[Array, ""]:
        return self.model.energy(params, h, v)

    def free_energy(self, params: Params, v: State) -> Inexact[Array, ""]:
        return self.model.hidden_free_energy(params, v)

    def hidden_free_energy(self, params: Params, h: State) -> Inexact[Array, ""]:
        return self.model.free_energy(params, h)

    def hidden_inputs(self, params: Params, v: State) -> Any:
        return self.model.visible_inputs(params, v)

    def visible_inputs(self, params: Params, h: State) -> Any:
        return self.model.hidden_inputs(params, h)

    def sample_hidden(self, params: Params, v: State, key: Key[Array, ""]) -> State:
        return self.model.sample_visible(params, v, key)

    def sample_visible(self, params: Params, h: State, key: Key[Array, ""]) -> State:
        return self.model.sample_hidden(params, h, key)

    def check_normalizable(self, params: Params) -> None:
        check_couplings(self.units, *self.parts(params))

    def sample_start(self, params: Params, key: Key[Array, ""]) -> State:
        """The layers of this model's v, drawn with zero inputs."""
        units, _ = self.blocks(self.units)
        records, _ = self.blocks(self.parts(params)[0])
        leaves, structure = jax.tree.flatten(units)
        keys = [random.fold_in(key, index) for index in range(len(leaves))]

        def sample(unit, record, key):
            zeros = jnp.zeros(unit.size, jax.tree.leaves(record)[0].dtype)
            return unit.sample(record, zeros, key)

        return jax.tree.map(sample, units, records, structure.unflatten(keys))
