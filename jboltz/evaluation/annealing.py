"""Partition functions and likelihoods by annealing, with intervals."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key

from jboltz import random
from jboltz.abilities import AnnealedModel, LayeredModel
from jboltz.base import FreeEnergyModel, Params, State
from jboltz.checks import (
    admit,
    admit_visible,
    cast_states,
    check_distribution,
    check_key,
    check_number,
    check_params,
    visible_domain,
)
from jboltz.errors import InvalidValue
from jboltz.evaluation.examples import refuse_gray
from jboltz.evaluation.log_estimate import (
    LogEstimate,
    checked,
    interval,
    known,
    library_of,
    log_estimate,
    relative_error,
)
from jboltz.evaluation.rungs import check_num_chains, rungs_of
from jboltz.models.annealed import Annealed, AnnealedParams, check_exact
from jboltz.models.dbm import DBM, DBMParams
from jboltz.products import full_precision

_SEGMENTS = ((0.0, 0.5, 500), (0.5, 0.9, 4_000), (0.9, 1.0, 10_000))


def annealing_ladder(scale: int | float = 1) -> np.ndarray:
    """Values of β from 0 to 1, densest near 1: 14 500 steps times `scale`.

    There are 500 steps to 0.5, 4 000 to 0.9 and 10 000 to 1, each times `scale`.

    Args:
      scale: a factor of the number of rungs.

    Reference:
      Salakhutdinov & Murray (2008), On the quantitative analysis of deep belief
      networks.

    Example:
      >>> annealing_ladder(0.01).shape
      (146,)
    """
    check_number("scale", scale, 0, 1e6)
    steps = [round(scale * num_steps) for *_, num_steps in _SEGMENTS]
    if min(steps) < 1:
        raise InvalidValue(
            f"`scale` is {scale} but each of the three segments needs a step; take at "
            f"least {1 / _SEGMENTS[0][2]}, or a ladder of your own."
        )
    parts = [
        np.linspace(low, high, num_steps, endpoint=False)
        for (low, high, _), num_steps in zip(_SEGMENTS, steps, strict=True)
    ]
    return np.concatenate([*parts, [1.0]])


def annealed_importance_sampling(
    annealed: AnnealedModel,
    params: Params,
    base: Params,
    betas: ArrayLike,
    key: Key[Array, ""],
    *,
    num_chains: int = 100,
) -> LogEstimate:
    """log Ẑ = log Z₀ + log mean w, in nats, by chains from the base to the model.

    E[Ẑ] = Z for every ladder, so E[log Ẑ] ≤ log Z, and likelihoods −F(v) − log Ẑ are
    too high on average, most with few rungs. `jax.vmap` over `params` gives an estimate
    for each member of an ensemble.

    Args:
      annealed: `Annealed(rbm)`, or `Annealed(SwappedLayers(dbm))`, or
        `AnnealedSpikeAndSlab(model)`.
      params: the parameters of the model.
      base: the base of the ladder, such as `annealed.fit_base(training_data)`.
      betas: values of β increasing from 0 to 1, such as `annealing_ladder()`.
      key: chain i draws from `fold_in(key, i)`.
      num_chains: the number of chains, and of weights.

    Raises:
      ValueError: the ladder does not increase from 0 to 1, there are fewer than two
        chains, `params` or `base` do not fit the model or are not finite, or Z is known
        to be infinite.

    Warns:
      UserWarning: weights are not finite, or there are too few effective samples.

    Reference:
      Neal (2001), Annealed importance sampling; Salakhutdinov & Murray (2008), On the
      quantitative analysis of deep belief networks.

    Example:
      >>> from jboltz import RBM, Annealed, Bernoulli, annealing_ladder
      >>> annealed = Annealed(RBM(Bernoulli(4), Bernoulli(3)))
      >>> params = annealed.model.init(jax.random.key(0))
      >>> estimate = annealed_importance_sampling(
      ...     annealed,
      ...     params,
      ...     annealed.fit_base(np.eye(4)),
      ...     annealing_ladder(0.01),
      ...     jax.random.key(1),
      ... )
      >>> bool(abs(estimate.value - 7 * np.log(2)) < 0.1)  # small weights
      True
    """
    check_key(key)
    check_num_chains(num_chains)
    rungs = rungs_of(annealed, params, base, betas)
    keys = random.fold_in_range(key, num_chains)
    log_weights, log_z = _from_base(annealed, rungs, keys)
    return checked(log_estimate(log_weights, log_z))


def reverse_annealed_importance_sampling(
    annealed: AnnealedModel,
    params: Params,
    base: Params,
    betas: ArrayLike,
    samples: State,
    key: Key[Array, ""],
) -> LogEstimate:
    """log Ẑ = log Z₀ − log mean w, in nats, by chains from the model to the base.

    With exact samples of the model E[w] = Z₀/Z, so log Ẑ is too high on average. The
    other direction is too low on average, so that the two enclose log Z on average. If
    `samples` are from chains that have not mixed, nothing bounds log Z from above.

    Args:
      samples: visible states of the model, one per chain, (num_chains, …). The other
        arguments are explained in `annealed_importance_sampling`.
    """
    check_key(key)
    check_num_chains(len(jax.tree.leaves(samples)[0]), "samples")
    rungs = rungs_of(annealed, params, base, betas)
    samples = admit_visible("samples", samples, annealed.model)
    refuse_gray("samples", samples, visible_domain(annealed.model))
    log_weights, log_z = _from_model(annealed, rungs, samples, key)
    inverse = log_estimate(log_weights, -log_z)
    return checked(
        dataclasses.replace(
            inverse, value=-inverse.value, lower=-inverse.upper, upper=-inverse.lower
        )
    )


def reverse_ais_log_likelihood(
    annealed: AnnealedModel,
    params: Params,
    base: Params,
    betas: ArrayLike,
    v: State,
    key: Key[Array, ""],
    *,
    num_chains: int = 100,
) -> LogEstimate:
    """The logarithm of an estimate of p_ann(v) at test points, by reverse chains.

    p_ann is the distribution of the last state of annealed importance sampling. It
    tends to p as the ladder grows, and may be larger than p at data. E[w] = p_ann(v),
    so the estimates of log p_ann(v) are too low on average: by ½(1/ESS − 1/num_chains)
    nats if a point has many effective samples (ESS), and by more if it has few. With
    log-normal weights and 20 chains it is 0.04 nats at an ESS of 10, 0.3 at 4, 1.3 at
    2.6 and 3 at 1.9. A longer ladder helps more than more chains.

    Args:
      v: test points, (num_points, …).
      key: chain i of point j draws from `fold_in(fold_in(key, j), i)`. The other
        arguments are explained in `annealed_importance_sampling`.

    Returns:
      The value, interval and effective samples of each point, (num_points,), in nats.

    Warns:
      UserWarning: points have too few effective samples for an interval.

    Reference:
      Burda, Grosse & Salakhutdinov (2015), Accurate and conservative estimates of MRF
      log-likelihood using reverse annealing.
    """
    check_key(key)
    check_num_chains(num_chains)
    rungs = rungs_of(annealed, params, base, betas)
    v = cast_states(admit_visible("v", v, annealed.model), params)
    refuse_gray("v", v, visible_domain(annealed.model))
    log_weights, shift = _from_points(annealed, rungs, v, key, num_chains=num_chains)
    remedy = " Estimates with fewer are low, on average by 0.1 nats or more."
    return checked(log_estimate(log_weights, shift), remedy)


def clamped_annealed_importance_sampling(
    model: DBM,
    params: DBMParams,
    betas: ArrayLike,
    v: State,
    key: Key[Array, ""],
    *,
    num_chains: int = 100,
) -> LogEstimate:
    """log Σ_h exp(−E(v, h)) = log p(v) + log Z of each test point, in nats.

    The data are held while the hidden layers are annealed. It shows how tight the bound
    of mean field is. The base has the `init` of hidden units, uniform for binary ones.

    Args:
      v: test points, (num_points, …).
      key: chain i of point j draws from `fold_in(fold_in(key, j), i)`.
    """
    check_key(key)
    check_num_chains(num_chains)
    check_params(model, params)
    annealed = Annealed(model.hidden_model)
    hidden = DBMParams(units=params.units[1:], weights=params.weights[1:])
    base = annealed.init(key).base
    rungs = rungs_of(annealed, hidden, base, betas)
    v = cast_states(admit("v", v, model.domain), params)
    refuse_gray("v", v, model.domain)
    log_weights, log_z = _clamped(
        model, params, rungs.base, rungs.beta, v, key, num_chains=num_chains
    )
    return checked(log_estimate(log_weights, log_z))


def log_partition_trajectory(
    model: FreeEnergyModel,
    path: Sequence[Params],
    samples: Sequence[State],
    *,
    log_partition: int | float = 0,
) -> LogEstimate:
    """log Z along a path of parameters, such as the checkpoints θ₀ … θ_T of training.

    log Z_{t+1} − log Z_t = log ⟨exp(F_t(v) − F_{t+1}(v))⟩ over samples v at θ_t.

    Args:
      path: the T + 1 parameters θ₀ … θ_T.
      samples: T entries, independent visible states, (num_samples, …), of the models at
        θ₀ … θ_{T−1}.
      log_partition: log Z₀ in nats; with 0, the values are log Z_t/Z₀.

    Returns:
      log Z₁ … log Z_T. Their intervals include the errors of all steps before; the
      effective samples are those of one step.
    """
    if len(path) != len(samples) + 1 or not samples:
        raise InvalidValue(
            f"`path` has {len(path)} parameters and `samples` {len(samples)} entries, "
            "but all parameters except the last need samples; pass T + 1 and T."
        )
    if isinstance(model, LayeredModel):
        check_exact(model)
    log_weights = []
    for index, params in enumerate(path):
        check_distribution(model, params, f"path[{index}]")
    for here, there, v in zip(path, path[1:], samples, strict=False):
        check_num_chains(len(jax.tree.leaves(v)[0]), "samples")
        log_weights.append(known(_bridge(model, here, there, v)))
    xp = library_of(log_weights)
    steps = log_estimate(xp.stack(log_weights), 0.0)
    error = xp.sqrt(xp.cumsum(relative_error(steps.log_weights) ** 2))
    value = log_partition + xp.cumsum(steps.value)
    least = xp.minimum.accumulate(steps.effective_samples)
    lower, upper = interval(value, error, least)
    return checked(dataclasses.replace(steps, value=value, lower=lower, upper=upper))


@full_precision
def anneal(
    annealed: AnnealedModel,
    params: AnnealedParams,
    v: State,
    key: Key[Array, ""],
) -> tuple[State, Float[Array, ""]]:
    """One chain along the rungs `params.beta`, (num_rungs,), in either direction.

    w = Π_k exp(F_k(v_k) − F_{k+1}(v_k)), where v_{k+1} is drawn from v_k by a Gibbs
    sweep at rung k + 1.

    Args:
      v: a draw from the first rung.
      key: step k draws from `fold_in(key, k)`.

    Returns:
      The last state, and log w in nats.
    """
    check_key(key)
    betas, v = params.beta, cast_states(v, params)

    def step(carry, rung):
        v, total, lost = carry
        beta, next_beta, index = rung
        here, there = _at(params, beta), _at(params, next_beta)
        # Compensated summation, since thousands of small terms add up.
        term = annealed.log_weight(here, there, v) - lost
        new = total + term
        v = _move(annealed, there, v, random.fold_in(key, index))
        return (v, new, (new - total) - term), None

    zero = jnp.zeros((), betas.dtype)
    rungs = (betas[:-1], betas[1:], jnp.arange(len(betas) - 1))
    (v, total, _), _ = jax.lax.scan(step, (v, zero, zero), rungs)
    return v, total


def _at(params, beta):
    return AnnealedParams(params=params.params, base=params.base, beta=beta)


def _move(annealed, params, v, key):
    key_h, key_v = random.split(key)
    h = annealed.sample_hidden(params, v, key_h)
    return annealed.sample_visible(params, h, key_v)


@partial(jax.jit, static_argnums=0)
@full_precision
def _from_base(annealed, rungs, keys):
    def of_chain(key):
        key_start, key_run = random.split(key)
        v = annealed.sample_start(_at(rungs, rungs.beta[0]), key_start)
        return anneal(annealed, rungs, v, key_run)[1]

    return jax.vmap(of_chain)(keys), annealed.base_log_partition(rungs)


@partial(jax.jit, static_argnums=0)
@full_precision
def _from_model(annealed, rungs, samples, key):
    down = _at(rungs, rungs.beta[::-1])

    def of_chain(v, key):
        return anneal(annealed, down, v, key)[1]

    keys = random.fold_in_range(key, len(jax.tree.leaves(samples)[0]))
    return jax.vmap(of_chain)(samples, keys), annealed.base_log_partition(rungs)


@partial(jax.jit, static_argnums=0, static_argnames="num_chains")
@full_precision
def _from_points(annealed, rungs, points, key, *, num_chains):
    down, model = _at(rungs, rungs.beta[::-1]), _at(rungs, rungs.beta[-1])

    def of_chain(v, key):
        key_first, key_run = random.split(key)
        v = _move(annealed, model, v, key_first)
        return anneal(annealed, down, v, key_run)[1]

    log_weights = _of_points(of_chain, points, key, num_chains)
    free_energy = jax.vmap(partial(annealed.free_energy, model))(points)
    return log_weights, -free_energy - annealed.base_log_partition(rungs)


@partial(jax.jit, static_argnums=0, static_argnames="num_chains")
@full_precision
def _clamped(model, params, base, betas, points, key, *, num_chains):
    annealed = Annealed(model.hidden_model)

    def of_chain(given, key):
        key_start, key_run = random.split(key)
        rungs = AnnealedParams(params=given, base=base, beta=betas)
        v = annealed.sample_start(_at(rungs, betas[0]), key_start)
        return anneal(annealed, rungs, v, key_run)[1]

    given, energies = jax.vmap(partial(model.given_data, params))(points)
    log_weights = _of_points(of_chain, given, key, num_chains)
    log_z = annealed.base_log_partition(
        AnnealedParams(params=params, base=base, beta=betas)
    )
    return log_weights, log_z - energies


def _of_points(of_chain, points, key, num_chains):
    keys = random.fold_in_range(key, len(jax.tree.leaves(points)[0]))
    keys = jax.vmap(lambda key: random.fold_in_range(key, num_chains))(keys)
    return jax.vmap(jax.vmap(of_chain, in_axes=(None, 0)))(points, keys)


@partial(jax.jit, static_argnums=0)
@full_precision
def _bridge(model, here, there, v):
    free_energy = jax.vmap(model.free_energy, in_axes=(None, 0))
    return free_energy(here, v) - free_energy(there, v)
