"""The exact partition function, by enumeration."""

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
"""Beyond 2²⁵ states enumeration takes minutes to hours."""


@full_precision
def log_partition(
    hidden_free_energy: Callable[[State], Inexact[Array, ""]],
    hidden: int | Unit | tuple[Unit, ...],
    *,
    chunk_size: int = 2**12,
) -> Inexact[Array, ""]:
    """log Z = log Σ_h exp(−F(h)), in nats, over all states of a discrete layer.

    Exact: for an RBM with few hidden units, `partial(rbm.hidden_free_energy, params)`
    and `rbm.hidden`; with few visible ones, `partial(rbm.free_energy, params)` and
    `rbm.visible`. States go through in chunks, whose sums are added at the end: a
    running sum would be rounded as often as there are chunks.

    Args:
      hidden_free_energy: of one state, the other layer summed out.
      hidden: the layer that is enumerated: a number n of units in {0, 1}, a unit, or
        the tuple of units of a DBM's block.
      chunk_size: states at a time.

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
    zero = jax.tree.map(lambda unit: unit.domain.state_at(unit.shape, 0)[0], hidden)
    like = jax.eval_shape(hidden_free_energy, jax.tree.map(_as_float, zero))
    dtype = jnp.finfo(like.dtype).dtype  # of a complex F, that of its parts

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
    """log Z of an RBM or a DBM, in nats: the block with fewer states is enumerated.

    Where all layers are Gaussian, it is an integral in closed form.

    Raises:
      ValueError: both blocks have more than 2²⁵ states, or one is real and the other
        too, but not Gaussian both; the parameters are another model's, not finite or
        have no finite Z; units whose draws are not those of their energy.

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
    """½ gᵀH⁻¹g − F(0) + ½ log det 2πH⁻¹, of a quadratic F of the smaller block."""
    params = jax.tree.map(random.widened, params)  # no factors in half precision

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
    """The number of states of a layer, or of several together; ∞ if one is real."""
    count: int | float = 1
    for unit in jax.tree.leaves(units):
        count *= unit.domain.count(unit.shape)
    return count


def state_of(units: Unit | tuple[Unit, ...], number: Integer[Array, ""]) -> State:
    """State `number` of the discrete layer or layers, from 0, in integers."""
    leaves, structure = jax.tree.flatten(units)
    states = []
    for unit in leaves:
        state, number = unit.domain.state_at(unit.shape, number)
        states.append(state)
    return structure.unflatten(states)


def _as_float(x):
    return x.astype(float)
