"""Lower bounds on log p(v) of models whose hidden state does not integrate out."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.abilities import DirectedModel
from jboltz.base import Params, State
from jboltz.checks import check_count, check_distribution, check_key, require
from jboltz.evaluation.annealing import clamped_annealed_importance_sampling
from jboltz.evaluation.examples import Data, EvaluationData, as_examples
from jboltz.evaluation.likelihood import (
    LogPartition,
    MeanLogLikelihood,
    mean_over,
    per_example,
    summary,
)
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.evaluation.log_partitions import (
    Ladders,
    log_partitions,
    missing_intervals_allowed,
    normalized,
)
from jboltz.learning.mean_field import mean_field, variational_free_energy
from jboltz.models.annealed import Annealed, check_exact
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.dbn import DBN, DBNParams
from jboltz.nets.vae import VAE, log_weight
from jboltz.products import full_precision

CLAMPED_RUNGS = 1000
"""Evenly spaced rungs, since a posterior is narrow and far from its base. For layers of
784, 100 and 50 units, ten times as many changed the gap by 0.02 nats."""


def dbn_bounds(
    dbn: DBN,
    params: DBNParams,
    data: Data,
    log_partition: LogPartition,
    key: Key[Array, ""],
    *,
    num_samples: int = 10,
    batch_size: int = 100,
) -> tuple[MeanLogLikelihood, MeanLogLikelihood]:
    """Two lower bounds on the mean log p(v), from K samples of q(h | v) per example.

    With w = p(v, h¹ … hᴸ⁻¹) / q(h¹ … hᴸ⁻¹ | v), where q is the sampled pass upwards,

      ELBO = E log w  ≤  L_K = E log (1/K) Σ_k w_k  ≤  log p(v).

    L_K grows with K and tends to log p(v). The estimates are unbiased. The gap of the
    ELBO is KL(q ‖ p(h | v)). With log Z from annealed importance sampling, which is too
    low on average, the results may exceed log p(v).

    Args:
      dbn: the model.
      params: its parameters, one record per layer.
      data: states of the visible units, or `EvaluationData`.
      log_partition: log Z of the top RBM, `dbn.layers[-1]`.
      key: sample k of example n draws from fold_in(fold_in(key, n), k).
      num_samples: K.
      batch_size: the number of examples computed at a time.

    Returns:
      (ELBO, L_K).

    Reference:
      Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief nets;
      Burda, Grosse & Salakhutdinov (2016), Importance weighted autoencoders.
    """
    check_key(key)
    require(dbn, DirectedModel, "the bounds of a DBN", "dbn")
    for layer in dbn.layers:
        check_exact(layer)
    check_distribution(dbn, params)
    return _two_bounds(
        partial(dbn_log_weight, dbn, params),
        as_examples(data, dbn.domain),
        log_partition,
        key,
        num_samples,
        batch_size,
    )


@full_precision
def dbn_bounds_by_annealing(
    dbn: DBN,
    params: DBNParams,
    data: Data,
    train: State,
    ladders: Ladders,
    *,
    key_anneal: Key[Array, ""],
    key_bounds: Key[Array, ""],
    num_samples: int,
) -> tuple[
    dict[str, LogEstimate], dict[str, tuple[MeanLogLikelihood, MeanLogLikelihood]]
]:
    """`dbn_bounds` with each of the estimates of log Z from `log_partitions`.

    Args:
      train: data; the base of the top RBM is fitted to their codes.

    Returns:
      The estimates of log Z by name, and the two bounds by the name of the estimate.
    """
    annealed = Annealed(dbn.layers[-1])
    up = jax.vmap(dbn.encode, in_axes=(None, 0))
    base = annealed.fit_base(up(params[:-1], train))
    log_z = log_partitions(annealed, params[-1], base, None, ladders, key_anneal)
    first, second = dbn_bounds(
        dbn, params, data, 0.0, key_bounds, num_samples=num_samples
    )
    bounds = {
        name: (normalized(first, z), normalized(second, z)) for name, z in log_z.items()
    }
    return log_z, bounds


def vae_bounds(
    vae: VAE,
    params: Params,
    data: Data,
    key: Key[Array, ""],
    *,
    num_samples: int = 10,
    batch_size: int = 100,
) -> tuple[MeanLogLikelihood, MeanLogLikelihood]:
    """Two lower bounds on the mean log p(v), from K codes of q(z | v) per example.

    They are the bounds of `dbn_bounds`, where arguments and result are explained, with
    w = p(v, z) / q(z | v), which needs no log Z.
    """
    check_key(key)
    return _two_bounds(
        partial(log_weight, vae, params),
        as_examples(data, vae.domain),
        0.0,
        key,
        num_samples,
        batch_size,
    )


def dbm_bound(
    dbm: DBM,
    params: DBMParams,
    data: Data,
    log_partition: LogPartition,
    *,
    tolerance: float = 1e-4,
    max_sweeps: int = 50,
    batch_size: int = 100,
) -> MeanLogLikelihood:
    """A lower bound on the mean log p(v): E_q[−E(v, h)] + H(q) − log Z, by mean field.

    It is a bound even if mean field has not converged. The gap is KL(q ‖ p(h | v)).

    Args:
      dbm: the model.
      params: its parameters.
      data: states of the visible units, or `EvaluationData`.
      log_partition: log Z of the DBM.
      tolerance, max_sweeps: arguments of `mean_field`.
      batch_size: the number of examples computed at a time.
    """

    def bound(v):
        q = mean_field(dbm, params, v, tolerance=tolerance, max_sweeps=max_sweeps)
        return -variational_free_energy(dbm, params, v, q)

    examples = as_examples(data, dbm.domain)
    check_distribution(dbm, params)
    return mean_over(
        "lower bound (ELBO)", bound, examples, log_partition, batch_size=batch_size
    )


@full_precision
def dbm_bound_gap(
    dbm: DBM, params: DBMParams, examples: EvaluationData, key: Key[Array, ""]
) -> float:
    """The mean log p(v) minus `dbm_bound` for a few examples, in nats.

    log p(v) is estimated by annealing the posterior of each example; log Z cancels.
    """
    betas = np.linspace(0, 1, CLAMPED_RUNGS + 1)
    with missing_intervals_allowed():
        clamped = clamped_annealed_importance_sampling(
            dbm, params, betas, examples.values, key
        )
    bound = dbm_bound(dbm, params, examples, 0.0)
    return float(np.mean(clamped.value)) - bound.mean


def _two_bounds(log_weight, examples, log_partition, key, num_samples, batch_size):
    """The means of E log w and of log (1/K) Σ_k w_k, from the same K weights."""
    check_count("num_samples", num_samples, at_least=1)

    def both(example):
        v, key = example
        keys = random.fold_in_range(key, num_samples)
        log_w = jax.lax.map(partial(log_weight, v), keys)
        tightened = jax.nn.logsumexp(log_w) - np.log(num_samples)
        return jnp.stack([jnp.mean(log_w), tightened])

    count = jax.tree.leaves(examples.values)[0].shape[0]
    rows = (examples.values, random.fold_in_range(key, count))
    values = per_example(both, rows, batch_size=batch_size)
    names = ("lower bound (ELBO)", f"lower bound (K = {num_samples})")
    elbo, tightened = (
        summary(name, column, examples, log_partition)
        for name, column in zip(names, values.T, strict=True)
    )
    return elbo, tightened


def dbn_log_weight(
    dbn: DBN, params: DBNParams, v: State, key: Key[Array, ""]
) -> Float[Array, ""]:
    """log p(v, h¹ … hᴸ⁻¹) + log Z − log q(h¹ … hᴸ⁻¹ | v) at one draw from q."""
    directed, top = params[:-1], dbn.layers[-1]
    states = (v, *dbn.sample_layers_up(directed, v, key))
    down = dbn.log_probability_down(directed, states)
    up = dbn.log_probability_up(directed, states)
    return down - up - top.free_energy(params[-1], states[-1])
