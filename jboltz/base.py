"""The words and the four contracts of jboltz.

Every function here is written for one configuration: one visible state, one hidden
state, no batch axis. Batches and chains are added by `jax.vmap`.

A `Unit` meets the weights through its activity alone. What is not bilinear in two
activities (the spike-and-slab RBM, whose precision the spikes modulate) is no pair of
units: it implements `EnergyModel` itself and keeps every sampler and estimator.
"""

import contextlib
import dataclasses
import json
from typing import (
    TYPE_CHECKING,
    Any,
    Protocol,
    TypeAlias,
    TypeVar,
    dataclass_transform,
    runtime_checkable,
)

import jax
from flax import struct
from jax import export
from jaxtyping import Array, Float, Inexact, Key

from jboltz.domains import ArrayDomain

if TYPE_CHECKING:
    Leaf: TypeAlias = Array
else:
    Leaf = Any
"""A slot of a record. A `jax.Array` at run time; a `ShapeDtypeStruct`, a sharding or an
optax label when the same tree carries metadata."""

_Class = TypeVar("_Class")

Params: TypeAlias = Any
State: TypeAlias = Any
Metrics: TypeAlias = dict[str, Array]

Shape: TypeAlias = tuple[Any, ...]
"""The shape of one array, or a tuple of shapes, for a state that is a tuple."""


@runtime_checkable
class Domain(Protocol):
    """The set that a state is in. The domains of jboltz are in `jboltz.domains`."""

    @property
    def parts(self) -> tuple["Domain", ...]:
        """One a part of a state that is a tuple; () of a single array."""
        ...

    @property
    def leaves(self) -> tuple[ArrayDomain, ...]:
        """One an array of the state, in order."""
        ...

    @property
    def is_binary(self) -> bool:
        """Whether a state is one array of 0 and 1, so that means are probabilities."""
        ...

    def count(self, shape: Shape) -> int | float:
        """How many states of `shape` there are, or infinity."""
        ...

    def state_at(self, shape: Shape, number: Any) -> tuple[State, Any]:
        """State `number`, from 0, in integers, and what is left of the number.

        The number may be traced. It numbers several layers together: what one of them
        leaves is for the next.
        """
        ...


def of_hidden(*axes: int | None) -> Any:
    """A field of a record whose leaves have an entry a hidden unit along an axis.

    Args:
      axes: where that is, counted from the end. Of a field with an entry a layer, one
        for even and one for odd layers; None: the layer is not hidden.
    """
    return dataclasses.field(metadata={"of_hidden": axes})


@dataclass_transform(field_specifiers=(struct.field, of_hidden), frozen_default=True)
def record(cls: type[_Class]) -> type[_Class]:
    """A class as a record: a `flax.struct.dataclass`, which `jax.export` writes too.

    Its name in an artefact is that of the class in `jboltz`, so it is the only one.
    """
    made = struct.dataclass(cls)
    # A module that is loaded again makes its records anew; the name is the first one's.
    with contextlib.suppress(ValueError):
        export.register_pytree_node_serialization(
            made,
            serialized_name=f"jboltz.{cls.__name__}",
            serialize_auxdata=lambda fields: json.dumps(fields).encode(),
            deserialize_auxdata=lambda text: tuple(json.loads(text)),
        )
    return made


@record
class Batch:
    """The examples of one update, with their weights and their mask."""

    values: Leaf  # (batch, *unit.shape)
    weights: Leaf | None = None  # (batch,) how often each counts; None: once
    mask: Leaf | None = None  # as values, True where observed; None: everything


@runtime_checkable
class Unit(Protocol):
    """One layer of conditionally independent units, p(x | I) ∝ exp(I·a(x) − E(x)).

    The state x is what a layer is; the activity a(x) is what meets the weights; the
    inputs I are what arrives through them, bias excluded; Γ(I) is the log-normalizer.
    """

    @property
    def shape(self) -> Shape:
        """The shape of one state x."""
        ...

    @property
    def size(self) -> int:
        """The length of one activity a(x), the axis that meets the weights."""
        ...

    @property
    def domain(self) -> Domain:
        """The set of the states, such as `UnitInterval()` or `OneHot(10)`."""
        ...

    def init(self) -> Params: ...

    def fit(self, values: State) -> Params:
        """The layer on its own, without weights, fitted to `values` (examples, *shape).

        Maximum likelihood, smoothed so that every parameter is finite: a start for
        visible biases, and the base of an annealed model.
        """
        ...

    def energy(self, params: Params, x: State) -> Inexact[Array, ""]:
        """E(x) in nats."""
        ...

    def activity(self, params: Params, x: State) -> Inexact[Array, " size"]:
        """a(x)."""
        ...

    def log_normalizer(
        self, params: Params, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, ""]:
        """Γ(I) = log ∫ dx exp(I·a(x) − E(x)), in nats.

        Of complex parameters it is the analytic continuation, up to 2πi, or refused.
        """
        ...

    def mean(
        self, params: Params, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        """E[a(x) | I] = ∂Γ/∂I, for statistics."""
        ...

    def mean_state(self, params: Params, inputs: Inexact[Array, " size"]) -> State:
        """E[x | I], for reconstructions, features and pictures."""
        ...

    def sample(
        self, params: Params, inputs: Float[Array, " size"], key: Key[Array, ""]
    ) -> State:
        """A draw from p(x | I); with zero inputs, a state to start from.

        Its dtype is that of the parameters; in half precision it is made in float32.
        """
        ...

    def shift(self, params: Params, inputs: Inexact[Array, " size"]) -> Params:
        """`inputs` moved into the biases: p(x | I) becomes p(x | I + inputs)."""
        ...

    def interpolate(
        self, params: Params, base: Params, beta: Float[Array, ""]
    ) -> Params:
        """The unit with energy (1 − β)·E_base + β·E, up to a constant."""
        ...


@runtime_checkable
class ApproximateUnit(Unit, Protocol):
    """A `Unit` that may draw from another distribution than p(x | I) of its energy."""

    @property
    def is_exact(self) -> bool:
        """Whether it draws from p(x | I); if not, it has no likelihood."""
        ...


@runtime_checkable
class GainUnit(Unit, Protocol):
    """A `Unit` that forms differences of Γ before it sums them over its sites.

    Γ of a large layer is in the hundreds, where a float32 keeps four decimals.
    """

    def log_normalizer_gain(
        self,
        params: Params,
        inputs: Inexact[Array, " size"],
        change: Inexact[Array, " size"],
    ) -> Inexact[Array, ""]:
        """Γ(I + change) − Γ(I), in nats."""
        ...


@runtime_checkable
class RungUnit(Unit, Protocol):
    """A `Unit` that forms the difference of Γ between two rungs as one."""

    def log_normalizer_change(
        self,
        own: Params,
        base: Params,
        inputs: Inexact[Array, " size"],
        betas: tuple[Float[Array, ""], Float[Array, ""]],
    ) -> Inexact[Array, ""]:
        """log ∫ dx exp(−(1 − β) E_base(x) − β (E(x) − I·a(x))), second β less first."""
        ...


@runtime_checkable
class EnumerableUnit(Unit, Protocol):
    """A `Unit` whose sites, the first axis of a state, can be summed over singly."""

    def energies(self, params: Params, x: State) -> Inexact[Array, " sites"]:
        """E(x), one term a site, in nats."""
        ...

    def alternatives(
        self,
        params: Params,
        lowest: Float[Array, " size"],
        highest: Float[Array, " size"],
    ) -> tuple[State, Float[Array, "levels sites"]]:
        """States that take every site through its values, and their log weights.

        Σ over levels of exp(log weight) f(value) is the sum of f over what a site may
        be; of a real site it is the integral ∫ dx f(x), for any f(x) that is a mixture
        of p(x | I) with inputs between `lowest` and `highest`.

        Returns:
          (levels, *shape), and (levels, sites).
        """
        ...


@runtime_checkable
class EnergyModel(Protocol):
    """p(v, h) ∝ exp(−E(v, h)) whose two conditionals can be sampled exactly."""

    def init(self, key: Key[Array, ""]) -> Params:
        """Parameters to train from.

        The models of jboltz take `data=…` too, (examples, *shape), which their visible
        units are then fitted to.
        """
        ...

    def energy(self, params: Params, v: State, h: State) -> Float[Array, ""]:
        """E(v, h) in nats."""
        ...

    def sample_hidden(self, params: Params, v: State, key: Key[Array, ""]) -> State:
        """A draw from p(h | v)."""
        ...

    def sample_visible(self, params: Params, h: State, key: Key[Array, ""]) -> State:
        """A draw from p(v | h)."""
        ...

    def sample_start(self, params: Params, key: Key[Array, ""]) -> State:
        """A visible state drawn without the weights, where a chain can start."""
        ...


@runtime_checkable
class FreeEnergyModel(EnergyModel, Protocol):
    """An `EnergyModel` whose hidden state integrates out in closed form."""

    def free_energy(self, params: Params, v: State) -> Inexact[Array, ""]:
        """F(v) = −log ∫ dh exp(−E(v, h)), in nats."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """A Markov kernel that leaves p(v, h; params) of its `model` invariant.

    Its state is a record with at least the fields `visible` and `hidden`, a
    configuration of the model; so any sampler can drive any estimator.

    To a derivative its states are constants (`hold`), unless it is a `PathwiseSampler`.
    """

    @property
    def model(self) -> Any:
        """The model whose parameters the kernel takes."""
        ...

    def init(self, params: Params, v: State, key: Key[Array, ""]) -> State:
        """A chain that starts at `v`."""
        ...

    def step(
        self, params: Params, state: State, key: Key[Array, ""]
    ) -> tuple[State, Metrics]: ...


@runtime_checkable
class PathwiseSampler(Sampler, Protocol):
    """A `Sampler` whose draws can be differentiated at fixed noise."""

    @property
    def is_pathwise(self) -> bool:
        """Whether a derivative passes through the draws."""
        ...


@runtime_checkable
class Estimator(Protocol):
    """A stochastic estimate of the gradient of the mean negative log-likelihood."""

    @property
    def model(self) -> Any:
        """The model that is trained: an `EnergyModel`, whose `init` makes `params`, or
        one with parameters of another kind, such as a Flax module."""
        ...

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        """The state that the estimator keeps between batches; () if there is none."""
        ...

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The gradient (a tree like `params`), the next state and metrics."""
        ...


@runtime_checkable
class PersistentEstimator(Estimator, Protocol):
    """An `Estimator` that remembers chains from update to update, as PCD does."""

    def chains_of(self, state: State) -> State:
        """The chains in the estimator's state, one a leading index."""
        ...


def is_exact(unit: Unit) -> bool:
    """Whether the draws of `unit` are those of p(x | I) ∝ exp(I·a(x) − E(x))."""
    return not isinstance(unit, ApproximateUnit) or unit.is_exact


def log_normalizer_gain(
    unit: Unit,
    params: Params,
    inputs: Inexact[Array, " size"],
    change: Inexact[Array, " size"],
) -> Inexact[Array, ""]:
    """Γ(I + change) − Γ(I) of any `unit`, in nats; of a `GainUnit` site by site."""
    if isinstance(unit, GainUnit):
        return unit.log_normalizer_gain(params, inputs, change)
    there = unit.log_normalizer(params, inputs + change)
    return there - unit.log_normalizer(params, inputs)


def is_pathwise(sampler: Sampler) -> bool:
    """Whether `sampler` says that a derivative passes through its draws."""
    return isinstance(sampler, PathwiseSampler) and sampler.is_pathwise


def hold(sampler: Sampler, *trees: Any) -> tuple[Any, ...]:
    """`trees` as constants to a derivative, unless `sampler` is pathwise.

    A kernel holds what its draws are made of, params and states. The derivative of a
    mean over samples is then that of the function at the samples: the negative phase,
    ⟨∂F/∂θ⟩. Through a draw μ + σ ε it would have another part, and through a binary
    draw none, so that what came out would depend on the units.
    """
    return trees if is_pathwise(sampler) else jax.lax.stop_gradient(trees)
