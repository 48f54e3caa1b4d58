"""A model at another temperature: a toy."""

import dataclasses
from typing import Any

import jax
from jaxtyping import Array, Float, Inexact, Key

from jboltz.base import Params, State
from jboltz.models.rbm import RBM


@dataclasses.dataclass(frozen=True)
class Cooled:
    """E(v, h)/T, with E of an RBM whose units have energies linear in their biases."""

    rbm: RBM
    temperature: float = 2.0

    def init(self, key: Key[Array, ""], *, data: State | None = None) -> Params:
        return self.rbm.init(key, data=data)

    def energy(self, params: Params, v: State, h: State) -> Float[Array, ""]:
        return self.rbm.energy(self._scaled(params), v, h)

    def free_energy(self, params: Params, v: State) -> Inexact[Array, ""]:
        return self.rbm.free_energy(self._scaled(params), v)

    def sample_hidden(self, params: Params, v: State, key: Key[Array, ""]) -> State:
        return self.rbm.sample_hidden(self._scaled(params), v, key)

    def sample_visible(self, params: Params, h: State, key: Key[Array, ""]) -> State:
        return self.rbm.sample_visible(self._scaled(params), h, key)

    def sample_start(self, params: Params, key: Key[Array, ""]) -> State:
        return self.rbm.sample_start(self._scaled(params), key)

    def _scaled(self, params: Params) -> Any:
        return jax.tree.map(lambda x: x / self.temperature, params)
