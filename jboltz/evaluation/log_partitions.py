"""Several estimates of one log Z, and what the samples behind them are worth."""

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from jboltz.abilities import AnnealedModel
from jboltz.base import Metrics, Params, State
from jboltz.evaluation.annealing import (
    annealed_importance_sampling,
    annealing_ladder,
    reverse_annealed_importance_sampling,
)
from jboltz.evaluation.diagnostics import bulk_ess, r_hat
from jboltz.evaluation.likelihood import MeanLogLikelihood
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.ladders import adapt_ladder, with_ladder
from jboltz.samplers.tempering import ParallelTempering
from jboltz.samplers.traced_sampler import TracedSampler

ADAPTING_ROUNDS = 5
"""Rounds in which the ladder of tempered chains adapts, before their draws count."""


def tempered_chains(
    annealed: AnnealedModel,
    params: Params,
    base: Params,
    starts: State,
    key: Key[Array, ""],
    *,
    num_replicas: int,
    num_steps: int,
) -> tuple[State, Metrics]:
    """Tempered chains that start at `starts`; their ladder is adapted first.

    Args:
      base: the base of `annealed`, as from `annealed.fit_base`.
      num_steps: steps of the chains, and about as many before in which the ladder
        adapts.

    Returns:
      The chains, and the metrics of `TracedSampler` at every step.
    """
    sampler = ParallelTempering(annealed, num_replicas)
    key_init, key_adapt, key_run = jax.random.split(key, 3)
    chains = init_chains(sampler, params, starts, key_init)
    chains = adapt_ladder(
        sampler,
        params,
        with_ladder(chains, base=base),
        key_adapt,
        num_steps=-(-num_steps // ADAPTING_ROUNDS),
        num_rounds=ADAPTING_ROUNDS,
    )
    return run_chains(
        TracedSampler(sampler), params, chains, key_run, num_steps=num_steps
    )


def log_partitions(
    annealed: AnnealedModel,
    params: Params,
    base: Params,
    samples: State | None,
    key: Key[Array, ""],
    *,
    ladder_scale: float,
    ladder_check: float,
    num_chains: int,
) -> dict[str, LogEstimate]:
    """log Z by annealing up a ladder, up a longer one, and down from samples.

    Args:
      samples: visible states of the model, from which annealing goes down; None: there
        are none, and the estimate is left out.
      ladder_scale: of `annealing_ladder`.
      ladder_check: how many times as long the longer ladder is; 0 leaves it out.
      num_chains: chains up each ladder.
    """
    betas = annealing_ladder(ladder_scale)
    key_up, key_longer, key_down = jax.random.split(key, 3)
    with missing_intervals_allowed():
        found = {
            "AIS": annealed_importance_sampling(
                annealed, params, base, betas, key_up, num_chains=num_chains
            )
        }
        if ladder_check:
            longer = annealing_ladder(ladder_scale * ladder_check)
            found["AIS, longer ladder"] = annealed_importance_sampling(
                annealed, params, base, longer, key_longer, num_chains=num_chains
            )
        if samples is not None:
            found["reverse AIS"] = reverse_annealed_importance_sampling(
                annealed, params, base, betas, samples, key_down
            )
    return found


@contextmanager
def missing_intervals_allowed() -> Iterator[None]:
    """Without the warning of few effective samples: the interval is then missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*effective samples.*")
        yield


def chain_quality(metrics: Metrics) -> dict[str, Any]:
    """R-hat and effective draws of the free energy of tempered chains, and swaps."""
    energy = np.asarray(metrics["free_energy"])
    return {
        "r_hat": r_hat(energy),
        "bulk_ess": bulk_ess(energy),
        "acceptance": metrics["acceptance"].mean((0, 1)).tolist(),
        "round_trips": int(metrics["round_trips"].sum()),
    }


def normalized(total: MeanLogLikelihood, log_z: LogEstimate) -> MeanLogLikelihood:
    """`total`, taken with a log Z of 0, less `log_z`; the interval is that of log Z."""
    value, lower, upper = map(float, (log_z.value, log_z.lower, log_z.upper))
    return dataclasses.replace(
        total,
        mean=total.mean - value,
        lower=total.mean - upper,
        upper=total.mean - lower,
    )
