"""Masks of visible states: which units of a chain are held."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jboltz.abilities import AugmentedModel, DataModel
from jboltz.base import State
from jboltz.checks import is_traced, visible_domain
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
    if jax.tree.structure(clamp) != jax.tree.structure(v):
        if isinstance(model, AugmentedModel):
            free = as_mask(None, False, v, *num_chains)
            data = as_mask(model, clamp, model.data_of(v), *num_chains)
            return model.with_data(free, data)
        clamp = jax.tree.map(lambda _: clamp, v)
    arrays, structure = jax.tree.flatten(v)
    masks = structure.flatten_up_to(clamp)
    triples = zip(_domains(model, len(arrays)), masks, arrays, strict=True)
    return structure.unflatten(
        [mask_of_array("clamp", *part, num_chains) for part in triples]
    )


def mask_of_array(
    name: str, domain: Any, mask: Any, x: Any, num_chains: tuple[int, ...] = ()
) -> Any:
    """`as_mask` of one array `x`, whose mask is called `name` in messages."""
    mask = mask if isinstance(mask, jax.Array) else np.asarray(mask)
    dtype, shape = mask.dtype, mask.shape
    whole, sites = [x.shape, (*x.shape[:-1], 1)], []
    # Class numbers have no axis of categories.
    if domain is not None and domain.site_axes and x.shape[-1:] == (domain.num_states,):
        sites = [domain.site_shape(x.shape)]
    shapes = [*whole, (), *sites]
    shapes += [(*num_chains, *each) for each in (*whole, *sites)]
    if not jnp.issubdtype(dtype, jnp.bool_) or shape not in shapes:
        raise InvalidValue(
            f"`{name}` has dtype {dtype} and shape {shape} but needs bool and one of "
            f"the shapes {shapes}; pass a mask in the shape of the visible state."
        )
    chains = num_chains if sites and len(shape) > len(sites[0]) else ()
    is_by_site = shape in [(*chains, *each) for each in sites] and shape not in whole
    if domain is not None and is_by_site:
        mask = domain.spread(mask, (*chains, *x.shape))
    held = np.zeros(1, bool) if is_traced(mask) else np.atleast_1d(mask)
    if sites and (held != held[..., :1]).any():
        raise InvalidValue(
            f"`{name}` is True for a part of a one-hot site but a site is held whole "
            "or not at all; pass a mask with one entry per site."
        )
    return jnp.broadcast_to(mask, (*num_chains, *x.shape))


def _domains(model: Any, count: int) -> tuple[Any, ...]:
    """The domains of the arrays of a visible state, or of data; None: not known."""
    known = [visible_domain(model)]
    known += [model.domain] if isinstance(model, DataModel) else []
    fitting = [x.leaves for x in known if x is not None and len(x.leaves) == count]
    return [*fitting, (None,) * count][0]
