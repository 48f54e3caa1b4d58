"""The words and the four contracts of jboltz.

Every function here is written for one configuration: one visible state, one hidden
state, no batch axis. Batches and chains are added by `jax.vmap`.

A `Unit` meets the weights through its activity alone. What is not bilinear in two
activities (the spike-and-slab RBM, whose precision the spikes modulate) is no pair of
units: it implements `EnergyModel` itself and keeps every sampler and estimator.
"""

import re
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct
from jax.core import Tracer
from jaxtyping import Array, Float, Inexact, Key

if TYPE_CHECKING:
    Leaf: TypeAlias = Array
else:
    Leaf = Any
"""A slot of a record. A `jax.Array` at run time; a `ShapeDtypeStruct`, a sharding or an
optax label when the same tree carries metadata."""

Params: TypeAlias = Any
State: TypeAlias = Any
Metrics: TypeAlias = dict[str, Array]

Shape: TypeAlias = tuple[Any, ...]
"""Of one array, (2, 3); of a state that is a tuple of arrays, the tuple of theirs."""

Domain: TypeAlias = str | tuple[Any, ...]
"""A name; of a state that is a tuple of arrays, the tuple of theirs."""


@struct.dataclass
class Batch:
    """What an estimator sees of the data."""

    values: Leaf  # (batch, *unit.shape)
    weights: Leaf | None = None  # (batch,) how often each counts; None: once
    mask: Leaf | None = None  # as values, True where observed; None: everything


@runtime_checkable
class Unit(Protocol):
    """One layer of conditionally independent units, p(x | I) ∝ exp(I·a(x) − E(x)).

    The state x is what a layer is; the activity a(x) is what meets the weights; the
    inputs I are what arrives through them, bias excluded; Γ(I) is the log-normalizer.

    A unit whose draws are no p(x | I) of its energy says so: `exact = False`. One whose
    E(0) is 0 for all parameters may: `vanishes_at_zero = True`.
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
        """What x may be: "unit interval", "spin" (−1 or 1), "one-hot" (along the last
        axis), "real" or "non-negative"."""
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

        It has the type of the parameters; if that is narrow, it is made in float32.
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

    def init(self, key: Key[Array, ""]) -> Params: ...

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
    """A Markov kernel that leaves p(v, h; params) invariant.

    Its state is a record with at least the fields `visible` and `hidden`, a
    configuration of the model; so any sampler can drive any estimator.
    """

    def init(self, params: Params, v: State, key: Key[Array, ""]) -> State:
        """A chain that starts at `v`."""
        ...

    def step(
        self, params: Params, state: State, key: Key[Array, ""]
    ) -> tuple[State, Metrics]: ...


@runtime_checkable
class Estimator(Protocol):
    """A stochastic estimate of the gradient of the mean negative log-likelihood."""

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        """What the estimator remembers between batches; () if nothing."""
        ...

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The gradient (a tree like `params`), the next state and metrics."""
        ...


def is_exact(unit: Unit) -> bool:
    """Whether the draws of `unit` are those of p(x | I) ∝ exp(I·a(x) − E(x))."""
    return getattr(unit, "exact", True)


def vanishes_at_zero(unit: Unit) -> bool:
    """Whether `unit` says that E(0) = 0 for all parameters."""
    return getattr(unit, "vanishes_at_zero", False)


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


def check_shape(name: str, x: Any, expected: Shape, owner: Any) -> None:
    """Refuses what is not one configuration of the expected shape, part by part.

    Raises:
      ValueError: the shapes differ; a leading batch axis is named as such.
    """
    if any(isinstance(part, tuple) for part in expected):
        if not isinstance(x, tuple) or len(x) != len(expected):
            raise ValueError(
                f"`{name}` is {_outline(x)} but {owner} needs a tuple of "
                f"{len(expected)} states; pass arrays of shapes {expected}."
            )
        for index, (part, shape) in enumerate(zip(x, expected, strict=True)):
            check_shape(f"{name}[{index}]", part, shape, owner)
        return
    shape = tuple(getattr(x, "shape", ()))
    if shape == expected:
        return
    if len(shape) > len(expected) and shape[len(shape) - len(expected) :] == expected:
        remedy = (
            "it is batched, and jboltz functions take one configuration: map over the "
            "batch with `jax.vmap(f, in_axes=(None, 0))(params, batch)`"
        )
    else:
        remedy = f"pass one array of shape {expected}"
    raise ValueError(
        f"`{name}` has shape {shape} but {owner} needs shape {expected}; {remedy}."
    )


def _outline(x: Any) -> str:
    if isinstance(x, tuple):
        return f"a tuple of {len(x)}"
    return f"one {type(x).__name__} of shape {tuple(getattr(x, 'shape', ()))}"


def dtype_of(params: Params) -> Any:
    """The dtype that all leaves of a record share."""
    return jnp.result_type(*jax.tree.leaves(params))


def cast_states(states: State, params: Params) -> State:
    """`states` in the dtype of `params`, so that a chain keeps the type it starts with.

    Chains carry their states through compiled loops, whose carry may not change type.
    """
    dtype = dtype_of(params)
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), states)


def check_params(model: Any, params: Params, name: str = "params") -> None:
    """Refuses a record that is no set of parameters of `model`.

    The record that `model.init` makes says which leaves there are and their shapes.
    Values are looked at only where they are known: under `jit`, `vmap` or `grad` shapes
    and dtypes alone are checked.

    Args:
      model: anything with `init(key) -> params`.
      name: what the caller calls the record.

    Raises:
      ValueError: the leaves are others than those of `model.init` or have other shapes,
        or one of them holds NaN or an infinity.
      TypeError: a leaf is not floating point, or the leaves differ in dtype.
    """
    like = jax.eval_shape(model.init, jax.random.key(0))
    leaves = jax.tree_util.tree_leaves_with_path(params)
    got = {jax.tree_util.keystr(path): jnp.shape(x) for path, x in leaves}
    need = {
        jax.tree_util.keystr(path): x.shape
        for path, x in jax.tree_util.tree_leaves_with_path(like)
    }
    remedy = "pass what `init` of the same model makes"
    if _records_of(params) != _records_of(like) or got.keys() != need.keys():
        raise ValueError(
            f"`{name}` is {_records_of(params)} with leaves {got} but {model} needs "
            f"{_records_of(like)} with leaves {need}; {remedy}."
        )
    for path, shape in got.items():
        if shape != need[path]:
            raise ValueError(
                f"`{name}{path}` has shape {shape} but {model} needs {need[path]}; "
                f"{remedy}."
            )
    dtypes = {jax.tree_util.keystr(path): jnp.result_type(x) for path, x in leaves}
    if len({*dtypes.values()}) > 1 or not all(
        jnp.issubdtype(dtype, jnp.inexact) for dtype in dtypes.values()
    ):
        raise TypeError(
            f"`{name}` has leaves of dtypes { {k: str(d) for k, d in dtypes.items()} } "
            "but needs one floating point dtype; cast them, "
            f"`jax.tree.map(lambda x: x.astype(jnp.float32), {name})`."
        )
    for path, leaf in leaves:
        if not isinstance(leaf, Tracer) and not jnp.isfinite(leaf).all():
            raise ValueError(
                f"`{name}{jax.tree_util.keystr(path)}` holds NaN or an infinity but "
                "every parameter needs to be finite; look for a diverged run, or lower "
                "its learning rate."
            )


def _records_of(tree: Any) -> str:
    """The classes of a tree of records, which `==` of two structures ignores."""
    names = re.findall(r"CustomNode\((\w+)", str(jax.tree.structure(tree)))
    return ", ".join(names) or type(tree).__name__


def check_real(name: str, x: Array, owner: Any, reason: str) -> None:
    """Refuses complex numbers where the formula is no analytic function of them."""
    if jnp.iscomplexobj(x):
        raise TypeError(
            f"`{name}` is {x.dtype} but {owner} needs real numbers: {reason}."
        )


def check_size(unit: Unit, *fields: str) -> None:
    """Refuses a layer whose `fields` (by default, `size`) are no whole numbers ≥ 1."""
    for field in fields or ("size",):
        count = getattr(unit, field)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(
                f"`{field}` is {count!r} but {type(unit).__name__} needs a whole "
                "number of at least 1."
            )
