"""Functions that run a kernel: `lax.scan` over its steps, `vmap` over chains."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, Key

from jboltz import random
from jboltz.base import Metrics, Params, Sampler, State, hold
from jboltz.checks import admit_visible, cast_states, check_key, is_traced, require
from jboltz.errors import InvalidType, InvalidValue


def run(
    sampler: Sampler,
    params: Params,
    state: State,
    key: Key[Array, ""],
    *,
    num_steps: int | Integer[Array, ""],
    first_step: int | Integer[Array, ""] = 0,
) -> tuple[State, Metrics]:
    """Advances one chain by `num_steps` kernel steps.

    Step t draws from `fold_in(key, t)`, so the first draws do not depend on the number
    of steps. Derivatives treat states as constants, see `hold`.

    Args:
      state: float64 is cast to float32 if the parameters are not float64; then the
        state is cast to the dtypes that a step returns.
      num_steps: an int, for which a scan of this length is compiled; or an integer
        array, for which one program serves all values. Both draw the same chain.
      first_step: the first t. A chain that took n steps continues at t = n, bit for
        bit.

    Returns:
      The last state, and the metrics: stacked over steps if `num_steps` is an int, of
      the last step if it is an array.

    Raises:
      ValueError: `num_steps` or `first_step` is negative.
      TypeError: one of them is not an integer.
    """
    check_num_steps(num_steps, at_least=0)
    check_num_steps(first_step, at_least=0, name="first_step")
    check_key(key)
    params, state = hold(sampler, params, _narrowed(state, params))
    if isinstance(num_steps, jax.Array):
        return _loop(sampler, params, state, key, num_steps, first_step)
    return _scan(sampler, params, state, key, first_step, num_steps=int(num_steps))


def run_chains(
    sampler: Sampler,
    params: Params,
    states: State,
    key: Key[Array, ""],
    *,
    num_steps: int | Integer[Array, ""],
    first_step: int | Integer[Array, ""] = 0,
) -> tuple[State, Metrics]:
    """Advances independent chains, one per leading index of `states`.

    Chain i draws from `fold_in(key, i)`, so draws do not depend on the number of
    chains.

    Args:
      sampler: the kernel.
      params: the parameters of its model.
      states: the states of the chains, such as `init_chains` returns.
      key: the key of all chains and all steps.
      num_steps: the number of steps: an int, for which a scan of this length is
        compiled, or an integer array, for which one program serves all values.
      first_step: the number of steps taken before; a run in parts then has the draws of
        a whole one.

    Example:
      >>> from jboltz import RBM, Bernoulli, Gibbs, init_chains
      >>> rbm = RBM(Bernoulli(4), Bernoulli(3))
      >>> sampler, params = Gibbs(rbm), rbm.init(jax.random.key(0))
      >>> chains = init_chains(sampler, params, jnp.zeros((8, 4)), jax.random.key(1))
      >>> chains, _ = run_chains(
      ...     sampler, params, chains, jax.random.key(2), num_steps=10
      ... )
      >>> chains.visible.shape
      (8, 4)
    """
    require(sampler, Sampler, "a chain", "sampler", example="Gibbs(model)")
    check_key(key)
    _check_chains("states", states)
    advance = partial(run, sampler, params, num_steps=num_steps, first_step=first_step)
    return jax.vmap(advance)(states, random.fold_in_rows(key, states))


def init_chains(
    sampler: Sampler, params: Params, visible: State, key: Key[Array, ""]
) -> State:
    """One chain per leading index of `visible`; chain i draws from `fold_in(key, i)`.

    Args:
      sampler: the kernel.
      params: the parameters of its model.
      visible: visible states, one per chain, (chains, …).
      key: the key of all chains.

    Raises:
      ValueError: `visible` has no axis of chains, or no valid states of the model.
    """
    require(sampler, Sampler, "a chain", "sampler", example="Gibbs(model)")
    check_key(key)
    visible = admit_visible("visible", visible, sampler.model)
    _check_chains("visible", visible)
    params, visible = hold(sampler, params, cast_states(visible, params))
    init = jax.vmap(sampler.init, in_axes=(None, 0, 0))
    return init(params, visible, random.fold_in_rows(key, visible))


def _check_chains(name: str, states: State) -> None:
    """Refuses leaves that do not share a leading axis."""
    shapes = [jnp.shape(x) for x in jax.tree.leaves(states)]
    counts = {shape[:1] for shape in shapes}
    if len(counts) != 1 or () in counts:
        raise InvalidValue(
            f"`{name}` has leaves of shapes {shapes} but chains need a leading axis, "
            "of one length in all leaves; give it to a single state by "
            f"`jax.tree.map(lambda x: x[None], {name})`."
        )


def check_num_steps(
    num_steps: int | Array, *, at_least: int, name: str = "num_steps"
) -> None:
    """Refuses a count of steps that is not an integer or, unless traced, too small."""
    is_array = isinstance(num_steps, jax.Array)
    dtype = num_steps.dtype if is_array else np.asarray(num_steps).dtype
    if not np.issubdtype(dtype, np.integer) or np.ndim(num_steps):
        raise InvalidType(
            f"`{name}` is {num_steps!r} but a count of steps must be an int or an "
            "integer array of shape ()."
        )
    # NumPy compares, since within `jit` JAX would trace the comparison.
    if not is_traced(num_steps) and not at_least <= np.asarray(num_steps) < 2**31:
        raise InvalidValue(
            f"`{name}` is {num_steps} but a chain needs at least {at_least} and fewer "
            "than 2**31 steps there; pass such a number."
        )


def _narrowed(state: State, params: Params) -> State:
    """`state` without float64 where `params` have none: chains would go on in it."""
    widest = jnp.result_type(jnp.float32, *jax.tree.leaves(params))
    if widest == jnp.float64:
        return state
    return jax.tree.map(
        lambda x: jnp.asarray(x, widest) if jnp.result_type(x) == jnp.float64 else x,
        state,
    )


def as_stepped(step: Callable, state: State, x: Any) -> tuple[State, Any]:
    """`state` in the dtypes that `step(state, x)` returns, which a loop has to carry,
    and the shapes of the second value that `step` returns."""
    like, rest = jax.eval_shape(step, state, x)
    return jax.tree.map(lambda old, new: jnp.asarray(old, new.dtype), state, like), rest


@partial(jax.jit, static_argnames=("sampler", "num_steps"))
def _scan(sampler, params, state, key, first_step, *, num_steps):
    step = _traced_once(sampler, params)
    state, _ = as_stepped(step, state, key)
    steps = first_step + jnp.arange(num_steps)
    keys = jax.vmap(random.fold_in, in_axes=(None, 0))(key, steps)
    return jax.lax.scan(step, state, keys)


@partial(jax.jit, static_argnames="sampler")
def _loop(sampler, params, state, key, num_steps, first_step):
    step = _traced_once(sampler, params)

    def body(index, carry):
        return step(carry[0], random.fold_in(key, first_step + index))

    state, shapes = as_stepped(step, state, key)
    # `zeros_like` keeps that metrics vary among devices under `shard_map`.
    metrics = jax.tree.map(jnp.zeros_like, shapes)
    return jax.lax.fori_loop(0, num_steps, body, (state, metrics))


def _traced_once(sampler, params):
    """A step that is traced once for its shapes and its loop."""
    return jax.jit(partial(sampler.step, params), inline=True)
