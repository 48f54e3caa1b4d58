"""One update: the state of training, and the step that changes it.

The draws of example i in a step depend on the keys of epoch and step and on i only, not
on the batch size, the chunks of an epoch or the devices.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Key

from jboltz.abilities import OptimizerCheckingEstimator, WrappingEstimator
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
    check_key,
    check_params,
    is_traced,
    require,
    shape_of_key,
    shapes_of_init,
)
from jboltz.choices import Precision
from jboltz.errors import InvalidType, InvalidValue
from jboltz.learning.built import how_built

History: TypeAlias = dict[str, np.ndarray]
"""The metrics of a run of steps, one entry per step for each metric."""

Optimizer: TypeAlias = optax.GradientTransformation | optax.MultiSteps

TrainStep: TypeAlias = Callable[
    ["TrainState", Batch, Key[Array, ""]], tuple["TrainState", Metrics]
]
Prepare: TypeAlias = Callable[[Any, Key[Array, ""]], State]
"""(rows, key) -> values turns a batch of rows into values for the estimator, on the
device. Bind arrays to it by `jax.tree_util.Partial`."""


@record
class TrainState:
    """Everything that changes in training."""

    step: Leaf  #: () int32, the number of updates so far
    params: Params  #: of the model
    opt_state: State  #: of the optimizer
    estimator_state: State  #: such as persistent chains; () for CD


def init_train_state(
    params: Params,
    estimator: Estimator,
    optimizer: Optimizer,
    key: Key[Array, ""],
) -> TrainState:
    """The state before the first update.

    Args:
      params: the parameters to start from.
      estimator: the training rule, such as `ContrastiveDivergence(model, sampler)`.
      optimizer: an optimizer of Optax.
      key: draws what the estimator keeps, such as persistent chains.

    Raises:
      ValueError: `params` do not fit the estimator's model, or the optimizer does not
        suit the estimator.
    """
    _check_rule(estimator, optimizer)
    check_key(key)
    _check_params(estimator, params)
    _check_wrapped(estimator, optimizer, params)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        estimator_state=estimator.init(params, key),
    )


def _check_wrapped(estimator, optimizer, params):
    """Checks `optimizer` with the estimator and the estimators that it wraps."""
    if isinstance(estimator, OptimizerCheckingEstimator) and not is_traced(params):
        estimator.check_optimizer(optimizer, params)
    if isinstance(estimator, WrappingEstimator):
        _check_wrapped(estimator.estimator, optimizer, params)


@dataclasses.dataclass(frozen=True)
class _EstimatorStep:
    """A train step that hashes by value, so that an equal one does not recompile."""

    estimator: Estimator
    optimizer: Optimizer = dataclasses.field(compare=False)
    precision: Precision
    value: str | None
    built: Any = dataclasses.field(init=False, repr=False)  # stands for `optimizer`

    def __post_init__(self) -> None:
        _check_rule(self.estimator, self.optimizer)
        object.__setattr__(self, "built", how_built(self.optimizer))
        if self.precision not in get_args(Precision):
            raise InvalidValue(
                f"`precision` is {self.precision!r} but needs to be 'float32', "
                "'tensorfloat32' or 'bfloat16'; pass one of these names."
            )

    def __call__(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        mesh = jax.typeof(jax.tree.leaves(state.params)[0]).sharding.mesh
        with jax.default_matmul_precision(self.precision):
            if not mesh.explicit_axes:
                return self._update(state, batch, key)
            # XLA chooses the layout of everything between the two states.
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
            # An estimate is a mean over its batch, which has to count as much as the
            # examples in the batch.
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
                raise InvalidValue(
                    f"`value` is {self.value!r} but {self.estimator} reports "
                    f"{sorted(metrics)}; name one of these."
                )
            extra = {"value": metrics[self.value], "grad": gradient}
        old = state.opt_state, state.params
        try:
            return take_update(self.optimizer, gradient, *old, **extra)
        except TypeError as error:
            raise InvalidType(
                f"`optimizer` refuses its arguments: {error}. If it follows a value, "
                "as `optax.contrib.reduce_on_plateau` does, name that metric, "
                "`make_train_step(…, value='reconstruction_error')`; one that searches "
                "along a line by `value_fn`, as `optax.lbfgs` does, needs an exact "
                "loss, which an estimator does not have."
            ) from error


def take_update(
    optimizer: Optimizer,
    gradient: Params,
    opt_state: State,
    params: Params,
    **extra: Any,
) -> tuple[Params, State]:
    """The update and the next state of `optimizer`, which may ignore `extra`."""
    if isinstance(optimizer, optax.MultiSteps):
        return optimizer.update(gradient, opt_state, params, **extra)
    optimizer = optax.with_extra_args_support(optimizer)
    return optimizer.update(gradient, opt_state, params, **extra)


def _check_rule(estimator: Any, optimizer: Any) -> None:
    example = "ContrastiveDivergence(model, Gibbs(model))"
    require(estimator, Estimator, "training", "estimator", example=example)
    check_optimizer(optimizer)


def check_optimizer(optimizer: Any) -> None:
    """Refuses anything but an optimizer of optax."""
    if not isinstance(optimizer, Optimizer):
        raise InvalidType(
            f"`optimizer` is {optimizer!r} but needs to be an optimizer of optax; pass "
            "what one of its functions returns, such as `optax.sgd(0.01)`."
        )


def make_train_step(
    estimator: Estimator,
    optimizer: Optimizer,
    *,
    precision: Precision = "float32",
    value: str | None = None,
) -> TrainStep:
    """Builds `train_step(state, batch, key) -> (state, metrics)`, pure and not jitted.

    With weights w the update is for Σ w ℓ / `batch size`, so that weights of mean 1
    keep the learning rate.

    Two steps are equal, and compile once, if their estimators are equal and their
    optimizers were built alike, such as `optax.adam(1e-3)` and another
    `optax.adam(1e-3)`. An optimizer with your own schedule is equal to itself only, so
    build it once. Numbers in the state may change without compilation:
    `optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)`. In `fit` and `fit_stream`
    the same holds for arrays in the estimator, such as `num_steps=jnp.asarray(3)`.

    Args:
      estimator: the training rule, such as `ContrastiveDivergence(model, sampler)`.
      optimizer: an optimizer of Optax.
      precision: the precision of all products of matrices inside the step. With
        "float32" results agree between devices. "tensorfloat32" is faster on GPUs, and
        "bfloat16" fastest on accelerators. They suit long runs whose noise is larger
        than the rounding of weights; binary states stay exact. Sums, parameters,
        energies that decide whether a draw is accepted, and evaluation stay float32.
      value: the metric that the optimizer gets as `value=`, for optimizers such as
        `optax.contrib.reduce_on_plateau`.

    Raises:
      TypeError: `optimizer` is not an optimizer of optax; or, when the step is traced,
        `optimizer` needs arguments that a stochastic estimate does not have.

    Example:
      >>> from jboltz import RBM, Bernoulli, ContrastiveDivergence, Gibbs
      >>> rbm = RBM(Bernoulli(784), Bernoulli(500))
      >>> cd = ContrastiveDivergence(rbm, Gibbs(rbm))
      >>> make_train_step(cd, optax.sgd(0.1)) == make_train_step(cd, optax.sgd(0.1))
      True
    """
    return _EstimatorStep(estimator, optimizer, precision, value)


def model_of(train_step: TrainStep) -> Any:
    """The model that the step trains; None unless `make_train_step` made the step."""
    is_known = isinstance(train_step, _EstimatorStep)
    return train_step.estimator.model if is_known else None


def _check_params(estimator: Estimator, params: Params, name: str = "params") -> None:
    """Refuses parameters of another model. Estimators of models that are not an
    `EnergyModel` check parameters themselves."""
    if isinstance(estimator.model, EnergyModel):
        check_params(estimator.model, params, name)


def check_state(train_step: TrainStep, state: TrainState) -> None:
    """Refuses a state of another model, estimator or optimizer.

    Only a step of `make_train_step` declares these and is checked.

    Raises:
      ValueError: leaves differ; the message lists them.
    """
    if not isinstance(train_step, _EstimatorStep):
        return
    estimator, optimizer = train_step.estimator, train_step.optimizer
    _check_params(estimator, state.params, "state.params")
    started = shapes_of_init(estimator, state.params, shape_of_key())
    zeros = shapes_of_init(optimizer, state.params)
    for name, owner, like in (
        ("estimator_state", estimator, started),
        ("opt_state", "its optimizer", zeros),
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
        raise InvalidValue(
            f"`state.{name}` has leaves of shapes {got} but `train_step` needs {need} "
            f"for {owner}; make both with the same estimator and optimizer, such as by "
            "`init_train_state(state.params, estimator, optimizer, key)`."
        )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): jnp.shape(x) for path, x in leaves}
