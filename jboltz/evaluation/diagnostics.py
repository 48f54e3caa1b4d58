"""Convergence of chains: R-hat, effective sample size, and a report in words.

A trace is one number a chain and step, (chains, steps): of an energy, or of a moment
of v. Everything here is computed on the host, in float64.

Reference:
  Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Rank-normalization, folding,
  and localization: an improved R-hat for assessing convergence of MCMC; Decelle,
  Furtlehner & Seoane (2021), Equilibrium and non-equilibrium regimes in the learning
  of restricted Boltzmann machines.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from flax import struct
from jaxtyping import Array, Real

from jboltz.base import FreeEnergyModel, Params, record
from jboltz.checks import check_params
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
"""By name."""

MOST_R_HAT = 1.01
LEAST_ESS = 400
"""Both numbers are those of Vehtari et al., section 4."""

LEAST_POINTS = 100
"""The points that a chain needs: R-hat of independent draws is within 0.01 of 1."""

MOST_UPDATES = 10
"""Updates that a chain may take to forget where it was."""


def r_hat(trace: Trace) -> float:
    """The larger rank-normalised split R-hat, of the trace and of |trace − median|.

    √(var⁺/W), the spread of all halves of chains together over that within them: 1 of
    chains that cannot be told apart. The folded trace finds chains of unequal spread.

    Raises:
      ValueError: one chain, less than 4 steps, not finite, or all values equal.

    Example:
      >>> chains = np.random.default_rng(0).normal(size=(4, 1000))
      >>> r_hat(chains) < 1.01
      True
    """
    halves = _split(_checked(trace, least_chains=2))
    folded = np.abs(halves - np.median(halves))
    return max(_plain_r_hat(_normal_scores(x)) for x in (halves, folded))


def bulk_ess(trace: Trace) -> float:
    """The effective sample size of the rank-normalised trace: of its location.

    Raises as `r_hat` does, but takes one chain.
    """
    return _ess(_normal_scores(_split(_checked(trace))))


def tail_ess(trace: Trace) -> float:
    """The smaller effective sample size of its quantiles of 5 % and 95 %.

    Raises as `bulk_ess` does.
    """
    trace = _checked(trace)
    quantiles = np.quantile(trace, (0.05, 0.95))
    return min(_ess(_split((trace <= q).astype(float))) for q in quantiles)


def autocorrelation_time(trace: Trace) -> float:
    """The integrated autocorrelation time τ = 1 + 2 Σ_t ρ_t, in steps of the trace.

    Chains of n steps tell as much of a mean as n/τ independent draws. The sum is cut
    off by Geyer's rule; what tells chains apart for good counts as correlation.

    Raises as `bulk_ess` does.
    """
    trace = _checked(trace)
    return trace.size / _ess(_split(trace))


def training_traces(
    histories: Sequence[Mapping[str, np.ndarray]], *, last: int | None = None
) -> dict[str, np.ndarray]:
    """The traces of a run with `TracedEstimator`, for `convergence_report`.

    What all chains have in common at an update is taken out: parameters move in
    training and take all chains along. Whether they lag behind together, the contrast
    tells.

    Args:
      histories: as `fit` returns them; of `fit_stream`, in a list.
      last: the number of updates to keep, at the end; all by default.

    Raises:
      ValueError: there are no traces in the histories, or `last` is below 1.
    """
    names = [name for name in histories[-1] if name.startswith(PREFIX)]
    if not names or (last is not None and last < 1):
        raise InvalidValue(
            f"`last` is {last} and the histories hold {sorted(histories[-1])}, but at "
            f"least 1 update and metrics named {PREFIX}… are needed; wrap the "
            "estimator: `TracedEstimator(PersistentContrastiveDivergence(…))`."
        )
    traces = {}
    for name in names:
        values = np.concatenate([history[name] for history in histories])
        values = values[0 if last is None else -last :].astype(np.float64)
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
    """One sentence on whether chains of `num_steps` steps an update are in equilibrium.

    Out of it, if a chain takes more than 10 updates to forget where it was, if R-hat
    is above 1.01, or if the free energies of data and chains differ by more than their
    standard deviation over chains. Too short to judge, if a chain has less than 100
    points or has seen less than 100 updates' worth of steps, or if all together are
    worth less than 400 draws.

    Args:
      traces: the metrics of a `TracedSampler`, of chains at fixed parameters, or those
        of a training run (`training_traces`). Those that never change are left out.
      num_steps: k, kernel steps an update.
      spacing: kernel steps between two points of a trace; k by default, as in training.
      contrast: ⟨F⟩_data − ⟨F⟩_chains of the same updates, as PCD reports it; needs the
        trace `free_energy`.

    Raises:
      ValueError: one chain, no trace, or one that is not finite.
    """
    if not isinstance(traces, Mapping):
        raise InvalidType(
            f"`traces` is {traces!r} but a dictionary of traces, (chains, steps) each, "
            "is needed; pass the metrics of a `TracedSampler`."
        )
    spacing = num_steps if spacing is None else spacing
    if num_steps < 1 or spacing < 1:
        raise InvalidValue(
            f"`num_steps` is {num_steps} and `spacing` {spacing} but both need to be "
            "at least 1 kernel step."
        )
    checked = {name: _as_trace(trace, 2) for name, trace in traces.items()}
    if not checked:
        raise InvalidValue("`traces` is empty but a verdict needs at least one trace.")
    num_chains, num_points = next(iter(checked.values())).shape
    least = max(LEAST_POINTS, -(-LEAST_POINTS * num_steps // spacing))
    least = max(least, -(-LEAST_ESS // num_chains))
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
            f"{steps / num_steps:.3g} updates of k = {num_steps}"
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
    """⟨F⟩_validation − ⟨F⟩_train, in nats: log Z cancels."""

    gap: float | Array
    standard_error: float | Array
    binarisation: str = struct.field(pytree_node=False)


def free_energy_gap(
    model: FreeEnergyModel,
    params: Params,
    validation: Data,
    train: Data,
    *,
    batch_size: int = 1000,
) -> FreeEnergyGap:
    """F of held-out examples less F of training examples: it grows with overfitting.

    A part of the training set, as large as the validation set, will do.

    Raises:
      ValueError: gray data for binary units, or two binarisations.
    """
    sets = [
        as_examples(data, domain_of(model), name)
        for name, data in (("validation", validation), ("train", train))
    ]
    if sets[0].binarisation != sets[1].binarisation:
        raise InvalidValue(
            f"`validation` is binarised as {sets[0].binarisation!r} but `train` as "
            f"{sets[1].binarisation!r}, and only likes compare; treat both alike."
        )
    check_params(model, params)
    (mean, error), (train_mean, train_error) = (
        weighted_mean_and_error(
            per_example(
                lambda v: model.free_energy(params, v), x.values, batch_size=batch_size
            ),
            x.weights,
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
    """Each chain as two, its first and its last half."""
    half = trace.shape[1] // 2
    return np.concatenate([trace[:, :half], trace[:, -half:]])


def _normal_scores(trace):
    """Φ⁻¹((rank − 3/8)/(count + 1/4)), with the mean rank where values are equal."""
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
    """The count over τ; the whole count of a trace without variance, as of a quantile
    that every draw is below."""
    count, length = trace.size, trace.shape[1]
    if np.ptp(trace) == 0:
        return float(count)
    covariance = _autocovariance(trace).mean(axis=0)
    within = covariance[0] * length / (length - 1)
    total = covariance[0] + np.var(np.mean(trace, axis=1), ddof=1)
    rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    # Geyer: sums of neighbours are positive and fall, of any reversible chain.
    num_pairs = max((length - 1) // 2, 1)
    pairs = rho[: 2 * num_pairs].reshape(num_pairs, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    cut = negative[0] if negative.size else num_pairs - 1
    tau = 2 * np.minimum.accumulate(pairs[:cut]).sum() - 1 + max(rho[2 * cut], 0.0)
    # Antithetic chains: no more than log10(count) draws for one.
    return float(count / max(tau, 1 / np.log10(count)))


def _autocovariance(trace):
    """At lags 0 to length − 1, each divided by the length."""
    length = trace.shape[1]
    centred = trace - trace.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, n=2 * length, axis=1)
    products = np.fft.irfft(np.abs(spectrum) ** 2, n=2 * length, axis=1)
    return products[:, :length] / length


def _shift(contrast, traces):
    """The contrast in standard deviations of the free energies of the chains."""
    if contrast is None:
        return 0.0
    if "free_energy" not in traces:
        raise InvalidValue(
            f"`contrast` is given but `traces` has {sorted(traces)}, and the trace "
            "`free_energy` is its measure; pass that too."
        )
    deviation = float(np.std(traces["free_energy"], ddof=1))
    mean = float(np.mean(np.asarray(contrast, np.float64)))
    # Chains all at one free energy are infinitely far from data at another.
    return mean / deviation if deviation > 0 else mean * float("inf") if mean else 0.0
