"""jboltz kernels for the loops of BlackJAX, which need not be installed."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from jaxtyping import Array, Key

from jboltz.base import Metrics, Params, Sampler, State, hold


class SamplingAlgorithm(NamedTuple):
    """The pair of functions that BlackJAX calls, like its type of the same name."""

    init: Callable[[State, Key[Array, ""]], State]
    step: Callable[[Key[Array, ""], State], tuple[State, Metrics]]


def to_blackjax(sampler: Sampler, params: Params) -> SamplingAlgorithm:
    """`sampler` at fixed `params`, for `blackjax.util.run_inference_algorithm`.

    `algorithm.init(v, key)` starts a chain at the visible state `v`, and
    `algorithm.step(key, state)` is one step of the kernel. BlackJAX splits its key into
    one key per step, which for threefry are `fold_in(key, t)`. So it draws the chain of
    `run(…, key)` bit for bit, and under `jax.vmap` over `split(key, num_chains)` the
    chains of `run_chains(…, key)`.
    """
    (params,) = hold(sampler, params)

    def step(key: Key[Array, ""], state: State) -> tuple[State, Metrics]:
        return sampler.step(params, state, key)

    return SamplingAlgorithm(init=partial(sampler.init, params), step=step)
