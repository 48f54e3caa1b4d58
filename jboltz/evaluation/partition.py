"""The exact partition function, by enumeration of states or by a Gaussian integral."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Inexact, Integer

from jboltz import random
from jboltz.abilities import LayeredModel
from jboltz.base import Params, State, Unit
from jboltz.checks import check_count, check_distribution
from jboltz.errors import InvalidValue
from jboltz.models.annealed import check_exact
from jboltz.products import full_precision
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.quadratic import is_normal

MOST_UNITS = 25
"""Enumeration of more than 2²⁵ states takes minutes to hours."""


@full_precision
def log_partition(
    hidden_free_energy: Callable[[State], Inexact[Array, ""]],
    hidden: int | Unit | tuple[Unit, ...],
    *,
    chunk_size: int = 2**12,
) -> Inexact[Array, ""]:
    """log Z = log Σ_h exp(−F(h)), in nats, over all states of a discrete layer.

    For an RBM with few hidden units pass `partial(rbm.hidden_free_energy, params)` and
    `rbm.hidden`; with few visible units `partial(rbm.free_energy, params)` and
    `rbm.visible`. The sums of chunks of states are added at the end, which rounds less
    than a running sum.

    Args:
      hidden_free_energy: the free energy of one state of the layer.
      hidden: the layer to enumerate: a number of binary units, a unit, or the tuple of
        the even or odd units of a DBM.
      chunk_size: the number of states computed at a time.

    Raises:
      ValueError: the layer has more than 2²⁵ states, or is real.
    """
    chunk_size = check_count("chunk_size", chunk_size, at_least=1)
    if isinstance(hidden, int | float | np.number):
        hidden = Bernoulli(hidden)
    total = num_states(hidden)
    if total > 2**MOST_UNITS:
        size = " + ".join(str(unit.size) for unit in jax.tree.leaves(hidden))
        raise InvalidValue(
            f"`hidden` has {size} units and {total:.3g} states, but enumeration takes "
            f"at most {MOST_UNITS} binary units or as many states; enumerate the other "
            "block, or estimate with `annealed_importance_sampling`."
        )
    count = int(total)
    zero = jax.tree.map(lambda x: x.astype(float), state_of(hidden, 0))
    like = jax.eval_shape(hidden_free_energy, zero)
    dtype = jnp.finfo(like.dtype).dtype  # for a complex F, the dtype of its parts

    def log_weight(number):
        state = state_of(hidden, number)
        return -hidden_free_energy(jax.tree.map(lambda x: x.astype(dtype), state))

    def of_chunk(first):
        numbers = first + jnp.arange(chunk_size)
        log_weights = jax.vmap(log_weight)(jnp.minimum(numbers, count - 1))
        log_weights = jnp.where(numbers < count, log_weights, -jnp.inf)
        return jax.nn.logsumexp(log_weights)

    chunk_size = min(chunk_size, count)
    firsts = chunk_size * jnp.arange(-(-count // chunk_size))
    return jax.nn.logsumexp(jax.lax.map(of_chunk, firsts))


def model_log_partition(
    model: LayeredModel, params: Params, *, chunk_size: int = 2**12
) -> Inexact[Array, ""]:
    """log Z of an RBM or a DBM, in nats, by enumeration of v or h.

    The one with fewer states is enumerated. If all layers are Gaussian, log Z is an
    integral in closed form.

    Args:
      model: an RBM or a DBM.
      params: its parameters.
      chunk_size: how many states are computed at a time; it changes memory, not the
        result.

    Raises:
      ValueError: v and h both have more than 2²⁵ states, as real units have; the
        parameters do not fit the model, are not finite, or have an infinite Z; draws of
        a unit do not follow its energy.

    Example:
      >>> from jboltz import RBM, Bernoulli
      >>> rbm = RBM(Bernoulli(4), Bernoulli(3))
      >>> params = jax.tree.map(jnp.zeros_like, rbm.init(jax.random.key(0)))
      >>> round(float(model_log_partition(rbm, params)), 4)  # 7 log 2
      4.852
    """
    check_exact(model)
    check_distribution(model, params)
    if all(map(is_normal, model.units, model.parts(params)[0])):
        return _normal_log_partition(model, params)
    visible, hidden = model.blocks(model.units)
    if num_states(hidden) <= num_states(visible):
        free_energy, block = model.hidden_free_energy, hidden
    else:
        free_energy, block = model.free_energy, visible

    def of_state(x):
        return free_energy(params, x)

    return log_partition(of_state, block, chunk_size=chunk_size)


@partial(jax.jit, static_argnums=0)
@full_precision
def _normal_log_partition(model: LayeredModel, params: Params) -> Float[Array, ""]:
    """½ gᵀH⁻¹g − F(0) + ½ log det 2πH⁻¹, with the quadratic F(v) or F(h)."""
    params = jax.tree.map(random.widened, params)  # half precision has no Cholesky

    def zero_of(params):
        key = jax.random.key(0)
        v = model.sample_start(params, key)
        return v, model.sample_hidden(params, v, key)

    zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(zero_of, params))
    functions = (model.free_energy, model.hidden_free_energy)
    pairs = [
        (ravel_pytree(x), function)
        for x, function in zip(zeros, functions, strict=True)
    ]
    (zero, unravel), function = min(pairs, key=lambda pair: pair[0][0].size)

    def free_energy(x):
        return function(params, unravel(x))

    gradient, hessian = jax.grad(free_energy)(zero), jax.hessian(free_energy)(zero)
    lower = jnp.linalg.cholesky(hessian)
    root = solve_triangular(lower, gradient, lower=True)
    half_log_det = jnp.sum(jnp.log(jnp.diag(lower)))
    volume = 0.5 * zero.size * math.log(2 * math.pi) - half_log_det
    return 0.5 * jnp.sum(root**2) - free_energy(zero) + volume


def num_states(units: Unit | tuple[Unit, ...]) -> int | float:
    """The number of states of a layer or of several layers; ∞ if one is real."""
    count: int | float = 1
    for unit in jax.tree.leaves(units):
        count *= unit.domain.count(unit.shape)
    return count


def state_of(units: Unit | tuple[Unit, ...], number: int | Integer[Array, ""]) -> State:
    """The state with this number, from 0, of a layer or several layers, as integers."""
    leaves, structure = jax.tree.flatten(units)
    states = []
    for unit in leaves:
        state, number = unit.domain.state_at(unit.shape, number)
        states.append(state)
    return structure.unflatten(states)
