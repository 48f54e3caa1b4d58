"""The exact distribution of a few visible sites given all others."""

import math
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jboltz.base import FreeEnergyModel, Params, State
from jboltz.checks import (
    cast_states,
    check_params,
    check_shape,
    is_traced,
    require,
    shape_of_key,
    visible_domain,
)
from jboltz.errors import InvalidValue
from jboltz.evaluation.examples import refuse_gray
from jboltz.evaluation.likelihood import domain_of
from jboltz.products import full_precision
from jboltz.samplers.masks import mask_of_array

MOST_STATES = 2**16
_TOGETHER = 256  # states whose free energies are computed at a time

Sites: TypeAlias = Any
"""Numbers of sites from 0: an int, a sequence, or an integer array; if a visible state
is a tuple of arrays, a tuple with the numbers of each."""


def conditional(
    model: FreeEnergyModel,
    params: Params,
    v: State,
    sites: Sites,
    *,
    present: State = True,
) -> Float[Array, "..."]:
    """p(v_sites | all other sites of v), a table with one axis per site.

    p = exp(−F(v with these values)) / Σ exp(−F), over all values of `sites`. Along an
    axis the values have the order of the domain: 0 and 1, −1 and 1, categories, counts.
    Since F is a float32, p has a relative error of about 1e-7·|F|.

    Args:
      model: a model with a free energy and discrete visible sites, such as an RBM.
      params: its parameters.
      v: one visible state, which is not read at `sites`. `jax.vmap` adds examples, and
        different sites for each, as `sites` may be traced.
      sites: the numbers of the sites, from 0: an int, a sequence or an integer array.
        If a visible state is a tuple of arrays, it is a tuple with the sites of each.
      present: a mask with the shapes that `clamp` of `sample` may have. It is True
        where a site is part of the machine, see `PresentOnly`, and `v` is not read
        elsewhere. The `sites` are present in any case.

    Returns:
      The table, with one axis per site in the order of `sites`. Its entries add up to
      1.

    Raises:
      ValueError: `v` is not a state of the model; parameters do not fit the model;
        `sites` are not distinct sites of it, or have more than 65 536 states together,
        as real sites have.
      TypeError: `model` has no free energy, or does not state the domain of its data.

    Example:
      >>> from jboltz import RBM, Bernoulli, Softmax
      >>> rbm = RBM(Softmax(sites=3, num_categories=5), Bernoulli(2))
      >>> params, v = rbm.init(jax.random.key(0)), jnp.eye(5)[:3]
      >>> conditional(rbm, params, v, sites=(0, 2)).shape
      (5, 5)
    """
    require(model, FreeEnergyModel, "a conditional of sites")
    domain_of(model)
    check_params(model, params)
    expected = jax.eval_shape(model.sample_start, params, shape_of_key())
    leaves, structure = jax.tree.flatten(expected)
    check_shape("v", v, jax.tree.map(lambda x: x.shape, expected), model)
    domain: Any = visible_domain(model)
    if len(leaves) == 1:
        sites, present = (sites,), (present,)
    elif present is True:
        present = (True,) * len(leaves)
    if not isinstance(sites, tuple) or {len(sites), len(present)} != {len(leaves)}:
        raise InvalidValue(
            f"`sites` is {sites!r} but the visible state has {len(leaves)} arrays; "
            "pass a tuple with the sites in each of them, such as `((), 0)`."
        )
    parts = zip(domain.leaves, jax.tree.leaves(v), sites, present, strict=True)
    arrays, indices = zip(*(_given(*part) for part in parts), strict=True)
    counts = []
    for leaf, index in zip(domain.leaves, indices, strict=True):
        counts += [leaf.num_states] * index.size
    if not 1 < math.prod(counts) <= MOST_STATES:
        raise InvalidValue(
            f"`sites` are {len(counts)} sites with {math.prod(counts):.4g} states "
            f"together, but 2 to {MOST_STATES} can be enumerated; name a site, or "
            "fewer sites. Real sites are drawn by `sample` with `clamp`."
        )
    rest = cast_states(structure.unflatten(arrays), params)
    log_p = _log_probabilities(model, params, rest, indices, total=math.prod(counts))
    # The first site is the digit of a state's number that changes fastest.
    return jnp.exp(log_p.reshape(counts[::-1]).T)


def _given(domain: Any, x: Any, sites: Any, present: Any) -> tuple[Array, Any]:
    """`x`, checked where known, with 0 where it is absent or asked for; and the sites
    that are asked for, as an array."""
    shape, x = jnp.shape(x), jnp.asarray(x)
    site_shape = domain.site_shape(shape)
    count = math.prod(site_shape)
    index = (sites if is_traced(sites) else np.asarray(sites)).reshape(-1)
    if not is_traced(index) and index.size:
        is_known = np.isin(index, np.arange(count)) & (index.dtype != bool)
        if not is_known.all() or len({*index.tolist()}) < index.size:
            raise InvalidValue(
                f"`sites` is {sites!r} but sites are numbered 0 to {count - 1}, and "
                "each is named once; pass such integers."
            )
    index = index.astype(np.int32)
    asked = jnp.zeros(count, jnp.bool_).at[index].set(True).reshape(site_shape)
    present = mask_of_array("present", domain, present, x)
    given = present & ~domain.spread(asked, shape)
    if not is_traced(x, given):
        x = domain.admit(np.asarray(x)[None], "v", np.asarray(given)[None])[0]
        refuse_gray("v", np.where(given, x, 0), domain)
    return jnp.where(given, x, 0), index


@partial(jax.jit, static_argnames=("model", "total"))
@full_precision
def _log_probabilities(model, params, rest, indices, *, total):
    arrays, structure = jax.tree.flatten(rest)
    domain: Any = visible_domain(model)

    def log_weight(number):
        placed = []
        for leaf, x, index in zip(domain.leaves, arrays, indices, strict=True):
            if index.size:
                site = x.shape[x.ndim - leaf.site_axes :]
                values, number = leaf.state_at((index.size, *site), number)
                rows = x.reshape(-1, *site).at[index].set(values.astype(x.dtype))
                x = rows.reshape(x.shape)
            placed.append(x)
        return -model.free_energy(params, structure.unflatten(placed))

    log_p = jax.lax.map(log_weight, jnp.arange(total), batch_size=min(total, _TOGETHER))
    return jax.nn.log_softmax(log_p)
