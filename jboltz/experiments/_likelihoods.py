"""What the programs that report likelihoods by annealing share."""

import dataclasses
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from jboltz.base import Params, State
from jboltz.data import Dataset
from jboltz.evaluation.annealing import (
    annealed_importance_sampling,
    annealing_ladder,
    reverse_annealed_importance_sampling,
)
from jboltz.evaluation.diagnostics import bulk_ess, r_hat
from jboltz.evaluation.likelihood import MeanLogLikelihood
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.experiments import _checks, _run
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.ladders import adapt_ladder, with_ladder
from jboltz.samplers.tempering import ParallelTempering
from jboltz.samplers.traced_sampler import TracedSampler

ADAPTING_ROUNDS = 5
"""Of the ladder of tempered chains, before what they draw counts."""


def check(config: Any, data: Dataset) -> None:
    """Refuses what no program that reports likelihoods can run.

    Raises:
      ValueError: a field that makes no sense, or does not fit the data.
    """
    _checks.at_least(
        config,
        {"held_out": 0, "ladder_check": 0, "annealed_chains": 2, "num_replicas": 2}
        | {"tempering_steps": 4},
    )
    annealing_ladder(config.ladder_scale)
    _checks.held_out(config, data)


def split(config: Any, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Images to train on, and unseen ones to judge by."""
    if not config.held_out:
        return data.train, data.test
    return data.train[: -config.held_out], data.train[-config.held_out :]


def tempered_chains(
    config: Any,
    annealed: Any,
    params: Params,
    base: Params,
    starts: State,
    key: Key[Array, ""],
) -> tuple[Any, dict[str, Array]]:
    """Tempered chains from `starts` and their metrics, their ladder adapted first."""
    sampler = ParallelTempering(annealed, config.num_replicas)
    key_init, key_adapt, key_run = jax.random.split(key, 3)
    chains = init_chains(sampler, params, starts, key_init)
    chains = adapt_ladder(
        sampler,
        params,
        with_ladder(chains, base=base),
        key_adapt,
        num_steps=-(-config.tempering_steps // ADAPTING_ROUNDS),
        num_rounds=ADAPTING_ROUNDS,
    )
    return run_chains(
        TracedSampler(sampler),
        params,
        chains,
        key_run,
        num_steps=config.tempering_steps,
    )


def log_partitions(
    config: Any,
    annealed: Any,
    params: Params,
    base: Params,
    samples: State | None,
    key: Key[Array, ""],
) -> dict[str, LogEstimate]:
    """log Z by annealing up a ladder, up another that is `ladder_check` times as long,
    and down from `samples` of the model, if there are any."""
    betas = annealing_ladder(config.ladder_scale)
    key_up, key_longer, key_down = jax.random.split(key, 3)
    path, num_chains = (annealed, params, base), config.annealed_chains
    with missing_intervals_allowed():
        found = {
            "AIS": annealed_importance_sampling(
                *path, betas, key_up, num_chains=num_chains
            )
        }
        if config.ladder_check:
            longer = annealing_ladder(config.ladder_scale * config.ladder_check)
            found["AIS, longer ladder"] = annealed_importance_sampling(
                *path, longer, key_longer, num_chains=num_chains
            )
        if samples is not None:
            found["reverse AIS"] = reverse_annealed_importance_sampling(
                *path, betas, samples, key_down
            )
    return found


@contextmanager
def missing_intervals_allowed() -> Iterator[None]:
    """Without the warning of few effective samples: `say` tells of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*effective samples.*")
        yield


def quality(metrics: dict[str, Array]) -> dict[str, Any]:
    """Of tempered chains: R-hat and effective draws of the free energy, swaps."""
    energy = np.asarray(metrics["free_energy"])
    return {
        "r_hat": r_hat(energy),
        "bulk_ess": bulk_ess(energy),
        "acceptance": metrics["acceptance"].mean((0, 1)).tolist(),
        "round_trips": int(metrics["round_trips"].sum()),
    }


def less(total: MeanLogLikelihood, log_z: LogEstimate) -> MeanLogLikelihood:
    """`total`, of which no log Z was taken yet, less `log_z` with its interval."""
    value, lower, upper = map(float, (log_z.value, log_z.lower, log_z.upper))
    return dataclasses.replace(
        total,
        mean=total.mean - value,
        lower=total.mean - upper,
        upper=total.mean - lower,
    )


def as_json(estimate: LogEstimate | MeanLogLikelihood) -> dict[str, Any]:
    """Its numbers, but for the weights; None for what there is not."""
    names = ("value", "mean", "standard_error", "lower", "upper", "effective_samples")
    fields = {name: getattr(estimate, name, None) for name in names}
    return {
        name: float(x) if math.isfinite(x) else None
        for name, x in fields.items()
        if x is not None
    }


def say(name: str, found: dict[str, Any]) -> None:
    """A mean with its interval, and its standard error over examples."""
    text = f"{name}: {found['mean']:.2f} ± {found['standard_error']:.2f}"
    lower, upper = found["lower"], found["upper"]
    if lower is None or upper is None:
        text += ", without an interval of log Z: too few effective samples"
    elif lower < upper:
        text += f", between {lower:.2f} and {upper:.2f} by log Z"
    _run.say(text)


def say_quality(found: dict[str, Any]) -> None:
    """What tempered chains are worth."""
    _run.say(
        f"tempered chains: R-hat {found['r_hat']:.3f}, worth {found['bulk_ess']:.0f} "
        f"draws; neighbours swap with probability {min(found['acceptance']):.2f} or "
        f"more; {found['round_trips']} round trips"
    )
