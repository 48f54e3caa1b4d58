"""Several estimates of one log Z, and diagnostics of the chains behind them."""

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
from jboltz.evaluation.settings import Ladders, Tempering
from jboltz.products import full_precision
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.ladders import adapt_ladder, with_ladder
from jboltz.samplers.tempering import ParallelTempering
from jboltz.samplers.traced_sampler import TracedSampler

ADAPTING_ROUNDS = 5
"""The number of rounds in which the ladder of tempered chains adapts in warm-up."""


def log_partitions(
    annealed: AnnealedModel,
    params: Params,
    base: Params,
    samples: State | None,
    ladders: Ladders,
    key: Key[Array, ""],
) -> dict[str, LogEstimate]:
    """log Z by annealing along a ladder, along a longer one, and back from samples.

    Args:
      base: the base of the ladders, such as `annealed.fit_base(training_data)`.
      samples: visible states of the model, where annealing back to the base starts;
        None leaves this estimate out.
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
    """Tempered chains started at `starts`, and their metrics at every step."""
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
    """A context without the warning of few effective samples."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*effective samples.*")
        yield


def chain_quality(metrics: Metrics) -> dict[str, Any]:
    """R-hat and effective samples of the free energy of tempered chains, and swaps."""
    energy = np.asarray(metrics["free_energy"])
    return {
        "r_hat": r_hat(energy),
        "bulk_ess": bulk_ess(energy),
        "acceptance": metrics["acceptance"].mean((0, 1)).tolist(),
        "round_trips": int(metrics["round_trips"].sum()),
    }


def normalized(total: MeanLogLikelihood, log_z: LogEstimate) -> MeanLogLikelihood:
    """`total`, computed with a log Z of 0, minus `log_z` and with its interval."""
    value, lower, upper = map(float, (log_z.value, log_z.lower, log_z.upper))
    return dataclasses.replace(
        total,
        mean=total.mean - value,
        lower=total.mean - upper,
        upper=total.mean - lower,
    )
