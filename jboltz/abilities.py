"""Protocols of what a model or an estimator may do beyond the contracts of `base`.

Whoever needs an ability asks for it by `isinstance`, or by `checks.require`, which says
what is missing. A class has an ability by having its methods; nothing is registered.
"""

from typing import Any, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Array, Float, Inexact, Key

from jboltz.base import (
    Domain,
    EnergyModel,
    Estimator,
    FreeEnergyModel,
    Params,
    State,
    Unit,
)


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
    """A model with E[v | h] in closed form, in the shape of the data."""

    def mean_visible_state(self, params: Params, h: State) -> State: ...


@runtime_checkable
class DataModel(Protocol):
    """A model that says what its data may be, as a `Unit` does."""

    @property
    def domain(self) -> Domain: ...


@runtime_checkable
class AugmentedModel(EnergyModel, Protocol):
    """An `EnergyModel` whose visible state is more than the data, such as a DBM."""

    def start_at(self, params: Params, v: State, key: Key[Array, ""]) -> State:
        """A visible state with the data `v`, where a chain can start near them."""
        ...

    def data_of(self, visible: Any) -> Any:
        """The data in a visible state, or in a tree like one."""
        ...

    def with_data(self, visible: Any, data: Any) -> Any:
        """A visible state, or a tree like one, with other data."""
        ...


def data_of(model: Any, visible: Any) -> Any:
    """The data in a visible state of `model`, which are all of it in most models."""
    return model.data_of(visible) if isinstance(model, AugmentedModel) else visible


@runtime_checkable
class LayeredModel(FreeEnergyModel, Protocol):
    """Layers of units in two blocks, v and h, joined by weights between the blocks.

    `units` are the layers, bottom first, and `parts` one record a layer and the weights
    between neighbours. `blocks` takes one entry a layer and returns them in the shape
    of v and of h. `hidden_inputs` reach the layers of h, `visible_inputs` those of v,
    and `hidden_free_energy` is −log ∫ dv exp(−E(v, h)) in nats.
    """

    def init(self, key: Key[Array, ""], *, data: State | None = None) -> Params: ...

    @property
    def units(self) -> tuple[Unit, ...]: ...

    def parts(self, params: Params) -> tuple[tuple[Params, ...], tuple[Array, ...]]: ...

    def blocks(self, layers: tuple[Any, ...]) -> tuple[Any, Any]: ...

    def hidden_inputs(self, params: Params, v: State) -> Any: ...

    def visible_inputs(self, params: Params, h: State) -> Any: ...

    def hidden_free_energy(self, params: Params, h: State) -> Inexact[Array, ""]: ...


@runtime_checkable
class CentrableModel(LayeredModel, Protocol):
    """A `LayeredModel` whose gradient can be taken in centred coordinates.

    `from_parts` is the inverse of `parts`, and `mean_activities` are those of all
    layers where the data are `v`.
    """

    def from_parts(
        self, units: tuple[Params, ...], weights: tuple[Array, ...]
    ) -> Params: ...

    def mean_activities(self, params: Params, v: State) -> tuple[Array, ...]: ...


@runtime_checkable
class TwoLayerModel(CentrableModel, HiddenMeanModel, Protocol):
    """A `CentrableModel` of one visible and one hidden unit, as an RBM."""

    @property
    def visible(self) -> Unit: ...

    @property
    def hidden(self) -> Unit: ...


@runtime_checkable
class AnnealedModel(FreeEnergyModel, Protocol):
    """A `FreeEnergyModel` with `AnnealedParams`, between a base and `model`.

    `fit_base` fits a base to examples, `base_log_partition` is its log Z, and
    `log_weight` is F(v) of one rung less that of another, both in nats.
    """

    @property
    def model(self) -> Any: ...

    def fit_base(self, values: State) -> Params: ...

    def base_log_partition(self, params: Any) -> Inexact[Array, ""]: ...

    def log_weight(self, here: Any, there: Any, v: State) -> Inexact[Array, ""]: ...


@runtime_checkable
class DirectedModel(Protocol):
    """A stack of RBMs, as a DBN: the top one is undirected, the others lead down.

    `layers` are the RBMs, bottom first; `sample_layers_up` draws (h¹, h², …) from v
    upwards, and `sample_layers_down` all layers below h, (v, h¹, …).
    """

    @property
    def layers(self) -> tuple[Any, ...]: ...

    def sample_layers_up(
        self, params: Params, v: State, key: Key[Array, ""]
    ) -> tuple[State, ...]: ...

    def sample_layers_down(
        self, params: Params, h: State, key: Key[Array, ""]
    ) -> tuple[State, ...]: ...


SampledModel: TypeAlias = EnergyModel | DirectedModel
"""A model that chains can be run on."""


@runtime_checkable
class LabelModel(Protocol):
    """A model that gives log p(y | v) of every class y of an example."""

    def label_log_probabilities(
        self, params: Params, v: State
    ) -> Float[Array, " classes"]: ...


@runtime_checkable
class WrappingEstimator(Estimator, Protocol):
    """An `Estimator` around another one, whose gradient it changes or watches."""

    @property
    def estimator(self) -> Estimator: ...


@runtime_checkable
class OptimizerCheckingEstimator(Estimator, Protocol):
    """An `Estimator` whose gradient is wrong for some optimizers."""

    def check_optimizer(self, optimizer: Any, params: Params) -> None:
        """Refuses an optimizer for which the gradient is wrong; called on the host.

        Raises:
          ValueError: it says what the optimizer does and what to do instead.
        """
        ...
