"""Samples of a model, and their moments without storing the samples."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim
from jaxtyping import Array, Float, Integer, Key

from jboltz import random
from jboltz.abilities import SampledModel, VisibleMeanModel, data_of
from jboltz.base import Leaf, Metrics, Params, Sampler, State, record
from jboltz.checks import (
    check_callable,
    check_count,
    check_distribution,
    check_key,
    require,
)
from jboltz.errors import InvalidValue
from jboltz.products import full_product
from jboltz.samplers.chains import as_stepped, check_num_steps, run_chains
from jboltz.samplers.gibbs import ClampedState
from jboltz.samplers.start import (
    ChainStates,
    admit_clamp,
    admit_start,
    sampler_for,
    start_chains,
)

Observe: TypeAlias = Callable[[Any, Params, State], Any]
"""(model, params, state of one chain) -> an observation, a tree of arrays. Another
function object, such as a new lambda, compiles the program again."""


@record
class Moments:
    """Moments of an observation x over all samples of all chains."""

    mean: Leaf  #: in the shape of x
    variance: Leaf  #: in the shape of x, E[x²] − E[x]²
    covariance: Leaf | None = None  #: (size, size), of x flattened; None: not asked for


def observe_visible(model: SampledModel, params: Params, state: State) -> State:
    """The visible state of a chain; for a DBM, the tuple of its even layers.

    Args:
      model: the model of the chain.
      params: its parameters.
      state: the state of one chain.
    """
    del model, params
    return state.visible


def observe_visible_mean(
    model: VisibleMeanModel, params: Params, state: State
) -> State:
    """E[v | h], or for a DBM E[x₀ | h]; held units keep their state.

    It has the same expectation as v and less variance.

    Args:
      model: the model of the chain.
      params: its parameters.
      state: the state of one chain.
    """
    require(model, VisibleMeanModel, "a visible mean")
    picture = model.mean_visible_state(params, state.hidden)
    if not isinstance(state, ClampedState):
        return picture
    held, v = data_of(model, state.clamp), data_of(model, state.visible)
    return jax.tree.map(jnp.where, held, v, picture)


def sample(
    model: SampledModel,
    params: Params,
    key: Key[Array, ""],
    *,
    warm_up: int | Integer[Array, ""],
    num_samples: int = 1,
    thinning: int | Integer[Array, ""] = 1,
    num_chains: int | None = None,
    sampler: Sampler | None = None,
    start: State | ChainStates | None = None,
    clamp: State | None = None,
    observe: Observe = observe_visible,
) -> tuple[ChainStates, Any, Metrics]:
    """Draws samples of a model: states of its chains, `thinning` steps apart.

    Sample s of a chain is its state after warm_up + (s + 1)·thinning steps of
    `run_chains`. To draw more samples, bit for bit as in one call, pass the returned
    chains as `start` with the same key and `warm_up` 0.

    Args:
      model: an `EnergyModel`, or a `DirectedModel` such as a `DBN`.
      params: its parameters.
      key: chain i draws from `fold_in(key, i)`.
      warm_up: steps before the first sample; 0 for chains at equilibrium.
      num_samples: the number of samples per chain.
      thinning: the number of steps from one sample to the next.
      num_chains: by default the number of rows of `start`, or 1.
      sampler: by default `Gibbs`, or for a DBN `AncestralGibbs`. If units are held,
        `ClampedGibbs`, or for a DBN `ClampedRecognition`.
      start: visible states, one for each chain or one for all; or the `ChainStates` of
        an earlier call; or None for noise, `model.sample_start`. For a DBM, data
        suffice: the other even layers then start from a pass upwards.
      clamp: True where the visible state is held at its value in `start`, for all
        chains or for each, see `as_mask`. Free units start at noise, and `start` may
        be NaN there.
      observe: what to return of a state, such as `observe_visible_mean`.

    Returns:
      The chains; the observations, (num_chains, num_samples, …), the order of ArviZ and
      of the traces of `run_chains`; and the metrics of the sampler in the last step
      before each sample, with the same axes.

    Raises:
      ValueError: `start` or `clamp` has a wrong shape; `start` has no valid states of
        the model; `params` belong to another model, are not finite, or have Z = ∞.
        Under `jit` only shapes are known, and values are not checked.

    Example:
      >>> from jboltz import RBM, Bernoulli
      >>> rbm = RBM(Bernoulli(4), Bernoulli(3))
      >>> params, key = rbm.init(jax.random.key(0)), jax.random.key(1)
      >>> chains, samples, _ = sample(
      ...     rbm, params, key, warm_up=100, num_samples=5, num_chains=8
      ... )
      >>> samples.shape
      (8, 5, 4)
    """
    sampler = sampler_for(model, sampler, start, clamp)
    draws = _Draws(model, sampler, observe, num_chains)
    draws.check(params, key, warm_up, thinning)
    num_samples = check_count("num_samples", num_samples, at_least=1)
    clamp = admit_clamp(clamp)
    start = admit_start(model, start, clamp)
    given = (params, start, clamp, key, warm_up, thinning)
    return _sample(draws, given, num_samples=num_samples)


def sample_moments(
    model: SampledModel,
    params: Params,
    key: Key[Array, ""],
    *,
    warm_up: int | Integer[Array, ""],
    num_samples: int | Integer[Array, ""],
    thinning: int | Integer[Array, ""] = 1,
    num_chains: int | None = None,
    sampler: Sampler | None = None,
    start: State | ChainStates | None = None,
    clamp: State | None = None,
    observe: Observe = observe_visible,
    with_covariance: bool = False,
) -> tuple[ChainStates, Moments, Metrics]:
    """The mean and variance of the samples that `sample` returns, in constant memory.

    Each sample is merged when it is drawn, in a form that does not cancel. If the
    counts are arrays, one compiled program serves all their values.

    Args:
      with_covariance: whether to accumulate `covariance` too, for visible units
        ⟨v vᵀ⟩ − ⟨v⟩⟨v⟩ᵀ. The other arguments are explained in `sample`.

    Returns:
      The chains, the moments, and the means of the sampler's metrics.

    Reference:
      Chan, Golub & LeVeque (1983), Algorithms for computing the sample variance:
      analysis and recommendations.
    """
    sampler = sampler_for(model, sampler, start, clamp)
    draws = _Draws(model, sampler, observe, num_chains)
    draws.check(params, key, warm_up, thinning)
    check_num_steps(num_samples, at_least=1, name="num_samples")
    clamp = admit_clamp(clamp)
    start = admit_start(model, start, clamp)
    given = (params, start, clamp, key, warm_up, thinning)
    return _moments(draws, given, num_samples, with_covariance=with_covariance)


@dataclasses.dataclass(frozen=True)
class _Draws:
    """What a compiled program of draws depends on, beside shapes."""

    model: SampledModel
    sampler: Sampler
    observe: Observe
    num_chains: int | None

    def check(self, params, key, warm_up, thinning) -> None:
        if self.sampler.model != self.model:
            raise InvalidValue(
                f"`sampler` is of {self.sampler.model} but `model` is {self.model}; "
                "pass a sampler of this model."
            )
        check_key(key)
        check_callable("observe", self.observe, "such as `observe_visible`")
        check_distribution(self.model, params)
        check_num_steps(warm_up, at_least=0, name="warm_up")
        check_num_steps(thinning, at_least=1, name="thinning")
        # Under `jax.export`, `num_chains` may be a symbolic dimension.
        if self.num_chains is not None and not is_symbolic_dim(self.num_chains):
            check_count("num_chains", self.num_chains, at_least=1)

    def begin(self, given) -> tuple[ChainStates, Callable]:
        """The chains before the first sample, and the body of a scan that advances them
        to the next sample and observes it."""
        params, start, clamp, key, warm_up, thinning = given
        key_start, key_run = random.split(key)
        chains = start_chains(
            self.sampler, params, key_start, self.num_chains, start, clamp
        )

        def draw(chains, index):
            # The warm-up is part of the first sample: the kernel compiles once.
            num_steps = thinning + jnp.where(index == 0, warm_up, 0)
            states, metrics = run_chains(
                self.sampler,
                params,
                chains.states,
                key_run,
                num_steps=num_steps,
                first_step=chains.num_steps,
            )
            total = chains.num_steps + num_steps.astype(chains.num_steps.dtype)
            observed = jax.vmap(partial(self.observe, self.model, params))(states)
            return ChainStates(states=states, num_steps=total), (observed, metrics)

        return as_stepped(draw, chains, 0)[0], draw


@partial(jax.jit, static_argnames=("draws", "num_samples"))
def _sample(draws, given, *, num_samples):
    chains, draw = draws.begin(given)
    chains, drawn = jax.lax.scan(draw, chains, jnp.arange(num_samples))
    observed, metrics = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), drawn)
    return chains, observed, metrics


@partial(jax.jit, static_argnames=("draws", "with_covariance"))
def _moments(draws, given, num_samples, *, with_covariance):
    chains, draw = draws.begin(given)

    def body(index, carry):
        chains, so_far, means = carry
        chains, (observed, metrics) = draw(chains, index)
        so_far = _merge(so_far, observed, index)
        means = jax.tree.map(
            lambda mean, x: mean + (jnp.mean(x, axis=0) - mean) / (index + 1),
            means,
            metrics,
        )
        return chains, so_far, means

    def first(chains):
        seen = jax.tree.map(lambda x: x[0].astype(_float_of(x)), draw(chains, 0)[1])
        row = jnp.concatenate([x.ravel() for x in jax.tree.leaves(seen[0])])
        return *seen, jnp.outer(row, row)

    # `zeros_like` keeps that values vary among devices under `shard_map`.
    observed, metrics, square = jax.tree.map(
        jnp.zeros_like, jax.eval_shape(first, chains)
    )
    nothing = Moments(
        mean=observed,
        variance=observed,
        covariance=square if with_covariance else None,
    )
    return jax.lax.fori_loop(0, num_samples, body, (chains, nothing, metrics))


def _merge(so_far: Moments, x: Any, index: Integer[Array, ""]) -> Moments:
    """The moments of `index` samples and one more, x: (num_chains, …)."""
    x = jax.tree.map(lambda x, mean: x.astype(mean.dtype), x, so_far.mean)
    mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), x)
    step = jax.tree.map(jnp.subtract, mean, so_far.mean)

    def average(old, spread, square):
        """The running mean of the spread within a sample and between sample means."""
        between = square * (index / (index + 1)).astype(square.dtype)
        return old + (spread + between - old) / (index + 1)

    covariance = so_far.covariance
    if covariance is not None:
        centred = _rows(jax.tree.map(lambda x, mean: x - mean[None], x, mean))
        (apart,) = _rows(jax.tree.map(lambda step: step[None], step))
        spread = full_product(centred.T, centred) / len(centred)
        covariance = average(covariance, spread, jnp.outer(apart, apart))
    return Moments(
        mean=jax.tree.map(lambda m, s: m + s / (index + 1), so_far.mean, step),
        variance=jax.tree.map(
            lambda old, x, s: average(old, jnp.var(x, axis=0), s**2),
            so_far.variance,
            x,
            step,
        ),
        covariance=covariance,
    )


def _rows(tree: Any) -> Float[Array, "chains size"]:
    leaves = jax.tree.leaves(tree)
    return jnp.concatenate([x.reshape(len(x), -1) for x in leaves], axis=1)


def _float_of(*arrays):
    return jnp.result_type(jnp.float32, *arrays)
