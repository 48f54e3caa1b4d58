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
from jboltz.products import full_precision
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.ladders import adapt_ladder, with_ladder
from jboltz.samplers.tempering import ParallelTempering
from jboltz.samplers.traced_sampler import TracedSampler

ADAPTING_ROUNDS = 5
"""Rounds in which the ladder of tempered chains adapts, before their draws count."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ladders:
    """How log Z is estimated by annealing up from a base."""

    ladder_scale: float = 1.0
    """Rungs of the ladders of annealing, in units of 14 500."""
    ladder_check: float = 10.0
    """A second, longer ladder for log Z, in units of the first; 0 goes without."""
    annealed_chains: int = 100
    """Chains of each run along a ladder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tempering(Ladders):
    """How log Z is estimated by annealing up, and down from tempered chains."""

    num_replicas: int = 20
    """Replicas of the tempered chains."""
    tempering_steps: int = 1000
    """Steps of the tempered chains, after as many in which their ladder adapts."""


def log_partitions(
    annealed: AnnealedModel,
    params: Params,
    base: Params,
    samples: State | None,
    ladders: Ladders,
    key: Key[Array, ""],
) -> dict[str, LogEstimate]:
    """log Z by annealing up a ladder, up a longer one, and down from samples.

    Args:
      base: the base of `annealed`, as from `annealed.fit_base`.
      samples: visible states of the model, from which annealing goes down; None: there
        are none, and the estimate is left out.
    """
    betas, num_chains = annealing_ladder(ladders.ladder_scale), ladders.annealed_chains
    key_up, key_longer, key_down = jax.random.split(key, 3)
    with missing_intervals_allowed():
        found = {
            "AIS": annealed_importance_sampling(
                annealed, params, base, betas, key_up, num_chains=num_chains
            )
        }
        if ladders.ladder_check:
            longer = annealing_ladder(ladders.ladder_scale * ladders.ladder_check)
            found["AIS, longer ladder"] = annealed_importance_sampling(
                annealed, params, base, longer, key_longer, num_chains=num_chains
            )
        if samples is not None:
            found["reverse AIS"] = reverse_annealed_importance_sampling(
                annealed, params, base, betas, samples, key_down
            )
    return found


@full_precision
def tempered_chains(
    annealed: AnnealedModel,
    params: Params,
    base: Params,
    starts: State,
    tempering: Tempering,
    key: Key[Array, ""],
) -> tuple[State, Metrics]:
    """Tempered chains that start at `starts`, and their metrics at every step."""
    sampler = ParallelTempering(annealed, tempering.num_replicas)
    key_init, key_adapt, key_run = jax.random.split(key, 3)
    chains = init_chains(sampler, params, starts, key_init)
    steps = tempering.tempering_steps
    chains = adapt_ladder(
        sampler,
        params,
        with_ladder(chains, base=base),
        key_adapt,
        num_steps=-(-steps // ADAPTING_ROUNDS),
        num_rounds=ADAPTING_ROUNDS,
    )
    return run_chains(TracedSampler(sampler), params, chains, key_run, num_steps=steps)


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
