"""Likelihoods by annealing: what a run is asked for, records and says of them."""

import math
from typing import Any

import numpy as np

from jboltz.data import Dataset, hold_out
from jboltz.errors import InvalidValue
from jboltz.evaluation.likelihood import MeanLogLikelihood
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.evaluation.settings import Ladders
from jboltz.runs import checks
from jboltz.runs.families import AnnealingConfig
from jboltz.runs.progress import confidence_interval, say, with_error


def check_ladders(config: Ladders) -> None:
    """Refuses ladders of more rungs than anybody waits for."""
    if config.ladder_scale * config.ladder_check > 1000:
        raise InvalidValue(
            f"`ladder_check` is {config.ladder_check} and `ladder_scale` "
            f"{config.ladder_scale}, but their product is at most 1000, 14.5 million "
            "rungs; make one smaller."
        )


def check(config: AnnealingConfig, data: Dataset) -> None:
    """Refuses, with a ValueError, what no program that reports likelihoods can run."""
    check_ladders(config)
    checks.held_out(config.held_out, config.batch_size, data)


def split(config: AnnealingConfig, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Images to train on, and unseen ones to judge by."""
    if config.held_out:
        data = hold_out(data, config.held_out)
    return data.train, data.test


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
    """A mean, its standard error over examples, and its interval."""
    text = f"{name}: {with_error(found, 2)}"
    if interval := confidence_interval(found):
        text += " (standard error), 95 % interval {:.2f} to {:.2f}".format(*interval)
    elif found["lower"] is None or found["upper"] is None:
        text += ", without an interval of log Z: too few effective samples"
    say(text)


def say_chain_quality(found: dict[str, Any]) -> None:
    """What tempered chains are worth."""
    say(
        f"tempered chains: R-hat {found['r_hat']:.3f}, worth {found['bulk_ess']:.0f} "
        f"draws; neighbours swap with probability {min(found['acceptance']):.2f} or "
        f"more; {found['round_trips']} round trips"
    )
