"""Likelihoods by annealing: what a run is asked for, records and says of them."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Array, Key

from jboltz.abilities import AnnealedModel
from jboltz.base import Metrics, Params, State
from jboltz.data import Dataset, split_validation
from jboltz.evaluation.annealing import annealing_ladder
from jboltz.evaluation.likelihood import MeanLogLikelihood
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.evaluation.log_partitions import (
    chain_quality,
    log_partitions,
    tempered_chains,
)
from jboltz.runs import checks
from jboltz.runs.config import TrainingConfig
from jboltz.runs.progress import say


@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderConfig(TrainingConfig):
    """What a program that anneals up a ladder can be asked for besides."""

    ladder_scale: float = 1.0
    """Rungs of the ladders of annealing, in units of 14 500."""
    ladder_check: float = 10.0
    """A second, longer ladder for log Z, in units of the first; 0 goes without."""
    annealed_chains: int = 100
    """Chains of each run along a ladder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnealingConfig(LadderConfig):
    """What a program that anneals up and down can be asked for besides."""

    held_out: int = 0
    """Training images, the last ones, to be judged by in place of the test set, which
    is then not read: for choosing settings."""
    num_replicas: int = 20
    """Replicas of the tempered chains."""
    tempering_steps: int = 1000
    """Steps of the tempered chains, after as many in which their ladder adapts."""


def check(config: AnnealingConfig, data: Dataset) -> None:
    """Refuses what no program that reports likelihoods can run.

    Raises:
      ValueError: a field that makes no sense, or does not fit the data.
    """
    checks.at_least(
        config,
        {"held_out": 0, "ladder_check": 0, "annealed_chains": 2, "num_replicas": 2}
        | {"tempering_steps": 4},
    )
    annealing_ladder(config.ladder_scale)
    checks.held_out(config.held_out, config.batch_size, data)


def split(config: AnnealingConfig, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Images to train on, and unseen ones to judge by."""
    if not config.held_out:
        return data.train, data.test
    return split_validation(data, config.held_out)


def sample_tempered(
    config: AnnealingConfig,
    annealed: AnnealedModel,
    params: Params,
    base: Params,
    starts: State,
    key: Key[Array, ""],
) -> tuple[State, Metrics]:
    """`tempered_chains`, as many as `config` asks for."""
    return tempered_chains(
        annealed,
        params,
        base,
        starts,
        key,
        num_replicas=config.num_replicas,
        num_steps=config.tempering_steps,
    )


def estimate_log_partition(
    config: AnnealingConfig,
    annealed: AnnealedModel,
    params: Params,
    base: Params,
    starts: State,
    *,
    key_temper: Key[Array, ""],
    key_anneal: Key[Array, ""],
) -> tuple[dict[str, LogEstimate], dict[str, Any]]:
    """`log_partitions`, annealing down from tempered chains that start at `starts`.

    Returns:
      The estimates by name, and the quality of the tempered chains.
    """
    tempered, metrics = sample_tempered(
        config, annealed, params, base, starts, key_temper
    )
    found = log_partitions(
        annealed,
        params,
        base,
        tempered.visible,
        key_anneal,
        ladder_scale=config.ladder_scale,
        ladder_check=config.ladder_check,
        num_chains=config.annealed_chains,
    )
    return found, chain_quality(metrics)


def as_json(estimate: LogEstimate | MeanLogLikelihood) -> dict[str, Any]:
    """The numbers of an estimate without its weights; None for those that are not
    finite."""
    names = ("value", "mean", "standard_error", "lower", "upper", "effective_samples")
    fields = {name: getattr(estimate, name, None) for name in names}
    return {
        name: float(x) if math.isfinite(x) else None
        for name, x in fields.items()
        if x is not None
    }


def say_likelihood(name: str, found: dict[str, Any]) -> None:
    """A mean with its interval, and its standard error over examples."""
    text = f"{name}: {found['mean']:.2f} ± {found['standard_error']:.2f}"
    lower, upper = found["lower"], found["upper"]
    if lower is None or upper is None:
        text += ", without an interval of log Z: too few effective samples"
    elif lower < upper:
        text += f", between {lower:.2f} and {upper:.2f} by log Z"
    say(text)


def say_chain_quality(found: dict[str, Any]) -> None:
    """What tempered chains are worth."""
    say(
        f"tempered chains: R-hat {found['r_hat']:.3f}, worth {found['bulk_ess']:.0f} "
        f"draws; neighbours swap with probability {min(found['acceptance']):.2f} or "
        f"more; {found['round_trips']} round trips"
    )
