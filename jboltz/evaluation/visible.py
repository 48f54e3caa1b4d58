"""p(v) of a model as libraries of distributions ask for it: densities and draws."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jboltz.abilities import DataModel
from jboltz.base import FreeEnergyModel, Params, Shape, State
from jboltz.checks import (
    admit,
    cast_states,
    check_distribution,
    require,
    shape_of_key,
)
from jboltz.errors import InvalidType
from jboltz.evaluation.examples import refuse_gray
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.evaluation.partition import model_log_partition
from jboltz.samplers.draw import sample


def event_shape(model: FreeEnergyModel, params: Params) -> tuple[int, ...]:
    """The shape of one visible state.

    Raises:
      TypeError: a visible state is a tuple of arrays.
    """
    require(model, FreeEnergyModel, "a distribution of visible states")
    require(model, DataModel, "a distribution of visible states")
    check_distribution(model, params)
    state = jax.eval_shape(model.sample_start, params, shape_of_key())
    if not isinstance(state, jax.ShapeDtypeStruct):
        raise InvalidType(
            f"`model` is {model}, whose visible state is a tuple of arrays, but a "
            "distribution needs one array; use `free_energy` as a factor instead."
        )
    return state.shape


def log_partition_of(
    model: Any, params: Params, log_partition: float | Array | LogEstimate | None
) -> Array:
    """log Z in nats as given, or by `model_log_partition`."""
    if log_partition is None:
        return model_log_partition(model, params)
    if isinstance(log_partition, LogEstimate):
        log_partition = log_partition.value
    return jnp.asarray(log_partition, jnp.result_type(float))


def log_probability(
    model: Any, params: Params, log_partition: Array, v: State
) -> Float[Array, "..."]:
    """−F(v) − log Z of visible states along any leading axes, in nats.

    Raises:
      ValueError: `v` are gray for binary units, or no states of the model.
    """
    shape, shape_of_rows = event_shape(model, params), jnp.shape(v)
    leading = shape_of_rows[: len(shape_of_rows) - len(shape)]
    v = admit("value", v, model.domain)
    refuse_gray("value", v, model.domain)
    rows = cast_states(v, params).reshape(-1, *shape)
    free_energy = jax.vmap(model.free_energy, (None, 0))(params, rows)
    return (-free_energy - log_partition).reshape(leading)


def draws(
    model: Any, params: Params, key: Array, shape: Shape, warm_up: int
) -> Float[Array, "..."]:
    """Ends of `shape` chains of `warm_up` + 1 Gibbs steps that started at noise.

    Args:
      key: a key of `jax.random.key` or of `jax.random.PRNGKey`.
    """
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    count = math.prod(shape)
    _, v, _ = sample(model, params, key, warm_up=warm_up, num_chains=count)
    return v.reshape(*shape, *v.shape[2:])
