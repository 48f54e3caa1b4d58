"""The contracts of jboltz: `Unit`, `EnergyModel`, `Sampler` and `Estimator`.

Methods take one configuration without batch axes; `jax.vmap` adds batches and chains.

A model whose energy is not bilinear in the activities of two units (such as the
spike-and-slab RBM, where spikes change the precision of the visible units) implements
`EnergyModel` itself; every sampler and estimator still works with it.
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
"""A field of a record: a `jax.Array` at run time, and a `ShapeDtypeStruct`, a sharding
or an optax label when the same tree carries metadata."""

_Class = TypeVar("_Class")

Params: TypeAlias = Any
State: TypeAlias = Any
Metrics: TypeAlias = dict[str, Array]

Shape: TypeAlias = tuple[Any, ...]
"""The shape of one array, or a tuple of shapes, for a state that is a tuple."""


@runtime_checkable
class Domain(Protocol):
    """The set of possible states. The domains of jboltz are in `jboltz.domains`."""

    @property
    def parts(self) -> tuple["Domain", ...]:
        """The domain of each part of a state that is a tuple; () for a single array."""
        ...

    @property
    def leaves(self) -> tuple[ArrayDomain, ...]:
        """The domain of each array of the state, in order."""
        ...

    @property
    def is_binary(self) -> bool:
        """Whether a state is one array of zeros and ones; its mean is then p(x = 1)."""
        ...

    def count(self, shape: Shape) -> int | float:
        """How many states of `shape` there are, or infinity."""
        ...

    def state_at(self, shape: Shape, number: Any) -> tuple[State, Any]:
        """The state with this number, as integers, and `number` // `count(shape)`.

        States are numbered from 0. To number the states of several layers together,
        pass the quotient of one layer to the next. The number may be traced.
        """
        ...


def of_hidden(*axes: int | None) -> Any:
    """Declares a field of a record with one entry per hidden unit along an axis.

    Args:
      axes: the axis of the hidden units, as a negative index. A field with one array
        per layer takes two axes, for even and for odd layers; None marks layers that
        are not hidden.
    """
    return dataclasses.field(metadata={"of_hidden": axes})


@dataclass_transform(field_specifiers=(struct.field, of_hidden), frozen_default=True)
def record(cls: type[_Class]) -> type[_Class]:
    """Makes a class a `flax.struct.dataclass` that `jax.export` can write.

    The name of the class identifies it in exported files, so it must be unique.
    """
    made = struct.dataclass(cls)
    # A module that is reloaded registers its records again; the first one is kept.
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

    values: Leaf  #: (batch, *unit.shape)
    weights: Leaf | None = None  #: (batch,) how often an example counts; None: once
    mask: Leaf | None = None  #: like `values`, True where observed; None: everywhere


@runtime_checkable
class Unit(Protocol):
    """One layer of conditionally independent units, p(x | I) ∝ exp(I·a(x) − E(x)).

    x is the state of the layer, and its activity a(x) is the vector that the weights
    multiply. The inputs I are the activity of the other layer times the weights,
    without a bias. Γ(I) is the log-normalizer of p(x | I).
    """

    @property
    def shape(self) -> Shape:
        """The shape of one state x."""
        ...

    @property
    def size(self) -> int:
        """The length of an activity a(x), and of the units' axis of the weights."""
        ...

    @property
    def domain(self) -> Domain:
        """The set of possible states, such as `UnitInterval()` or `OneHot(10)`."""
        ...

    def init(self) -> Params: ...

    def fit(self, values: State) -> Params:
        """The parameters that fit the layer without weights to (examples, *shape).

        They are of maximum likelihood, smoothed so that every parameter is finite.
        Visible biases start there, and so does the base of an annealed model.
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

        With complex parameters a unit returns the analytic continuation, up to a
        multiple of 2πi, or refuses them.
        """
        ...

    def mean(
        self, params: Params, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        """E[a(x) | I] = ∂Γ/∂I, the statistic in gradients of the weights."""
        ...

    def mean_state(self, params: Params, inputs: Inexact[Array, " size"]) -> State:
        """E[x | I], used for reconstructions, features and images."""
        ...

    def sample(
        self, params: Params, inputs: Float[Array, " size"], key: Key[Array, ""]
    ) -> State:
        """A draw from p(x | I). With zero inputs it is a state to start a chain from.

        It has the dtype of the parameters. With half-precision parameters its
        probabilities are computed in float32.
        """
        ...

    def shift(self, params: Params, inputs: Inexact[Array, " size"]) -> Params:
        """Parameters with `inputs` added to the biases: p(x | I + inputs)."""
        ...

    def interpolate(
        self, params: Params, base: Params, beta: Float[Array, ""]
    ) -> Params:
        """Parameters with the energy (1 − β)·E_base + β·E, up to a constant."""
        ...


@runtime_checkable
class ApproximateUnit(Unit, Protocol):
    """A `Unit` whose draws may not follow the p(x | I) of its energy."""

    @property
    def is_exact(self) -> bool:
        """Whether draws follow p(x | I). If not, the model has no likelihood."""
        ...


@runtime_checkable
class GainUnit(Unit, Protocol):
    """A `Unit` that computes differences of Γ site by site, before it sums over sites.

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
    """A `Unit` whose Γ at `interpolate(…, β)` is L(β), with precise changes of it."""

    def log_normalizer_change(
        self,
        own: Params,
        base: Params,
        inputs: Inexact[Array, " size"],
        betas: tuple[Float[Array, ""], Float[Array, ""]],
    ) -> Inexact[Array, ""]:
        """L(β₂) − L(β₁); L(β) = log ∫ dx exp(−(1−β) E_base(x) − β (E(x) − I·a(x)))."""
        ...


@runtime_checkable
class EnumerableUnit(Unit, Protocol):
    """A `Unit` that can sum over the values of each site, the first axis of a state."""

    def energies(self, params: Params, x: State) -> Inexact[Array, " sites"]:
        """The term of E(x) that each site contributes, in nats."""
        ...

    def alternatives(
        self,
        params: Params,
        lowest: Float[Array, " size"],
        highest: Float[Array, " size"],
    ) -> tuple[State, Float[Array, "levels sites"]]:
        """States in which every site runs through its values, and their log weights.

        Σ over levels of exp(log weight) f(value) is the sum of f over the values of a
        site. For a real site it is the integral ∫ dx f(x), for any f(x) that is a
        mixture of p(x | I) with inputs between `lowest` and `highest`.

        Returns:
          The states, (levels, *shape), and the log weights, (levels, sites).
        """
        ...


@runtime_checkable
class EnergyModel(Protocol):
    """p(v, h) ∝ exp(−E(v, h)) whose two conditionals can be sampled exactly."""

    def init(self, key: Key[Array, ""]) -> Params:
        """Parameters to start training from.

        The models of jboltz also take `data=…`, (examples, *shape), and then fit their
        visible units to these examples.
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

    The state of a chain is a record with at least the fields `visible` and `hidden`,
    one configuration of the model. Every estimator therefore takes any sampler.

    Derivatives treat states as constants (`hold`), except with a `PathwiseSampler`.
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
        """The model that is trained and has the parameters `params`: an `EnergyModel`
        or another model with parameters, such as a Flax module."""
        ...

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        """The state that the estimator keeps between batches; () if there is none."""
        ...

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The gradient (a tree like `params`), the next state, and metrics."""
        ...


@runtime_checkable
class PersistentEstimator(Estimator, Protocol):
    """An `Estimator` that keeps its chains from one update to the next, as PCD does."""

    def chains_of(self, state: State) -> State:
        """The chains in the estimator's state, along the leading axis."""
        ...


def is_exact(unit: Unit) -> bool:
    """Whether the draws of `unit` follow p(x | I) ∝ exp(I·a(x) − E(x))."""
    return not isinstance(unit, ApproximateUnit) or unit.is_exact


def log_normalizer_gain(
    unit: Unit,
    params: Params,
    inputs: Inexact[Array, " size"],
    change: Inexact[Array, " size"],
) -> Inexact[Array, ""]:
    """Γ(I + change) − Γ(I) of any `unit`, in nats; site by site of a `GainUnit`."""
    if isinstance(unit, GainUnit):
        return unit.log_normalizer_gain(params, inputs, change)
    there = unit.log_normalizer(params, inputs + change)
    return there - unit.log_normalizer(params, inputs)


def is_pathwise(sampler: Sampler) -> bool:
    """Whether derivatives pass through the draws of `sampler`."""
    return isinstance(sampler, PathwiseSampler) and sampler.is_pathwise


def hold(sampler: Sampler, *trees: Any) -> tuple[Any, ...]:
    """Stops gradients through `trees`, unless `sampler` is pathwise.

    A kernel applies this to the params and states that it draws from. The derivative
    of the mean of F over samples is then ⟨∂F/∂θ⟩, the negative phase. Otherwise real
    draws μ + σ ε would add a term to it, and binary draws would not.
    """
    return trees if is_pathwise(sampler) else jax.lax.stop_gradient(trees)
