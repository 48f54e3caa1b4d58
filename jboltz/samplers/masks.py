"""Masks of visible states: which units of a chain are held."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jboltz.abilities import AugmentedModel, DataModel
from jboltz.base import State
from jboltz.checks import is_traced, visible_domain
from jboltz.domains import ArrayDomain
from jboltz.errors import InvalidValue


def as_mask(model: Any, clamp: State, v: Any, *num_chains: Any) -> State:
    """The mask of a visible state `v` of `model`, True where `clamp` holds it.

    Args:
      clamp: one mask for all arrays in `v`, or one for each, or for an `AugmentedModel`
        one for its data. A mask is one Boolean, Booleans in the shape of the array, or
        one Boolean per site, with or without a last axis of 1: one-hot sites are held
        whole or not at all. The mask of a `Batch` has the same shapes.
      v: arrays or their shapes.
      num_chains: if given, the mask gets a leading axis of this length, which masks in
        `clamp` may have already.

    Raises:
      ValueError: `clamp` is not Boolean, or has another shape.
    """
    if isinstance(model, AugmentedModel) and not _is_like(clamp, v):
        data = model.data_of(v)
        free = _masks(None, False, v, num_chains)
        return model.with_data(free, _masks(model, clamp, data, num_chains))
    return _masks(model, clamp, v, num_chains)


def spread_over_rows(model: Any, clamp: State, rows: State) -> State:
    """`clamp` in the shape of `rows`, one visible state or several.

    Raises:
      ValueError: a mask does not fit.
    """
    if not _is_like(clamp, rows):
        clamp = jax.tree.map(lambda _: clamp, rows)
    leaves, structure = jax.tree.flatten(rows)
    triples = zip(
        _domains(model, rows), structure.flatten_up_to(clamp), leaves, strict=True
    )
    return structure.unflatten([_over_rows(*triple) for triple in triples])


def _over_rows(domain, mask, x):
    shape = jnp.shape(x)
    is_one_hot = domain is not None and domain.site_axes
    is_one_hot = is_one_hot and shape[-1:] == (domain.num_states,)
    if is_one_hot and jnp.ndim(mask) and jnp.shape(mask) not in (shape, shape[1:]):
        for of_sites in (shape, shape[1:]):
            mask = domain.spread(mask, of_sites)
    return jnp.broadcast_to(mask, shape)


def _masks(model, clamp, v, num_chains):
    arrays, structure = jax.tree.flatten(v)
    is_one = not _is_like(clamp, v)
    masks = [clamp] * len(arrays) if is_one else structure.flatten_up_to(clamp)
    triples = zip(_domains(model, v), masks, arrays, strict=True)
    return structure.unflatten([_mask(*triple, num_chains) for triple in triples])


def _mask(domain, mask, x, num_chains):
    dtype, shape = jnp.result_type(mask), jnp.shape(mask)
    has_sites = domain is not None and domain.site_axes
    sites = domain.site_shape(x.shape) if has_sites else ()
    whole = [x.shape, (*x.shape[:-1], 1)]
    masks = [*whole, sites] if has_sites else whole
    shapes = [*masks, (), *((*num_chains, *mask) for mask in masks)]
    if not jnp.issubdtype(dtype, jnp.bool_) or shape not in shapes:
        raise InvalidValue(
            f"`clamp` has dtype {dtype} and shape {shape} but needs bool, True "
            f"where a unit is held, and one of the shapes {shapes}; pass a mask in "
            "the shape of the visible state."
        )
    if has_sites and shape not in whole:
        for chains in ((), num_chains):
            if shape == (*chains, *sites):
                mask = domain.spread(mask, (*chains, *x.shape))
    if has_sites and not is_traced(mask):
        _check_sites_are_whole(np.atleast_1d(mask))
    return jnp.broadcast_to(mask, (*num_chains, *x.shape))


def _check_sites_are_whole(held: np.ndarray) -> None:
    """Refuses a mask that holds a part of a one-hot site."""
    if (held != held[..., :1]).any():
        raise InvalidValue(
            "`clamp` holds a part of a one-hot site but a site is held whole or "
            "not at all; pass a mask with one entry per site."
        )


def _domains(model: Any, v: State) -> list[ArrayDomain | None]:
    """The domain of each array in a visible state, or in data; None: not known."""
    count = len(jax.tree.leaves(v))
    known = [visible_domain(model)]
    known += [model.domain] if isinstance(model, DataModel) else []
    for domain in known:
        if domain is not None and len(domain.leaves) == count:
            return [*domain.leaves]
    return [None] * count


def _is_like(x: Any, v: Any) -> bool:
    return jax.tree.structure(x) == jax.tree.structure(v)
