"""Convergence of chains: R-hat, effective sample size, and a report in words.

A trace has one number per chain and step, (chains, steps), such as an energy or a
moment of v. Everything is computed on the host in float64.

Reference:
  Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Rank-normalization, folding,
  and localization: an improved R-hat for assessing convergence of MCMC; Decelle,
  Furtlehner & Seoane (2021), Equilibrium and non-equilibrium regimes in the learning
  of restricted Boltzmann machines.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from flax import struct
from jaxtyping import Array, Real

from jboltz.base import FreeEnergyModel, Params, record
from jboltz.checks import check_count, check_params
from jboltz.errors import InvalidType, InvalidValue
from jboltz.evaluation.examples import Data, as_examples
from jboltz.evaluation.likelihood import (
    domain_of,
    per_example,
    weighted_mean_and_error,
)
from jboltz.evaluation.log_estimate import library_of
from jboltz.learning.traced import PREFIX

Trace: TypeAlias = Real[Any, "chains steps"]
Traces: TypeAlias = Mapping[str, Trace]
"""Traces by name."""

MOST_R_HAT = 1.01
LEAST_ESS = 400
"""Both numbers are from Vehtari et al., section 4."""

LEAST_POINTS = 100
"""The points per chain with which R-hat of independent draws is within 0.01 of 1."""

MOST_UPDATES = 10
"""The longest autocorrelation time at equilibrium, in updates."""


def r_hat(trace: Trace) -> float:
    """The larger rank-normalised split R-hat of the trace and of |trace − median|.

    R-hat is √(var⁺/W): each chain is split in halves, var⁺ is the variance over all
    halves, and W the variance within them. It is near 1 if chains do not differ.
    |trace − median| detects chains with different spread.

    Args:
      trace: one number per step of each chain, (chains, steps).

    Raises:
      ValueError: the trace has one chain, fewer than 4 steps, values that are not
        finite, or equal values only.

    Example:
      >>> chains = np.random.default_rng(0).normal(size=(4, 1000))
      >>> r_hat(chains) < 1.01
      True
    """
    halves = _split(_checked(trace, least_chains=2))
    folded = np.abs(halves - np.median(halves))
    return max(_plain_r_hat(_normal_scores(x)) for x in (halves, folded))


def bulk_ess(trace: Trace) -> float:
    """The effective sample size of the rank-normalised trace.

    It raises the errors of `r_hat`, but accepts one chain.
    """
    return _ess(_normal_scores(_split(_checked(trace))))


def tail_ess(trace: Trace) -> float:
    """The smaller effective sample size of the 5 % and 95 % quantiles.

    It raises the errors of `bulk_ess`.
    """
    trace = _checked(trace)
    quantiles = np.quantile(trace, (0.05, 0.95))
    return min(_ess(_split((trace <= q).astype(float))) for q in quantiles)


def autocorrelation_time(trace: Trace) -> float:
    """The integrated autocorrelation time τ = 1 + 2 Σ_t ρ_t, in steps of the trace.

    For a mean, n steps are worth n/τ independent draws. The sum is truncated by Geyer's
    rule. Lasting differences between chains increase τ.

    It raises the errors of `bulk_ess`.
    """
    trace = _checked(trace)
    return trace.size / _ess(_split(trace))


def training_traces(
    histories: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """The traces of a run with `TracedEstimator`, for `convergence_report`.

    The mean over chains is subtracted at each update, since all chains move when the
    parameters do. The metric `contrast` shows whether all chains lag behind.

    Args:
      histories: the list that `fit` returns, or `[history]` from `fit_stream`.

    Raises:
      ValueError: there are no traces in the histories.
    """
    names = [name for name in histories[-1] if name.startswith(PREFIX)]
    if not names:
        raise InvalidValue(
            f"`histories` hold {sorted(histories[-1])} but metrics named {PREFIX}… are "
            "needed; wrap the estimator: "
            "`TracedEstimator(PersistentContrastiveDivergence(…))`."
        )
    traces = {}
    for name in names:
        values = np.concatenate([history[name] for history in histories], dtype=float)
        values -= values.mean(axis=1, keepdims=True)
        traces[name.removeprefix(PREFIX)] = values.T
    return traces


def convergence_report(
    traces: Traces,
    *,
    num_steps: int,
    spacing: int | None = None,
    contrast: Real[Any, " updates"] | None = None,
) -> str:
    """A sentence on whether chains of `num_steps` steps per update are at equilibrium.

    "Out of equilibrium": an autocorrelation time is above 10 updates, R-hat is above
    1.01, or the free energies of data and chains differ by more than one standard
    deviation over the chains. "Too short to judge": a chain has fewer than 100 points,
    or fewer steps than 100 updates, or all chains are worth fewer than 400 draws.

    Args:
      traces: the metrics of a `TracedSampler` at fixed parameters, or the traces of a
        training run (`training_traces`). Constant traces are left out.
      num_steps: k, the kernel steps per update.
      spacing: the kernel steps between points of a trace; None is k, as in training.
      contrast: the metric ⟨F⟩_data − ⟨F⟩_chains of PCD at the same updates. It needs
        the trace `free_energy`.

    Raises:
      ValueError: there is one chain, no trace, or one that is not finite.
    """
    if not isinstance(traces, Mapping):
        raise InvalidType(
            f"`traces` is {traces!r} but a dictionary of traces, (chains, steps) each, "
            "is needed; pass the metrics of a `TracedSampler`."
        )
    spacing = num_steps if spacing is None else spacing
    check_count("num_steps", num_steps, at_least=1)
    check_count("spacing", spacing, at_least=1)
    checked = {name: _as_trace(trace, 2) for name, trace in traces.items()}
    if not checked:
        raise InvalidValue("`traces` is empty but a report needs at least one trace.")
    num_chains, num_points = next(iter(checked.values())).shape
    least = max(
        LEAST_POINTS,
        -(-LEAST_POINTS * num_steps // spacing),
        -(-LEAST_ESS // num_chains),
    )
    if num_points < least:
        return (
            f"Too short to judge: {num_points} points a chain, and at least {least} "
            f"are needed of {num_chains} chains with k = {num_steps}."
        )
    moving = {name: x for name, x in checked.items() if np.ptp(x) > 0}
    if not moving:
        return "Nothing to judge: no trace changes, within a chain or between chains."
    worst_r, r_name = max((r_hat(x), name) for name, x in moving.items())
    tau, tau_name = max((autocorrelation_time(x), name) for name, x in moving.items())
    ess = min(min(bulk_ess(x), tail_ess(x)) for x in moving.values())
    steps = tau * spacing
    reasons = []
    if steps > MOST_UPDATES * num_steps:
        reasons.append(
            f"the autocorrelation time of {tau_name} is {steps:.3g} steps, "
            f"or {steps / num_steps:.3g} updates of training with k = {num_steps}"
        )
    if worst_r > MOST_R_HAT:
        reasons.append(f"R-hat of {r_name} is {worst_r:.4g}, above {MOST_R_HAT}")
    shift = _shift(contrast, checked)
    if abs(shift) > 1:
        reasons.append(
            f"the free energies of data and chains differ by {shift:.2g} standard "
            "deviations"
        )
    if reasons:
        return (
            f"Out of equilibrium: {'; '.join(reasons)}. Take more steps an update, a "
            "lower learning rate, or a sampler that mixes better."
        )
    if ess < LEAST_ESS:
        return (
            f"Too short to judge: {num_points} points of {num_chains} chains are worth "
            f"less than {LEAST_ESS} independent draws; record more."
        )
    return (
        f"No sign of chains out of equilibrium: R-hat is at most {worst_r:.4g}, the "
        f"longest autocorrelation time, of {tau_name}, {steps:.3g} steps with "
        f"k = {num_steps}, and the {num_chains} chains are worth {ess:.3g} draws."
    )


@record
class FreeEnergyGap:
    """⟨F⟩_validation − ⟨F⟩_train with its standard error, in nats."""

    gap: float | Array
    standard_error: float | Array
    binarisation: str = struct.field(pytree_node=False)


def free_energy_gap(
    model: FreeEnergyModel, params: Params, validation: Data, train: Data
) -> FreeEnergyGap:
    """⟨F⟩_validation − ⟨F⟩_train, which grows with overfitting; log Z cancels.

    A part of the training set as large as the validation set is enough.

    Raises:
      ValueError: data are gray for binary units, or the binarisations differ.
    """
    sets = [
        as_examples(data, domain_of(model), name)
        for name, data in (("validation", validation), ("train", train))
    ]
    if sets[0].binarisation != sets[1].binarisation:
        raise InvalidValue(
            f"`validation` is binarised as {sets[0].binarisation!r} but `train` as "
            f"{sets[1].binarisation!r}, which cannot be compared; treat both alike."
        )
    check_params(model, params)
    free_energy = partial(model.free_energy, params)
    (mean, error), (train_mean, train_error) = (
        weighted_mean_and_error(
            per_example(free_energy, x.values, batch_size=1000), x.weights
        )
        for x in sets
    )
    return FreeEnergyGap(
        gap=mean - train_mean,
        standard_error=library_of(error).hypot(error, train_error),
        binarisation=sets[0].binarisation,
    )


def _as_trace(trace, least_chains):
    array = np.asarray(trace, np.float64)
    if array.ndim != 2 or array.shape[0] < least_chains:
        raise InvalidValue(
            f"`trace` has shape {array.shape} but needs (chains, steps), with at least "
            f"{least_chains} chain(s); run more chains, from different starts."
        )
    if not np.isfinite(array).all():
        raise InvalidValue(
            "`trace` has NaN or infinite values but diagnostics need finite ones; look "
            "for the step at which the chains diverged."
        )
    return array


def _checked(trace, least_chains=1):
    array = _as_trace(trace, least_chains)
    if array.shape[1] < 4:
        raise InvalidValue(
            f"`trace` has {array.shape[1]} steps, too short to judge: at least 4 are "
            f"needed, and {LEAST_POINTS} to rely on them."
        )
    if np.ptp(array) == 0:
        raise InvalidValue(
            f"All values of `trace` are {array[0, 0]:.6g} but diagnostics need a "
            "quantity that varies; follow another one."
        )
    return array


def _split(trace):
    """The first and the last half of each chain as two chains."""
    half = trace.shape[1] // 2
    return np.concatenate([trace[:, :half], trace[:, -half:]])


def _normal_scores(trace):
    """Φ⁻¹((rank − 3/8)/(count + 1/4)); equal values have their mean rank."""
    _, index, counts = np.unique(trace, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - 0.5 * (counts - 1)
    quantile = NormalDist().inv_cdf
    scores = [quantile(p) for p in (ranks - 0.375) / (trace.size + 0.25)]
    return np.array(scores)[index].reshape(trace.shape)


def _plain_r_hat(trace):
    length = trace.shape[1]
    within = np.mean(np.var(trace, axis=1, ddof=1))
    between = np.var(np.mean(trace, axis=1), ddof=1)
    if (np.ptp(trace, axis=1) == 0).all():
        return float("inf")
    return float(np.sqrt(between / within + (length - 1) / length))


def _ess(trace):
    """The count over τ; the count itself if the trace is constant."""
    count, length = trace.size, trace.shape[1]
    if np.ptp(trace) == 0:
        return float(count)
    covariance = _autocovariance(trace).mean(axis=0)
    within = covariance[0] * length / (length - 1)
    total = covariance[0] + np.var(np.mean(trace, axis=1), ddof=1)
    rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    # Geyer: in a reversible chain, sums of neighbours are positive and decrease.
    num_pairs = max((length - 1) // 2, 1)
    pairs = rho[: 2 * num_pairs].reshape(num_pairs, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    cut = negative[0] if negative.size else num_pairs - 1
    tau = 2 * np.minimum.accumulate(pairs[:cut]).sum() - 1 + max(rho[2 * cut], 0.0)
    # For antithetic chains the bound is log10(count) times the count.
    return float(count / max(tau, 1 / np.log10(count)))


def _autocovariance(trace):
    """The autocovariance at lags 0 to length − 1, divided by the length."""
    length = trace.shape[1]
    centred = trace - trace.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, n=2 * length, axis=1)
    products = np.fft.irfft(np.abs(spectrum) ** 2, n=2 * length, axis=1)
    return products[:, :length] / length


def _shift(contrast, traces):
    """The mean contrast over the standard deviation of the chains' free energies."""
    if contrast is None:
        return 0.0
    if "free_energy" not in traces:
        raise InvalidValue(
            f"`contrast` is given but `traces` has {sorted(traces)}; pass the trace "
            "`free_energy` too, whose deviation measures the contrast."
        )
    deviation = float(np.std(traces["free_energy"], ddof=1))
    mean = float(np.mean(np.asarray(contrast, np.float64)))
    # If all chains have one free energy, any contrast is infinitely many deviations.
    return mean / deviation if deviation > 0 else mean * float("inf") if mean else 0.0
