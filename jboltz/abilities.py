"""Optional abilities of models and estimators, as protocols beyond the ones in `base`.

A class has an ability if it has the methods of the protocol; nothing is registered.
Functions that need one test for it by `isinstance`, or by `checks.require`, which
raises an error that names what is missing.
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
        """Refuses parameters whose Z is known to be infinite; called outside `jit`.

        Raises:
          ValueError: Z is infinite; the message names the number that makes it so and
            the bound that this number has to meet.
        """
        ...


@runtime_checkable
class HiddenMeanModel(EnergyModel, Protocol):
    """An `EnergyModel` with E[h | v] in closed form."""

    def mean_hidden_state(self, params: Params, v: State) -> State:
        """E[h | v], in the shape of a hidden state."""
        ...


@runtime_checkable
class VisibleMeanModel(Protocol):
    """A model with E[v | h] in closed form, in the shape of the data."""

    def mean_visible_state(self, params: Params, h: State) -> State: ...


@runtime_checkable
class RowChecker(Protocol):
    """A `prepare` that can tell whether it takes rows of data."""

    def check_rows(self, *bound_and_rows: Any) -> None:
        """Refuses rows that are known; called outside `jit`, with what
        `jax.tree_util.Partial` has bound, if anything, and the rows.

        Raises:
          TypeError: the rows are of another kind.
          ValueError: the rows are no rows of this `prepare`.
        """
        ...


@runtime_checkable
class DataModel(Protocol):
    """A model that states the domain of its data, as a `Unit` does."""

    @property
    def domain(self) -> Domain: ...


@runtime_checkable
class AugmentedModel(EnergyModel, Protocol):
    """An `EnergyModel` whose visible state holds more than the data, such as a DBM."""

    def start_at(self, params: Params, v: State, key: Key[Array, ""]) -> State:
        """A visible state with the data `v`, to start a chain at them."""
        ...

    def data_of(self, visible: Any) -> Any:
        """The data in a visible state, or in a tree of the same structure."""
        ...

    def with_data(self, visible: Any, data: Any) -> Any:
        """A visible state, or a tree of the same structure, with its data replaced."""
        ...


def data_of(model: Any, visible: Any) -> Any:
    """The data in a visible state of `model`; in most models, the whole state."""
    return model.data_of(visible) if isinstance(model, AugmentedModel) else visible


@runtime_checkable
class LayeredModel(FreeEnergyModel, Protocol):
    """Layers of units in two blocks, v and h, joined by weights between the blocks.

    `units` are the layers, bottom first. `parts` takes parameters apart into the record
    of each layer and the weights between neighbouring layers. `blocks` takes one entry
    per layer and returns the entries for v and for h, in the structure of a state.
    `hidden_inputs` are the inputs to h given v, `visible_inputs` the inputs to v given
    h, and `hidden_free_energy` is −log ∫ dv exp(−E(v, h)) in nats.
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

    `from_parts` is the inverse of `parts`. `mean_activities` are the mean activities
    of all layers, bottom first, given the data `v`.
    """

    def from_parts(
        self, units: tuple[Params, ...], weights: tuple[Array, ...]
    ) -> Params: ...

    def mean_activities(self, params: Params, v: State) -> tuple[Array, ...]: ...


@runtime_checkable
class TwoLayerModel(CentrableModel, HiddenMeanModel, Protocol):
    """A `CentrableModel` of one visible and one hidden layer, such as an RBM."""

    @property
    def visible(self) -> Unit: ...

    @property
    def hidden(self) -> Unit: ...


@runtime_checkable
class AnnealedModel(FreeEnergyModel, Protocol):
    """A `FreeEnergyModel` with `AnnealedParams`, on the path from a base to `model`.

    The base has no weights, so its log Z, `base_log_partition`, is known in closed
    form. `fit_base` fits it to examples. `log_weight` is F_here(v) − F_there(v), the
    difference of the free energies of two rungs of the path. Both are in nats.
    """

    @property
    def model(self) -> Any: ...

    def fit_base(self, values: State) -> Params: ...

    def base_log_partition(self, params: Any) -> Inexact[Array, ""]: ...

    def log_weight(self, here: Any, there: Any, v: State) -> Inexact[Array, ""]: ...


@runtime_checkable
class DirectedModel(Protocol):
    """A stack of RBMs such as a DBN: the top RBM is undirected, the others directed.

    `layers` are the RBMs, bottom first. `sample_layers_up` draws (h¹, h², …) from v
    upwards, and `sample_layers_down` draws all layers below h, (v, h¹, …).
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
    """An `Estimator` that changes or records the gradient of another `estimator`."""

    @property
    def estimator(self) -> Estimator: ...


@runtime_checkable
class OptimizerCheckingEstimator(Estimator, Protocol):
    """An `Estimator` whose gradient is wrong for some optimizers."""

    def check_optimizer(self, optimizer: Any, params: Params) -> None:
        """Refuses an optimizer for which the gradient is wrong; called outside `jit`.

        Raises:
          ValueError: the optimizer does not fit; the message says what to use instead.
        """
        ...
