"""A jboltz kernel for BlackJAX's loops. Nothing here needs BlackJAX."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from jaxtyping import Array, Key

from jboltz.base import Metrics, Params, Sampler, State, hold


class SamplingAlgorithm(NamedTuple):
    """The pair that BlackJAX's loops call, as its own type of this name: key first."""

    init: Callable[[State, Key[Array, ""]], State]
    step: Callable[[Key[Array, ""], State], tuple[State, Metrics]]


def to_blackjax(sampler: Sampler, params: Params) -> SamplingAlgorithm:
    """`sampler` at fixed `params`, for `blackjax.util.run_inference_algorithm`.

    `algorithm.init(v, key)` is a chain at the visible state `v`, and
    `algorithm.step(key, state)` one kernel step. BlackJAX's loop splits its key into
    one a step; under threefry those are `fold_in(key, t)`, so from the same state it
    draws the chain of `run(…, key)`, bit for bit. To drive many, `jax.vmap` it over
    `split(key, num_chains)`: the chains of `run_chains(…, key)`.
    """
    (params,) = hold(sampler, params)

    def step(key: Key[Array, ""], state: State) -> tuple[State, Metrics]:
        return sampler.step(params, state, key)

    return SamplingAlgorithm(init=partial(sampler.init, params), step=step)
