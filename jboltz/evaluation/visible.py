"""p(v) of a model as libraries of distributions ask for it: densities and draws."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jboltz.base import FreeEnergyModel, Params, State
from jboltz.checks import admit, cast_states, check_distribution, shape_of_key
from jboltz.errors import InvalidType, InvalidValue
from jboltz.evaluation.examples import refuse_gray
from jboltz.evaluation.likelihood import domain_of
from jboltz.evaluation.partition import model_log_partition
from jboltz.products import full_precision
from jboltz.samplers.draw import sample


def visible_shape(model: FreeEnergyModel, params: Params) -> tuple[int, ...]:
    """The shape of one visible state; refuses states that are tuples of arrays."""
    domain_of(model)
    check_distribution(model, params)
    state = jax.eval_shape(model.sample_start, params, shape_of_key())
    if isinstance(state, tuple):
        raise InvalidType(
            f"`model` is {model}, whose visible state is a tuple of arrays, but a "
            "distribution needs one array; use `free_energy` as a factor instead."
        )
    return state.shape


def known_log_partition(model: Any, params: Params, log_partition: Any) -> Array:
    """log Z in nats as given, or for None by `model_log_partition`."""
    if log_partition is None:
        return model_log_partition(model, params)
    try:
        return jnp.asarray(log_partition, float)
    except (TypeError, ValueError):
        raise InvalidType(
            f"`log_partition` is {log_partition!r} but a number in nats is needed; "
            "pass log Z, or None to compute it."
        ) from None


@full_precision
def log_probability(
    model: Any, params: Params, log_partition: Array, v: State
) -> Float[Array, "..."]:
    """−F(v) − log Z in nats, of visible states along any leading axes.

    Raises:
      ValueError: `v` are gray for binary units, or no states of the model.
    """
    shape = visible_shape(model, params)
    v = admit("value", v, model.domain)
    refuse_gray("value", v, model.domain)
    num_axes = v.ndim - len(shape)
    if v.shape[num_axes:] != shape:
        raise InvalidValue(
            f"`value` has shape {v.shape} but a visible state has {shape}; pass states "
            "along any leading axes."
        )
    rows = cast_states(v, params).reshape(-1, *shape)
    log_p = -jax.vmap(model.free_energy, (None, 0))(params, rows) - log_partition
    return log_p.reshape(v.shape[:num_axes])


def draws(
    model: Any, params: Params, key: Array, shape: tuple[int, ...], warm_up: int
) -> Float[Array, "..."]:
    """Ends of `shape` chains of `warm_up` + 1 Gibbs steps that started at noise.

    The key is one of `jax.random.key` or of `jax.random.PRNGKey`.
    """
    is_array = isinstance(key, jax.Array)
    if is_array and not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    count = math.prod(shape)
    _, v, _ = sample(model, params, key, warm_up=warm_up, num_chains=count)
    return v.reshape(*shape, *v.shape[2:])
