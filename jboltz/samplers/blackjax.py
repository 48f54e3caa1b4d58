"""jboltz kernels for the loops of BlackJAX, which need not be installed."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Key

from jboltz.base import Metrics, Params, Sampler, State, hold, record
from jboltz.checks import require


@record
class BlackJAXState:
    """A chain as BlackJAX's tools read it.

    A chain that runs already is `BlackJAXState(position=chain.visible, chain=chain)`.
    """

    position: State  # the visible state
    chain: State  # of the sampler


class SamplingAlgorithm(NamedTuple):
    """The pair of functions that BlackJAX calls, like its type of the same name."""

    init: Callable[..., BlackJAXState]
    step: Callable[
        [Key[Array, ""], BlackJAXState],
        tuple[BlackJAXState, Metrics],
    ]


def to_blackjax(sampler: Sampler, params: Params) -> SamplingAlgorithm:
    """`sampler` at fixed `params`, for `blackjax.util.run_inference_algorithm`.

    `algorithm.init(v, key)` starts a chain at the visible state `v`, and
    `algorithm.step(key, state)` is one step of the kernel. `state.position` is the
    visible state. Without a key, as other algorithms of BlackJAX are started, `init`
    draws the first hidden state from `jax.random.key(0)`: chains that start at one `v`
    then have the same one, and part at the first step.

    BlackJAX splits its key into one key per step, which for threefry are
    `fold_in(key, t)`. So it draws the chain of `run(…, key)` bit for bit, and under
    `jax.vmap` over `split(key, num_chains)` the chains of `run_chains(…, key)`.

    Args:
      sampler: the kernel, such as `Gibbs(rbm)`.
      params: the parameters of the model, fixed.
    """
    require(sampler, Sampler, "a kernel", "sampler", example="Gibbs(model)")
    (params,) = hold(sampler, params)

    def init(position: State, rng_key: Key[Array, ""] | None = None) -> BlackJAXState:
        key = jax.random.key(0) if rng_key is None else rng_key
        return _state(sampler.init(params, position, key))

    def step(
        rng_key: Key[Array, ""], state: BlackJAXState
    ) -> tuple[BlackJAXState, Metrics]:
        chain, metrics = sampler.step(params, state.chain, rng_key)
        return _state(chain), metrics

    return SamplingAlgorithm(init=init, step=step)


def _state(chain: State) -> BlackJAXState:
    return BlackJAXState(position=chain.visible, chain=chain)
