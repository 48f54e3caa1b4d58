"""One update, and many of them in one program: what both training loops are made of.

What example i of a step draws depends on the keys of epoch and step and on i alone:
not on the batch size, on how an epoch is cut into programs, or on devices.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import (
    NamedSharding,
    PartitionSpec,
)
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import (
    Batch,
    EnergyModel,
    Estimator,
    Leaf,
    Metrics,
    Params,
    State,
    record,
)
from jboltz.checks import (
    check_callable,
    check_key,
    check_params,
    is_traced,
    require,
)
from jboltz.learning.built import how_built
from jboltz.products import Precision

History: TypeAlias = dict[str, np.ndarray]
"""What a run of steps reports: one entry a step for each metric."""

TrainStep: TypeAlias = Callable[
    ["TrainState", Batch, Key[Array, ""]], tuple["TrainState", Metrics]
]
Prepare: TypeAlias = Callable[[Any, Key[Array, ""]], State]
"""What a batch of rows goes through on the device, before the estimator sees it. To
carry arrays, a `jax.tree_util.Partial` over them."""


@record
class TrainState:
    """Everything that changes in training."""

    step: Leaf  # () int32, updates taken
    params: Params
    opt_state: State
    estimator_state: State  # persistent chains, say; () for CD


def init_train_state(
    params: Params,
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    key: Key[Array, ""],
) -> TrainState:
    """The state before the first update.

    Raises:
      ValueError: `params` are none of the estimator's model.
    """
    require(estimator, Estimator, "a training state", "estimator")
    check_optimizer(optimizer)
    check_key(key)
    _check_params(estimator, params)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        estimator_state=estimator.init(params, key),
    )


@dataclasses.dataclass(frozen=True)
class _EstimatorStep:
    """A closure that hashes by value, so that building it twice does not recompile."""

    estimator: Estimator
    optimizer: optax.GradientTransformation = dataclasses.field(compare=False)
    precision: Precision
    value: str | None
    built: Any = dataclasses.field(init=False, repr=False)  # stands for `optimizer`

    def __post_init__(self) -> None:
        require(self.estimator, Estimator, "a step", "estimator")
        check_optimizer(self.optimizer)
        object.__setattr__(self, "built", how_built(self.optimizer))
        if self.precision not in get_args(Precision):
            raise ValueError(
                f"`precision` is {self.precision!r} but the products of training are "
                "'float32', 'tensorfloat32' or 'bfloat16'; pass one of these names."
            )

    def __call__(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        mesh = jax.typeof(jax.tree.leaves(state.params)[0]).sharding.mesh
        with jax.default_matmul_precision(self.precision):
            if not mesh.explicit_axes:
                return self._update(state, batch, key)
            # Between a state and the next, XLA lays out what it likes.
            as_before = jax.tree.map(lambda x: jax.typeof(x).sharding, state)
            whole = NamedSharding(mesh, PartitionSpec())
            update: Any = jax.sharding.auto_axes(
                self._update, out_sharding=(as_before, whole)
            )
            return update(state, batch, key)

    def _update(self, state, batch, key):
        gradient, estimator_state, metrics = self.estimator.estimate(
            state.params, state.estimator_state, batch, key
        )
        if batch.weights is not None:
            # An estimate is a mean over its own batch; among the batches of an epoch
            # it has to count as much as the examples that it was made of.
            share = jnp.mean(batch.weights)
            gradient = jax.tree.map(lambda g: (share * g).astype(g.dtype), gradient)
        updates, opt_state = self._update_optimizer(gradient, state, metrics)
        new_state = TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            estimator_state=estimator_state,
        )
        return new_state, metrics

    def _update_optimizer(self, gradient, state, metrics):
        extra = {}
        if self.value is not None:
            if self.value not in metrics:
                raise ValueError(
                    f"`value` is {self.value!r} but {self.estimator} reports "
                    f"{sorted(metrics)}; name one of these."
                )
            extra = {"value": metrics[self.value], "grad": gradient}
        optimizer = optax.with_extra_args_support(self.optimizer)
        try:
            return optimizer.update(gradient, state.opt_state, state.params, **extra)
        except TypeError as error:
            raise TypeError(
                f"`optimizer` refuses its arguments: {error}. If it follows a value, "
                "as `optax.contrib.reduce_on_plateau` does, name that metric, "
                "`make_train_step(…, value='reconstruction_error')`; one that searches "
                "along a line by `value_fn`, as `optax.lbfgs` does, needs an exact "
                "loss, which an estimator does not have."
            ) from error


def check_optimizer(optimizer: Any) -> None:
    """Refuses what is no optimizer of optax."""
    if not isinstance(optimizer, optax.GradientTransformation | optax.MultiSteps):
        raise TypeError(
            f"`optimizer` is {optimizer!r} but needs to be an optimizer of optax; pass "
            "what one of its functions returns, such as `optax.sgd(0.01)`."
        )


def make_train_step(
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    *,
    precision: Precision = "float32",
    value: str | None = None,
) -> TrainStep:
    """Builds `train_step(state, batch, key) -> (state, metrics)`: pure, not jitted.

    With weights, the update is that of Σ w ℓ / `batch size`: weights of mean 1 leave
    the learning rate what it is.

    Two steps are equal, and the second compiles nothing, where their estimators are
    equal and their optimizers were built alike: `optax.adam(1e-3)` is equal to another
    `optax.adam(1e-3)`. A schedule of your own is equal to itself alone, so define it
    once. Numbers that change from run to run, as the points of a grid do, compile once
    if they are in the state: `optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)`.

    In `fit` and `fit_stream` an array in the estimator, as `num_steps=jnp.asarray(3)`,
    is an argument of the compiled program, and another value compiles nothing anew.

    Args:
      precision: what products of matrices inside the step are computed in, whatever
        the context around it says: those of the models and samplers, of your own, and
        of Flax networks. With "float32", the default, a run means the same on every
        device. "tensorfloat32" is faster on GPUs, and "bfloat16" fastest on
        accelerators. Both are for long runs whose noise is larger than the rounding;
        binary states are exact in them, weights are not. Sums, parameters and the
        energies by which a draw is accepted stay float32; so does evaluation.
      value: the metric of the estimator that the optimizer is given as `value=`, for
        those that follow it, such as `optax.contrib.reduce_on_plateau`.

    Raises:
      TypeError: `optimizer` is no optimizer of optax; when the step is traced, also
        where `optimizer` needs arguments that a stochastic estimate does not have.
    """
    return _EstimatorStep(estimator, optimizer, precision, value)


def model_of(train_step: TrainStep) -> Any:
    """The model that the step trains; None of a step that `make_train_step` has not
    made."""
    is_known = isinstance(train_step, _EstimatorStep)
    return train_step.estimator.model if is_known else None


def _check_params(estimator: Estimator, params: Params, name: str = "params") -> None:
    """Refuses parameters of another model; only `EnergyModel` says what `init` makes,
    other estimators check for themselves."""
    if isinstance(estimator.model, EnergyModel):
        check_params(estimator.model, params, name)


def check_loop(
    train_step: TrainStep, state: TrainState, key: Key[Array, ""], **functions: Any
) -> None:
    """Refuses what no loop can run, such as a state that another estimator has made.

    Only a step of `make_train_step` says what its estimator and its optimizer are.

    Args:
      functions: what else the loop calls, or None.

    Raises:
      TypeError: a function that cannot be called, no state, or no key.
      ValueError: it names what differs, as it is and as it needs to be.
    """
    check_callable("train_step", train_step, "as from `make_train_step`")
    for name, function in functions.items():
        if name == "prepare" or function is not None:
            check_callable(name, function, "as the docstring of the loop says")
    if not isinstance(state, TrainState):
        raise TypeError(
            f"`state` is a {type(state).__name__} but a `TrainState` is needed; make "
            "it by `init_train_state`."
        )
    check_key(key)
    if not isinstance(train_step, _EstimatorStep):
        return
    estimator, optimizer = train_step.estimator, train_step.optimizer
    _check_params(estimator, state.params, "state.params")
    key = jax.random.key(0)
    for name, owner, like in (
        (
            "estimator_state",
            estimator,
            jax.eval_shape(estimator.init, state.params, key),
        ),
        ("opt_state", "its optimizer", jax.eval_shape(optimizer.init, state.params)),
    ):
        tree = getattr(state, name)
        got, need = _shapes(tree), _shapes(like)
        if got == need and jax.tree.structure(tree) == jax.tree.structure(like):
            continue
        differ = {path for path in got | need if got.get(path) != need.get(path)}
        got, need = (
            {path: shape for path, shape in shapes.items() if path in differ}
            or jax.tree.structure(x)
            for shapes, x in ((got, tree), (need, like))
        )
        raise ValueError(
            f"`state.{name}` has leaves of shapes {got} but `train_step` needs {need} "
            f"for {owner}; make the step of what made the state, or begin anew with "
            "`init_train_state(state.params, estimator, optimizer, key)`."
        )


def check_known(loop: str, *trees: Any) -> None:
    """Refuses what is traced: a loop on the host looks at values between programs."""
    if is_traced(trees):
        raise TypeError(
            f"`{loop}` was called under `jit`, `vmap` or `grad`, but it reports to the "
            "host while it trains; call `train_epoch` or `train_epochs`, the same "
            "steps as pure functions."
        )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): jnp.shape(x) for path, x in leaves}


def copy(state: TrainState) -> TrainState:
    """The same state in buffers of its own, which no donation deletes."""
    return jax.tree.map(jnp.copy, state)


def run_steps(step, state, first, last, length):
    """Steps `first` to `last`, which need not be static; metrics at their places."""
    metrics = jax.eval_shape(step, state, jnp.asarray(first))[1]
    history = jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), metrics)

    def body(t, carry):
        state, history = carry
        state, metrics = step(state, t)
        return state, {name: x.at[t].set(metrics[name]) for name, x in history.items()}

    return jax.lax.fori_loop(first, last, body, (state, history))


def is_finite(params: Params) -> Array:
    """Whether every number of every leaf is finite."""
    return jnp.all(jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(params)]))


def prepared_step(train_step, prepare, state, rows, key):
    """One update on raw rows: prepared, then trained on."""
    key_prepare, key_step = random.split(key)
    batch = Batch(
        values=prepare(rows.values, key_prepare), weights=rows.weights, mask=rows.mask
    )
    return train_step(state, batch, key_step)


def raise_not_finite(train_step, prepare, state, steps, first, where):
    """Repeats steps that ended in parameters not finite, and names the first to do so.

    The check of a whole program of steps costs nothing beside them, a check of every
    step a tenth of its time: so which one it was is found afterwards.

    Args:
      state: before the first of the steps.
      steps: rows and key of each.
      first: the number of the first, from 0.
      where: of which epoch or stream they are.
    """
    advice = "lower the learning rate, or look for outliers in the data"
    run = jax.jit(prepared_step)
    step = first
    for step, (rows, key) in enumerate(steps, start=first):
        state, _ = run(train_step, prepare, state, rows, key)
        broken = [
            jax.tree_util.keystr(path)
            for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)
            if not jnp.isfinite(leaf).all()
        ]
        if broken:
            raise FloatingPointError(
                f"Step {step + 1} {where} makes params{', params'.join(broken)} not "
                f"finite, but training needs finite parameters; {advice}."
            )
    raise FloatingPointError(
        f"Parameters are not finite after step {step + 1} {where}, though not when "
        f"its steps are repeated one by one; {advice}."
    )


def join(histories: Sequence[History]) -> History:
    """One history after the other; those that are empty have no metrics yet."""
    full = [history for history in histories if history]
    names = full[-1] if full else ()
    return {name: np.concatenate([h[name] for h in full]) for name in names}


def as_pytree(function: Callable[..., Any]) -> jax.tree_util.Partial:
    """`function` as an argument that `jit` takes: arrays inside it are traced.

    Those of a dataclass, and of the dataclasses in its fields, are found.
    """
    if isinstance(function, jax.tree_util.Partial):
        return function
    arrays: list[Array] = []

    def take_out(x):
        if not isinstance(x, jax.Array | np.ndarray):
            return x
        arrays.append(jnp.asarray(x))
        return _Place(len(arrays) - 1)

    static = _with_fields(function, take_out)
    if not arrays:
        return jax.tree_util.Partial(function)
    return jax.tree_util.Partial(_WithArrays(static), arrays)


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where an array was, by its number."""

    index: int


@dataclasses.dataclass(frozen=True)
class _WithArrays:
    """A function that hashes, since its arrays come as the first argument."""

    function: Any

    def __call__(self, arrays, *arguments):
        def put_back(x):
            return arrays[x.index] if isinstance(x, _Place) else x

        return _with_fields(self.function, put_back)(*arguments)


def _with_fields(x: Any, change: Callable[[Any], Any]) -> Any:
    """`x` changed or, of a dataclass, its fields; itself where nothing has changed."""
    changed = change(x)
    if changed is not x or not dataclasses.is_dataclass(x) or isinstance(x, type):
        return changed
    old = {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
    new = {name: _with_fields(value, change) for name, value in old.items()}
    if all(new[name] is value for name, value in old.items()):
        return x
    # Not by the constructor, which would check what stands where an array was.
    made = object.__new__(type(x))
    for name, value in new.items():
        object.__setattr__(made, name, value)
    return made
