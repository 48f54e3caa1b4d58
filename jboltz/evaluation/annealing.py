"""Partition functions and likelihoods by annealing, each with an error bar."""

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
)
from jboltz.errors import InvalidValue
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
    """Inverse temperatures from 0 to 1, densest towards 1: 14 500 steps.

    500 steps to 0.5, 4 000 to 0.9 and 10 000 to 1, each of the numbers times `scale`.

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

    E[Ẑ] = Z for every ladder, and so E[log Ẑ] ≤ log Z: likelihoods −F(v) − log Ẑ are
    optimistic, the more so the fewer the rungs.

    Args:
      annealed: `Annealed(rbm)`, or `Annealed(SwappedLayers(dbm))`, or
        `AnnealedSpikeAndSlab(model)`.
      base: the base of the ladder, such as `annealed.fit_base(training_data)`.
      betas: increasing from 0 to 1, such as `annealing_ladder()`.
      key: chain i draws from `fold_in(key, i)`.

    Under `jax.vmap` over `params` it is an estimate of each member of an ensemble.

    Raises:
      ValueError: the ladder does not increase from 0 to 1, there is one chain, the
        parameters or the base are others than the model's or not finite, or the model
        is known to have no finite Z.

    Warns:
      UserWarning: weights that are not finite, or too few effective samples.

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
    """log Ẑ = log Z₀ − log mean e^(−R), in nats, by chains from the model to the base.

    With exact samples E[e^(−R)] = Z₀/Z, so that log Ẑ is high on average, as the other
    direction is low: what is between them is known. Chains of a sampler that has not
    mixed void the bound.

    Args:
      samples: of the visible state at β = 1, one a chain, (num_chains, …).
    """
    check_key(key)
    check_num_chains(len(jax.tree.leaves(samples)[0]), "samples")
    rungs = rungs_of(annealed, params, base, betas)
    samples = admit_visible("samples", samples, annealed.model)
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
    """log of an estimate of p_ann(v) of each test point, in nats, by reverse chains.

    p_ann is the law of the last state of annealed importance sampling, which nears the
    model as the ladder grows. E[w] = p_ann(v), so that log-likelihoods of it are low on
    average; on data it may exceed p(v).

    How low, the effective samples of a point tell: by ½(1/ESS − 1/num_chains) nats
    where there are many, and by more than that where there are few. Of log-normal
    weights and 20 chains it is 0.04 nats at an ESS of 10, 0.3 at 4, 1.3 at 2.6 and 3
    at 1.9. A longer ladder is worth more than more chains.

    Args:
      v: test points, (num_points, …).
      key: chain i of point j draws from `fold_in(fold_in(key, j), i)`.

    Returns:
      Value, interval and effective samples of each point, (num_points,) each.

    Warns:
      UserWarning: points that have no interval, for want of effective samples.

    Reference:
      Burda, Grosse & Salakhutdinov (2015), Accurate and conservative estimates of MRF
      log-likelihood using reverse annealing.
    """
    check_key(key)
    check_num_chains(num_chains)
    rungs = rungs_of(annealed, params, base, betas)
    v = cast_states(admit_visible("v", v, annealed.model), params)
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
    """log Σ_h exp(−E(v, h)) of each test point, in nats, with the data clamped.

    Less log Z it is log p(v): how tight the bound of mean field is. The base of the
    hidden layers is `unit.init`, uniform for binary ones.

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
    """log Z of neighbouring parameters, such as the checkpoints θ₀ … θ_T of training.

    log Z_{t+1} − log Z_t = log ⟨exp(F_t(v) − F_{t+1}(v))⟩ over samples v of θ_t.

    Args:
      path: parameters, T + 1 of them.
      samples: independent visible states of the models at θ₀ … θ_{T−1}, each
        (num_samples, …).
      log_partition: log Z₀, in nats; at 0 the values are ratios to Z₀.

    Returns:
      log Z₁ … log Z_T, the errors of the bridges added up; the effective samples are
      those of each bridge.
    """
    if len(path) != len(samples) + 1 or not samples:
        raise InvalidValue(
            f"`path` has {len(path)} parameters and `samples` {len(samples)} entries, "
            "but each parameters need samples, the last excepted; pass T + 1 and T."
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
    bridges = [log_estimate(w, 0.0) for w in log_weights]
    squares = xp.stack([relative_error(w) ** 2 for w in log_weights])
    error = xp.sqrt(xp.cumsum(squares))
    ess = xp.stack([bridge.effective_samples for bridge in bridges])
    value = log_partition + xp.cumsum(xp.stack([bridge.value for bridge in bridges]))
    least = xp.minimum.accumulate(ess)
    lower, upper = interval(value, error, least)
    return checked(
        LogEstimate(
            value=value,
            lower=lower,
            upper=upper,
            effective_samples=ess,
            log_weights=xp.stack(log_weights),
        )
    )


@full_precision
def anneal(
    annealed: AnnealedModel,
    params: AnnealedParams,
    v: State,
    key: Key[Array, ""],
) -> tuple[State, Float[Array, ""]]:
    """One chain along the rungs `params.beta`, (num_rungs,), in either direction.

    A step weighs v by the next rung against this one, then moves it by a Gibbs sweep of
    the next: w = Π exp(F_k(v_k) − F_{k+1}(v_k)), v_{k+1} ~ T_{k+1}(v_k).

    Args:
      v: a draw from the first rung.
      key: step k draws from `fold_in(key, k)`.

    Returns:
      The last state and log w, in nats.
    """
    check_key(key)
    betas, v = params.beta, cast_states(v, params)

    def step(carry, rung):
        v, total, lost = carry
        beta, next_beta, index = rung
        here, there = _at(params, beta), _at(params, next_beta)
        # Compensated: a chain adds thousands of small numbers to a large one.
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
