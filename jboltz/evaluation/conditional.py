"""The exact distribution of a few visible sites given all others."""

import math
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jboltz.abilities import DataModel
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
from jboltz.products import full_precision

MOST_STATES = 2**16
"""The most states that are enumerated: some seconds of an RBM 784-500."""
_TOGETHER = 256  # states whose free energies are computed at a time

Sites: TypeAlias = Any
"""The numbers of sites, from 0: an int, a sequence of ints, or an integer array; if a
state is a tuple of arrays, a tuple with such numbers for each of them."""


def conditional(
    model: FreeEnergyModel,
    params: Params,
    v: State,
    sites: Sites,
    *,
    present: State | None = None,
) -> Float[Array, "..."]:
    """p(v_sites | all other sites of v), a table with one axis per site.

    p = exp(−F(v with these values)) / Σ exp(−F), over all values of `sites`. Along an
    axis the values are those of the domain in order: 0 and 1, −1 and 1, the categories,
    or the counts from 0. Free energies are subtracted in float32, so that p has a
    relative error of about 1e-7·|F|.

    Args:
      v: one visible state; what it has at `sites` is not read. `jax.vmap` adds examples
        and, as `sites` may be traced, other sites for each example.
      present: True where a site is part of the machine, see `PresentOnly`; elsewhere
        `v` may be anything. The `sites` are present in any case.

    Raises:
      ValueError: `v` is no state of the model; the sites are no sites of it, are named
        twice, are real, or have too many states together.

    Example:
      >>> from jboltz import RBM, Bernoulli, Softmax
      >>> rbm = RBM(Softmax(sites=3, num_categories=5), Bernoulli(2))
      >>> params = rbm.init(jax.random.key(0))
      >>> p = conditional(rbm, params, jnp.eye(5)[:3], sites=(0, 2))
      >>> p.shape, round(float(p.sum()), 4)
      ((5, 5), 1.0)
    """
    require(model, FreeEnergyModel, "a conditional")
    require(model, DataModel, "a conditional of checked data")
    check_params(model, params)
    expected = jax.eval_shape(model.sample_start, params, shape_of_key())
    leaves, structure = jax.tree.flatten(expected)
    check_shape("v", v, jax.tree.map(lambda x: x.shape, expected), model)
    domain: Any = visible_domain(model)
    layers = list(zip(domain.leaves, [x.shape for x in leaves], strict=True))
    chosen = _chosen(sites, structure, layers)
    counts = [
        domain.num_states
        for (domain, _), index in zip(layers, chosen, strict=True)
        for _ in index
    ]
    if math.prod(counts) > MOST_STATES:
        raise InvalidValue(
            f"`sites` are {len(counts)} sites with {math.prod(counts):.4g} states "
            f"together, but at most {MOST_STATES} are enumerated; name fewer sites, or "
            "draw the sites by `sample` with `clamp`. A real site has infinitely many."
        )
    here = [True] * len(leaves) if present is None else jax.tree.leaves(present)
    triples = zip(jax.tree.leaves(v), here, layers, chosen, strict=True)
    arrays = [_rest(*triple) for triple in triples]
    rest = cast_states(structure.unflatten(arrays), params)
    total = math.prod(map(int, counts))
    log_p = _log_probabilities(model, params, rest, tuple(chosen), total=total)
    # The first site is the digit of a state's number that changes fastest.
    return jnp.exp(log_p.reshape([int(count) for count in counts[::-1]]).T)


def _chosen(sites: Sites, structure: Any, layers: list[Any]) -> list[Any]:
    """The numbers of the sites in each array of a state, checked where known."""
    try:
        named = structure.flatten_up_to(sites)
    except ValueError as error:
        raise InvalidValue(
            f"`sites` is {sites!r} but the visible state has {len(layers)} arrays; "
            "pass a tuple with the sites in each of them, such as `((), 0)`."
        ) from error
    chosen = []
    for numbers, (domain, shape) in zip(named, layers, strict=True):
        index = numbers if is_traced(numbers) else np.asarray(numbers)
        index, count = index.reshape(-1), math.prod(domain.site_shape(shape))
        if index.size and not jnp.issubdtype(index.dtype, jnp.integer):
            raise InvalidValue(
                f"`sites` is {sites!r} but sites are named by their numbers; pass "
                "integers, such as `np.flatnonzero(mask)`."
            )
        if not is_traced(index) and not _are_distinct(index, count):
            raise InvalidValue(
                f"`sites` is {sites!r} but sites are numbered 0 to {count - 1}, "
                "and each is named once; pass such numbers."
            )
        chosen.append(index.astype(np.int32))
    if not sum(index.size for index in chosen):
        raise InvalidValue(
            "`sites` names no site but a conditional needs at least one; pass the "
            "number of a site."
        )
    return chosen


def _are_distinct(index: np.ndarray, count: int) -> bool:
    is_site = (index >= 0) & (index < count)
    return bool(is_site.all()) and len(np.unique(index)) == index.size


def _rest(x: Any, present: Any, layer: Any, index: Any) -> Array:
    """`x`, checked where known, with 0 at absent sites and at those in `index`."""
    domain, shape = layer
    present = domain.spread(jnp.asarray(present), shape)
    if present.dtype != jnp.bool_ or present.shape not in ((), shape):
        raise InvalidValue(
            f"`present` has dtype {present.dtype} and shape {present.shape} but needs "
            f"bool, True where a site is present, and the shape {shape} or one entry "
            "per site."
        )
    sites = domain.site_shape(shape)
    is_free = jnp.zeros(math.prod(sites), jnp.bool_).at[index].set(True).reshape(sites)
    given = present & ~domain.spread(is_free, shape)
    x = jnp.asarray(x)
    if not is_traced(x, given):
        mask = np.asarray(given)
        x = domain.admit(np.asarray(x)[None], "v", mask[None])[0]
        refuse_gray("v", np.where(mask, x, 0)[None], domain)
    return jnp.where(given, x, 0)


@partial(jax.jit, static_argnames=("model", "total"))
@full_precision
def _log_probabilities(model, params, rest, chosen, *, total):
    arrays, structure = jax.tree.flatten(rest)
    domain: Any = visible_domain(model)

    def log_weight(number):
        placed = []
        for leaf, x, index in zip(domain.leaves, arrays, chosen, strict=True):
            if index.size:
                site = x.shape[x.ndim - leaf.site_axes :]
                values, number = leaf.state_at((index.size, *site), number)
                rows = x.reshape(-1, *site).at[index].set(values.astype(x.dtype))
                x = rows.reshape(x.shape)
            placed.append(x)
        return -model.free_energy(params, structure.unflatten(placed))

    numbers = jnp.arange(total)
    log_p = jax.lax.map(log_weight, numbers, batch_size=min(total, _TOGETHER))
    return jax.nn.log_softmax(log_p)
