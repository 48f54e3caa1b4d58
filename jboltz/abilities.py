"""What a model may be able to do beyond the contracts of `base`: declared protocols.

Whoever needs an ability asks for it by `isinstance`, or by `checks.require`, which says
what is missing. A class has an ability by having its methods; nothing is registered.
"""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Inexact, Key

from jboltz.base import Domain, EnergyModel, FreeEnergyModel, Params, State, Unit


@runtime_checkable
class Normalizable(Protocol):
    """A model that can tell whether Z = ∫ dv dh exp(−E(v, h)) is finite."""

    def check_normalizable(self, params: Params) -> None:
        """Refuses parameters whose Z is known to be infinite; called on the host.

        Raises:
          ValueError: it names the number that decides, and what it needs to be.
        """
        ...


@runtime_checkable
class HiddenMeanModel(EnergyModel, Protocol):
    """An `EnergyModel` whose hidden state has its mean in closed form."""

    def mean_hidden_state(self, params: Params, v: State) -> State:
        """E[h | v], in the shape of a hidden state."""
        ...


@runtime_checkable
class VisibleMeanModel(Protocol):
    """A model whose visible state has its mean under a hidden state in closed form."""

    def mean_visible_state(self, params: Params, h: State) -> State:
        """E[v | h], in the shape of the data."""
        ...


@runtime_checkable
class DataModel(Protocol):
    """A model that says what its data may be."""

    @property
    def domain(self) -> Domain:
        """What the data may be, as of a `Unit`."""
        ...


@runtime_checkable
class AugmentedModel(EnergyModel, Protocol):
    """An `EnergyModel` whose visible state is more than the data, as of a DBM."""

    def start_at(self, params: Params, v: State, key: Key[Array, ""]) -> State:
        """A visible state with the data `v`, where a chain can start near them."""
        ...

    def data_of(self, visible: Any) -> Any:
        """The data in a visible state, or in a tree like one."""
        ...

    def with_data(self, visible: Any, data: Any) -> Any:
        """The visible state, or a tree like one, with other data."""
        ...


@runtime_checkable
class LayeredModel(FreeEnergyModel, Protocol):
    """Units in two blocks, v and h, joined by weights between the blocks alone."""

    def init(self, key: Key[Array, ""], *, data: State | None = None) -> Params: ...

    @property
    def units(self) -> tuple[Unit, ...]:
        """The layers, bottom first."""
        ...

    def parts(self, params: Params) -> tuple[tuple[Params, ...], tuple[Array, ...]]:
        """One record a layer, and the weights between neighbours."""
        ...

    def blocks(self, layers: tuple[Any, ...]) -> tuple[Any, Any]:
        """One entry a layer, bottom first, in the shape of v and of h."""
        ...

    def hidden_inputs(self, params: Params, v: State) -> Any:
        """What reaches each layer of h."""
        ...

    def visible_inputs(self, params: Params, h: State) -> Any:
        """What reaches each layer of v."""
        ...

    def hidden_free_energy(self, params: Params, h: State) -> Inexact[Array, ""]:
        """F(h) = −log ∫ dv exp(−E(v, h)), in nats."""
        ...


@runtime_checkable
class AnnealedModel(FreeEnergyModel, Protocol):
    """A `FreeEnergyModel` between a base and `model`, with `AnnealedParams`."""

    @property
    def model(self) -> Any:
        """What it is at β = 1."""
        ...

    def fit_base(self, values: State) -> Params:
        """A base whose visible part is fitted to `values`, (examples, …)."""
        ...

    def base_log_partition(self, params: Any) -> Inexact[Array, ""]:
        """log Z at β = 0, in nats."""
        ...

    def log_weight(self, here: Any, there: Any, v: State) -> Inexact[Array, ""]:
        """F(v) of one rung less that of another, in nats, as a difference."""
        ...


@runtime_checkable
class CentrableModel(LayeredModel, Protocol):
    """A `LayeredModel` whose gradient can be taken in centred coordinates."""

    def from_parts(
        self, units: tuple[Params, ...], weights: tuple[Array, ...]
    ) -> Params:
        """The inverse of `parts`."""
        ...

    def mean_activities(self, params: Params, v: State) -> tuple[Array, ...]:
        """Mean activities of all layers where the data are `v`."""
        ...


@runtime_checkable
class TwoLayerModel(CentrableModel, HiddenMeanModel, Protocol):
    """A `CentrableModel` of one visible and one hidden unit, as an RBM."""

    @property
    def visible(self) -> Unit: ...

    @property
    def hidden(self) -> Unit: ...


@runtime_checkable
class DirectedModel(Protocol):
    """A stack of RBMs, as a DBN: the top one is undirected, the others lead down."""

    @property
    def layers(self) -> tuple[Any, ...]:
        """The RBMs, bottom first."""
        ...

    def sample_layers_up(
        self, params: Params, v: State, key: Key[Array, ""]
    ) -> tuple[State, ...]:
        """A sampled pass upwards from `v`: (h¹, h², …)."""
        ...

    def sample_layers_down(
        self, params: Params, h: State, key: Key[Array, ""]
    ) -> tuple[State, ...]:
        """Samples of all layers below `h`, given it: (v, h¹, …)."""
        ...


def data_of(model: Any, visible: Any) -> Any:
    """The data in a visible state of `model`, which are all of it in most models."""
    return model.data_of(visible) if isinstance(model, AugmentedModel) else visible


def start_at(model: Any, params: Params, v: State, key: Key[Array, ""]) -> State:
    """A visible state of `model` with the data `v`."""
    if isinstance(model, AugmentedModel):
        return model.start_at(params, v, key)
    return v
