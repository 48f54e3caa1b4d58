"""The first parameters of a visible layer, fitted to examples without the weights."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jboltz.base import Batch, Domain, Params, State, Unit
from jboltz.checks import admit, cast_states, check_shape
from jboltz.domains import ArrayDomain
from jboltz.errors import InvalidValue


def start_of(unit: Unit, data: State | Batch | None, name: str = "data") -> Params:
    """The first parameters of a layer: its `init`, or its fit to `data`.

    A `Batch` counts its rows by their weights, and every site by the rows in which it
    was observed.

    Raises:
      ValueError: `data` are no rows of states of `unit`, or the fitted parameters hold
        NaN or an infinity.
    """
    params = unit.init()
    if data is None:
        return params
    if isinstance(data, Batch):
        data = observed_states(data, unit.domain, name)
    data = cast_states(admit(name, data, unit.domain), params)
    shapes = [x.shape for x in jax.tree.leaves(data)]
    if any(shape[:1] in ((), (0,)) or shape[:1] != shapes[0][:1] for shape in shapes):
        raise InvalidValue(
            f"`{name}` has shapes {shapes} but {unit} needs rows of states, at least "
            "one and as many in every part; pass an array of shape (examples, …)."
        )
    first = jax.tree.map(lambda x: x[0], data)
    check_shape(f"{name}[0]", first, unit.shape, unit)
    params = unit.fit(data)
    for leaf in jax.tree.leaves(params):
        if not isinstance(leaf, Tracer) and not jnp.isfinite(leaf).all():
            raise InvalidValue(
                f"`{name}` fit no {unit}: its parameters would be NaN or infinite; "
                f"pass rows of finite states of the domain '{unit.domain}'."
            )
    return params


def observed_states(batch: Batch, domain: Domain, name: str) -> State:
    """Complete rows whose sites are distributed as the observed values of each site.

    Every site runs through its observed values, each as often as the weight of its row
    says, to one example. Which values stand in one row means nothing: `fit` of a unit
    looks at each site alone. A site that was never observed runs through all values,
    or is 0 if it is real.
    """
    if batch.mask is None and batch.weights is None:
        return batch.values
    values, tree = jax.tree.flatten(batch.values)
    masks = jax.tree.leaves(batch.mask) or [True] * len(values)
    weights = 1.0 if batch.weights is None else np.asarray(batch.weights, float)
    leaves = zip(domain.leaves, values, masks, strict=True)
    return jax.tree.unflatten(
        tree, [_resampled(leaf, x, mask, weights, name) for leaf, x, mask in leaves]
    )


def _resampled(
    domain: ArrayDomain, values: Any, mask: Any, weights: Any, name: str
) -> np.ndarray:
    x = domain.admit(values, name, None if mask is True else mask)
    count = len(x)
    seen = np.broadcast_to(domain.spread(np.asarray(mask), x.shape), x.shape)
    num_sites = math.prod(domain.site_shape(x.shape)[1:])
    shares = seen.reshape(count, num_sites, -1).all(axis=2).T * weights
    flat = x.reshape(count, num_sites, *x.shape[x.ndim - domain.site_axes :]).copy()
    places = (np.arange(count) + 0.5) / count
    for site, share in enumerate(shares):
        # Where values are in order, no part of their distribution is off by more.
        at_site = flat[:, site]
        order = np.argsort(at_site.argmax(axis=1) if domain.site_axes else at_site)
        total = np.cumsum(share[order])
        if total[-1] > 0:
            flat[:, site] = at_site[order[np.searchsorted(total, places * total[-1])]]
        elif math.isfinite(domain.num_states):
            flat[:, site] = domain.values(np.arange(count) % int(domain.num_states))
        else:
            flat[:, site] = 0
    return flat.reshape(x.shape)
