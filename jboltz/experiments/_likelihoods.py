"""What the programs that report likelihoods by annealing share."""

import dataclasses
import math
import warnings
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from jboltz.base import Params, State
from jboltz.evaluation.annealing import (
    annealed_importance_sampling,
    ladder,
    raise_log_likelihood,
    reverse_annealed_importance_sampling,
)
from jboltz.evaluation.examples import Examples
from jboltz.evaluation.likelihood import MeanLogLikelihood, log_likelihood
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.experiments import _run

RAISE_CHAINS = 10


def estimates(
    config: Any,
    annealed: Any,
    params: Params,
    base: Params,
    examples: Examples,
    samples: State,
    key: Key[Array, ""],
) -> dict[str, Any]:
    """log Z and the likelihood of `examples`: by annealing up a ladder, up another that
    is `ladder_check` times as long, and down from `samples` of the model; and of some
    examples by RAISE."""
    betas = ladder(config.ladder_scale)
    key_up, key_longer, key_down, key_raise = jax.random.split(key, 4)
    path, num_chains = (annealed, params, base), config.annealed_chains
    with warnings.catch_warnings():
        # Where an interval is missing, `say` tells why.
        warnings.filterwarnings("ignore", message=".*effective samples.*")
        found = {
            "AIS": annealed_importance_sampling(
                *path, betas, key_up, num_chains=num_chains
            )
        }
        if config.ladder_check:
            longer = ladder(config.ladder_scale * config.ladder_check)
            found["AIS, longer ladder"] = annealed_importance_sampling(
                *path, longer, key_longer, num_chains=num_chains
            )
        found["reverse AIS"] = reverse_annealed_importance_sampling(
            *path, betas, samples, key_down
        )
        few = dataclasses.replace(
            examples, values=examples.values[: config.raise_points]
        )
        by_raise = raise_log_likelihood(
            *path, betas, few.values, key_raise, num_chains=RAISE_CHAINS
        )
    likelihoods = {
        name: log_likelihood(annealed.model, params, examples, bounds(z))
        for name, z in found.items()
    }
    same = log_likelihood(annealed.model, params, few, bounds(found["AIS"]))
    return {
        "log_partition": {name: as_json(z) for name, z in found.items()},
        "log_likelihood": {name: as_json(x) for name, x in likelihoods.items()},
        "raise": {
            "num_examples": len(few.values),
            "mean": float(np.mean(by_raise.value)),
            "mean_by_ais": same.mean,
        },
    }


def as_json(estimate: LogEstimate | MeanLogLikelihood) -> dict[str, Any]:
    """Its numbers, but for the weights; None for what there is not."""
    names = ("value", "mean", "standard_error", "lower", "upper", "effective_samples")
    fields = {name: getattr(estimate, name, None) for name in names}
    return {
        name: float(x) if math.isfinite(x) else None
        for name, x in fields.items()
        if x is not None
    }


def bounds(estimate: LogEstimate) -> tuple[float, float, float]:
    """(estimate, lower, upper), as `log_likelihood` takes them."""
    return float(estimate.value), float(estimate.lower), float(estimate.upper)


def report(results: dict[str, Any]) -> None:
    """A line each for the likelihoods, and one for RAISE."""
    for name, found in results["log_likelihood"].items():
        say(f"log-likelihood, {name}", found)
    found = results["raise"]
    _run.say(
        f"the first {found['num_examples']}: {found['mean']:.2f} by RAISE, "
        f"{found['mean_by_ais']:.2f} by AIS"
    )


def say(name: str, found: dict[str, Any]) -> None:
    """A mean with its interval, and its standard error over examples."""
    text = f"{name}: {found['mean']:.2f} ± {found['standard_error']:.2f}"
    lower, upper = found["lower"], found["upper"]
    if lower is None or upper is None:
        text += ", without an interval of log Z: too few effective samples"
    elif lower < upper:
        text += f", between {lower:.2f} and {upper:.2f} by log Z"
    _run.say(text)
