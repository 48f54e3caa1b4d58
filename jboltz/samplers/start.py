"""Starts of chains: noise, data, data with a part held, or earlier chains."""

import contextlib
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz import random
from jboltz.abilities import AugmentedModel, DirectedModel, SampledModel
from jboltz.base import EnergyModel, Leaf, Params, Sampler, State, hold, record
from jboltz.checks import admit_visible, require
from jboltz.domains import as_numbers
from jboltz.errors import InvalidValue
from jboltz.samplers.ancestral import AncestralGibbs
from jboltz.samplers.gibbs import ClampedGibbs, ClampedState, Gibbs
from jboltz.samplers.masks import as_mask
from jboltz.samplers.recognition import ClampedRecognition


@record
class ChainStates:
    """Chains and the number of their steps, with which sampling can continue.

    Persistent chains of a training run are `ChainStates(states=state.estimator_state)`.
    """

    states: State  #: of the sampler, one chain per leading index
    num_steps: Leaf | int = 0  #: () the number of steps taken


def sampler_for(
    model: SampledModel,
    sampler: Sampler | None,
    start: State | ChainStates | None,
    clamp: State | None,
) -> Sampler:
    """`sampler`, or by default the Gibbs kernel of the model.

    Raises:
      ValueError: `clamp` is given but `start` has no visible states.
    """
    if clamp is not None:
        if start is None:
            raise InvalidValue(
                "`clamp` marks units to be held but `start` is None; pass the visible "
                "states that hold their values."
            )
        if isinstance(start, ChainStates):
            raise InvalidValue(
                "`clamp` was given with chains as `start`, but chains hold the units "
                "that they were started with; pass visible states to hold others."
            )
    if sampler is not None:
        require(sampler, Sampler, "sampling", "sampler", example="Gibbs(model)")
        return sampler
    saved = start.states if isinstance(start, ChainStates) else None
    is_clamped = clamp is not None or isinstance(saved, ClampedState)
    if isinstance(model, EnergyModel):
        return ClampedGibbs(model) if is_clamped else Gibbs(model)
    require(model, DirectedModel, "sampling a model that is not an `EnergyModel`")
    return ClampedRecognition(model) if is_clamped else AncestralGibbs(model)


def admit_clamp(clamp: State | None) -> State | None:
    """`clamp` for a compiled program: a list of Booleans is one mask.

    Raises:
      TypeError: a mask holds no numbers, such as texts.
      ValueError: a list has rows of several lengths.
    """

    def as_array(mask):
        return mask if isinstance(mask, jax.Array) else as_numbers(mask, "clamp")

    return jax.tree.map(as_array, clamp, is_leaf=lambda x: isinstance(x, list))


def admit_start(model: SampledModel, start: Any, clamp: State | None) -> Any:
    """Checks visible states in `start`; with `clamp`, only the held units.

    Raises:
      TypeError: `start` are not numbers.
      ValueError: `start` is not finite, or has no valid states of the visible units.
    """
    if start is None or isinstance(start, ChainStates):
        return start
    if clamp is not None:
        clamp = _over_rows(model, clamp, start)
        if clamp is None:  # `as_mask` raises a better message later
            return start
    return admit_visible("start", start, model, clamp)


def _over_rows(model: SampledModel, clamp: State, start: State) -> State | None:
    """`clamp` in the shape of `start`, one state or rows; None if it fits neither."""
    with contextlib.suppress(ValueError, TypeError):
        return as_mask(model, clamp, jax.tree.map(jnp.asarray, start))
    with contextlib.suppress(ValueError, TypeError, IndexError):
        first = jax.tree.map(lambda x: jnp.asarray(x)[0], start)
        return as_mask(model, clamp, first, len(jax.tree.leaves(start)[0]))
    return None


def start_chains(
    sampler: Sampler,
    params: Params,
    key: Key[Array, ""],
    num_chains: int | None,
    start: State | ChainStates | None,
    clamp: State | None,
) -> ChainStates:
    """One chain per row of `start`, or `num_chains` chains.

    Chain i draws its start from keys folded with i. `start` and `clamp` are explained
    in `sample`.

    Raises:
      ValueError: `start` or `clamp` has a wrong shape, `start` does not have
        `num_chains` rows, or `sampler` cannot hold units.
    """
    params, start = hold(sampler, params, start)
    model = sampler.model
    if isinstance(start, ChainStates):
        rows = jax.tree.leaves(start.states)[0].shape[0]
        if num_chains not in (None, rows):
            raise InvalidValue(
                f"`num_chains` is {num_chains} but `start` is {rows} chains; leave "
                "`num_chains` out."
            )
        return ChainStates(
            states=start.states, num_steps=jnp.asarray(start.num_steps, jnp.int32)
        )
    key_noise, key_up, key_init = random.split(key, 3)
    expected = jax.eval_shape(model.sample_start, params, key)
    count = _count(num_chains, start, expected)
    keys = random.fold_in_range(key_noise, count)
    visible = jax.vmap(model.sample_start, in_axes=(None, 0))(params, keys)
    masks = None if clamp is None else as_mask(model, clamp, expected, count)
    if start is not None:
        is_data = isinstance(model, AugmentedModel) and not _is_like(start, expected)
        like, noise = expected, visible
        if is_data:
            like, noise = model.data_of(expected), model.data_of(visible)
        visible = _spread("start", start, like, count)
        visible = jax.tree.map(lambda x, like: x.astype(like.dtype), visible, like)
        if masks is not None:
            part = model.data_of(masks) if is_data else masks
            visible = jax.tree.map(jnp.where, part, visible, noise)
        if is_data:
            keys = random.fold_in_rows(key_up, visible)
            visible = jax.vmap(model.start_at, (None, 0, 0))(params, visible, keys)
    keys = random.fold_in_rows(key_init, visible)
    states = jax.vmap(partial(sampler.init, params))(visible, keys)
    if masks is not None:
        states = _hold_units(sampler, states, masks)
    return ChainStates(states=states, num_steps=jnp.zeros((), jnp.int32))


def _hold_units(sampler: Sampler, states: State, masks: State) -> ClampedState:
    """The chains `states` with the units in `masks` held."""
    if not isinstance(states, ClampedState):
        raise InvalidValue(
            f"`sampler` is {sampler} but only a sampler with `ClampedState` states can "
            "hold units; use `ClampedGibbs`, or leave `sampler` out."
        )
    return ClampedState(visible=states.visible, hidden=states.hidden, clamp=masks)


def _count(num_chains: Any, start: State | None, expected: Any) -> Any:
    """The number of chains: `num_chains`, or the number of rows of `start`."""
    if num_chains is None:
        row, like = jax.tree.leaves(start)[:1], jax.tree.leaves(expected)[0]
        is_many = bool(row) and len(jnp.shape(row[0])) > len(like.shape)
        return row[0].shape[0] if is_many else 1
    if isinstance(num_chains, int) and num_chains < 1:
        raise InvalidValue(f"`num_chains` is {num_chains} but needs to be at least 1.")
    return num_chains


def _spread(name: str, x: Any, shapes: Any, num_chains: Any) -> Any:
    """Gives `x` an axis of chains, unless it has one."""
    if not _is_like(x, shapes):
        raise InvalidValue(
            f"`{name}` is {jax.tree.structure(x)} but the visible state is "
            f"{jax.tree.structure(shapes)}; pass arrays in the same structure."
        )

    def spread(x, like):
        if jnp.shape(x) == like.shape:
            return jnp.broadcast_to(jnp.asarray(x)[None], (num_chains, *like.shape))
        if jnp.shape(x) == (num_chains, *like.shape):
            return jnp.asarray(x)
        raise InvalidValue(
            f"`{name}` has shape {jnp.shape(x)} but it needs {like.shape}, for all "
            f"chains, or {(num_chains, *like.shape)}, for each of {num_chains}; pass "
            "one of the two."
        )

    return jax.tree.map(spread, x, shapes)


def _is_like(x: Any, shapes: Any) -> bool:
    return jax.tree.structure(x) == jax.tree.structure(shapes)
