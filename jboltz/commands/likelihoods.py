"""How likely a model finds rows, in nats and in the units of the data."""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

import jboltz
from jboltz.base import Batch, EnumerableUnit, Params
from jboltz.checks import cast_states
from jboltz.commands.rows import Table, without_gaps
from jboltz.data.encoding import Encoding
from jboltz.evaluation.diagnostics import free_energy_gap
from jboltz.evaluation.examples import as_examples
from jboltz.evaluation.likelihood import mean_with_error, per_example, summary
from jboltz.evaluation.log_partitions import missing_intervals_allowed
from jboltz.evaluation.partition import num_states
from jboltz.learning.rows import num_rows, take_rows
from jboltz.models.annealed import AnnealedParams
from jboltz.models.rbm import RBM
from jboltz.runs.likelihoods import as_json, say_likelihood
from jboltz.runs.progress import say, with_error

MOST_STATES = 2**20
"""log Z is exact if a layer has at most this many states."""
LADDER_SCALE = 0.2
"""2 900 rungs of annealing, in units of 14 500."""
MOST_PSEUDO = 1000
"""Rows, the first ones, whose pseudo-likelihood is computed."""
LITTLE = 0.1
"""Nats per row that are no gain to speak of."""
CHAIN_STEPS = 400
"""Updates that the judged chains are worth, after as many of warm-up."""


def evaluate(
    rbm: RBM, params: Params, table: Table, num_steps: int, key: Key[Array, ""]
) -> dict[str, Any]:
    """The likelihood of held-out rows, and whether the chains have mixed."""
    key_z, key_chains = jax.random.split(key)
    _, _, traces = jboltz.sample(
        rbm,
        params,
        key_chains,
        warm_up=CHAIN_STEPS * num_steps,
        num_samples=CHAIN_STEPS,
        thinning=num_steps,
        num_chains=100,
        sampler=jboltz.TracedSampler(jboltz.Gibbs(rbm)),
        observe=lambda model, params, state: (),
    )
    train, test = without_gaps(table.train), without_gaps(table.test)
    log_z = log_partition(rbm, params, table.train, key_z)
    found: dict[str, Any] = {
        "log_partition": log_z,
        "verdict": jboltz.convergence_report(traces, num_steps=num_steps),
    }
    if num_rows(test):
        found["held_out"] = likelihood(rbm, params, test, log_z, table.encoding)
        found["judged_by"] = {"rows": num_rows(test), "of": num_rows(table.test)}
    if num_rows(test) > 1:  # One row says nothing of its error.
        found["nats_gained_over_independent_columns"] = gain(
            rbm, params, table.train, test, log_z["value"]
        )
    if (count := min(num_rows(train), num_rows(test))) > 1:
        seen = take_rows(train, slice(count))
        gap = free_energy_gap(rbm, params, test, seen)
        found["judgement"] = judgement(float(gap.gap), float(gap.standard_error))
    return found


def log_partition(
    rbm: RBM, params: Params, rows: Batch, key: Key[Array, ""]
) -> dict[str, Any]:
    """log Z: exact by enumeration, or by annealing from the columns of `rows` alone."""
    if min(map(num_states, rbm.units)) <= MOST_STATES:
        z = float(jax.jit(lambda x: jboltz.model_log_partition(rbm, x))(params))
        return {"by": "enumeration", "value": z, "lower": z, "upper": z}
    annealed, betas = jboltz.Annealed(rbm), jboltz.annealing_ladder(LADDER_SCALE)
    base = annealed.fit_base(rows)
    with missing_intervals_allowed():
        found = jboltz.annealed_importance_sampling(annealed, params, base, betas, key)
    return {"by": f"annealing, {len(betas) - 1} rungs", **as_json(found)}


def likelihood(
    rbm: RBM, params: Params, rows: Batch, log_z: dict[str, Any], encoding: Encoding
) -> dict[str, Any]:
    """The mean log-likelihood of rows, in the units of the data, and the pseudo-log-
    likelihood of the first ones where log Z has no interval and the units allow it.

    Args:
      log_z: what `log_partition` returned.
    """
    ends = (log_z[name] for name in ("value", "lower", "upper"))
    z, lower, upper = (math.nan if x is None else x for x in ends)
    states = as_examples(rows, rbm.domain)
    values = -jboltz.anomaly_scores(rbm, params, rows).values
    values = values - encoding.log_volume(rows.values)
    mean = summary("log-likelihood", values, states, (z, lower, upper))
    found = {"log_likelihood": as_json(mean)}
    if log_z["lower"] is None and isinstance(rbm.visible, EnumerableUnit):
        # Units of finitely many states have no volume.
        first = take_rows(rows, slice(MOST_PSEUDO))
        pseudo = jboltz.pseudo_log_likelihood(rbm, params, first)
        found["pseudo_log_likelihood"] = as_json(pseudo)
    return found


def gain(
    rbm: RBM, params: Params, train: Batch, test: Batch, log_z: float
) -> dict[str, float]:
    """By how much the model finds `test` more likely than independent columns do that
    are fitted to `train`: the mean over rows in nats, and its standard error."""
    annealed = jboltz.Annealed(rbm)
    base = annealed.fit_base(train)
    values = cast_states(test.values, params)

    alone = AnnealedParams(params=params, base=base, beta=jnp.zeros(()))
    whole = dataclasses.replace(alone, beta=jnp.ones(()))

    def free_energies(rung):
        return per_example(partial(annealed.free_energy, rung), values, batch_size=1000)

    shift = float(annealed.base_log_partition(alone)) - log_z
    gains = free_energies(alone) - free_energies(whole) + shift
    return mean_with_error(gains, test.weights)


def say_likelihoods(found: dict[str, Any], rows: str) -> None:
    """The lines of what `likelihood` found of `rows`."""
    for name, numbers in found.items():
        say_likelihood(f"mean {name.replace('_', '-')} of {rows}, in nats", numbers)


def say_gain(found: dict[str, float]) -> None:
    """What the model gains over independent columns, and what to do if it is little."""
    advice = ""
    if found["mean"] <= max(LITTLE, 2 * found["standard_error"]):
        advice = ", so it has not learned how they depend on each other; if they do, "
        advice += "take a higher --learning-rate, more --epochs or more --hidden units"
    say(
        f"That is {with_error(found, 2)} nats per row better than columns that do not "
        f"depend on each other{advice}."
    )


def judgement(gap: float, error: float) -> str:
    """A sentence on overfitting."""
    if gap <= max(1.0, 3 * error):
        return "No sign of overfitting: unseen rows are as likely as those of training."
    return (
        f"The model overfits: held-out rows are {gap:.1f} nats less likely than those "
        "of training. Take fewer epochs or hidden units, or bring more rows."
    )
