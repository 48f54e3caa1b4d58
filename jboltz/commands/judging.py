"""How likely a model finds rows, in nats and in the units of the data."""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

import jboltz
from jboltz.base import Batch, EnumerableUnit, Params, State
from jboltz.commands import tables
from jboltz.commands.tables import Table
from jboltz.commands.train import Config
from jboltz.evaluation.diagnostics import free_energy_gap
from jboltz.evaluation.examples import EvaluationData
from jboltz.evaluation.likelihood import per_example, summary
from jboltz.evaluation.log_partitions import missing_intervals_allowed
from jboltz.evaluation.partition import num_states
from jboltz.learning.rows import num_rows, take_rows
from jboltz.models.rbm import RBM
from jboltz.runs.likelihoods import as_json, say_likelihood
from jboltz.units.start import start_of

MOST_STATES = 2**14
"""log Z is exact if a layer has at most this many states."""
MOST_PSEUDO = 1000
"""Rows, the first ones, whose pseudo-likelihood is computed."""
CHAIN_STEPS = 400
"""Updates that the judged chains are worth, after as many of warm-up."""


def evaluate(
    config: Config, table: Table, rbm: RBM, params: Params, key: Key[Array, ""]
) -> dict[str, Any]:
    """The likelihood of held-out rows beside that of columns alone, and diagnostics."""
    key_z, key_chains = jax.random.split(key)
    log_z = log_partition(config, rbm, params, table.train, key_z)
    _, _, metrics = jboltz.sample(
        rbm,
        params,
        key_chains,
        warm_up=CHAIN_STEPS * config.num_steps,
        num_samples=CHAIN_STEPS,
        thinning=config.num_steps,
        num_chains=config.num_chains,
        sampler=jboltz.TracedSampler(jboltz.Gibbs(rbm)),
        observe=observe_nothing,
    )
    traces = {name: np.asarray(x).T for name, x in metrics.items()}
    verdict = jboltz.convergence_report(traces, num_steps=config.num_steps)
    found: dict[str, Any] = {"log_partition": log_z, "verdict": verdict}
    train, test = tables.complete(table.train), tables.complete(table.test)
    count = min(num_rows(train), num_rows(test))
    if count:
        unseen = tables.judged(table.encoding, test, config.seed)
        seen = tables.judged(
            table.encoding, take_rows(train, slice(count)), config.seed
        )
        gap = free_energy_gap(rbm, params, unseen, seen)
        found["held_out"] = {
            "rows": f"{num_rows(test)} held-out rows{unseen.binarisation}",
            **likelihood(rbm, params, unseen, log_z, table.encoding.log_volume),
            "columns_alone": columns_alone(table, unseen),
        }
        above, error = float(gap.gap), float(gap.standard_error)
        words = judgement(above, error)
        gap = {"gap": above, "standard_error": error, "judgement": words}
        found["free_energy_gap"] = gap
    return found


def observe_nothing(model: RBM, params: Params, state: State) -> tuple[()]:
    """Keeps no state of a chain: its metrics are looked at."""
    del model, params, state
    return ()


def log_partition(
    config: Config, rbm: RBM, params: Params, rows: Batch, key: Key[Array, ""]
) -> dict[str, Any]:
    """log Z: exact by enumeration, or by annealing from the columns of `rows` alone."""
    if min(map(num_states, rbm.units)) <= MOST_STATES:
        z = float(jax.jit(partial(jboltz.model_log_partition, rbm))(params))
        return {"by": "enumeration", "value": z, "lower": z, "upper": z}
    annealed, betas = jboltz.Annealed(rbm), jboltz.annealing_ladder(config.ladder_scale)
    with missing_intervals_allowed():
        found = jboltz.annealed_importance_sampling(
            annealed,
            params,
            annealed.fit_base(rows),
            betas,
            key,
            num_chains=config.num_chains,
        )
    return {"by": f"annealing, {len(betas) - 1} rungs", **as_json(found)}


def likelihood(
    rbm: RBM,
    params: Params,
    examples: EvaluationData,
    log_z: dict[str, Any],
    log_volume: float,
) -> dict[str, Any]:
    """The mean log-likelihood of rows, and the pseudo-log-likelihood of the first ones
    where log Z has no interval and the units allow it.

    Args:
      log_z: what `log_partition` returned.
      log_volume: of the encoding of the rows.
    """
    values = -free_energies(rbm, params, examples) - log_volume
    ends = (log_z[name] for name in ("value", "lower", "upper"))
    z, lower, upper = (math.nan if x is None else x for x in ends)
    mean = summary("log-likelihood", values, examples, (z, lower, upper))
    found = {"log_likelihood": as_json(mean)}
    if log_z["lower"] is None and isinstance(rbm.visible, EnumerableUnit):
        few = jax.tree.map(lambda x: x[:MOST_PSEUDO], examples)
        pseudo = jboltz.pseudo_log_likelihood(rbm, params, few)
        mean = pseudo.mean - log_volume
        pseudo = dataclasses.replace(pseudo, mean=mean, lower=mean, upper=mean)
        found["pseudo_log_likelihood"] = as_json(pseudo)
    return found


def free_energies(rbm: RBM, params: Params, examples: EvaluationData) -> np.ndarray:
    """F(v) of every row, in nats."""
    function = partial(rbm.free_energy, params)
    return np.asarray(per_example(function, examples.values, batch_size=1000))


def columns_alone(table: Table, examples: EvaluationData) -> dict[str, Any]:
    """The mean log-likelihood by the visible units without weights."""
    unit = table.encoding.unit
    params = start_of(unit, table.train)
    function = partial(unit.energy, params)
    values = -per_example(function, examples.values, batch_size=1000)
    z = unit.log_normalizer(params, jnp.zeros(unit.size)) + table.encoding.log_volume
    return as_json(summary("log-likelihood", np.asarray(values), examples, float(z)))


def judgement(gap: float, error: float) -> str:
    """A sentence on overfitting."""
    if gap <= max(1.0, 3 * error):
        return "No sign of overfitting: unseen rows are as likely as those of training."
    return (
        f"The model overfits: held-out rows are {gap:.1f} nats less likely than those "
        "of training. Take fewer epochs or hidden units, or bring more rows."
    )


def say_found(found: dict[str, Any], rows: str) -> None:
    """The lines of what `likelihood` found of `rows`."""
    say_likelihood(f"mean log-likelihood of {rows}, in nats", found["log_likelihood"])
    if pseudo := found.get("pseudo_log_likelihood"):
        say_likelihood(f"mean pseudo-log-likelihood of {rows}", pseudo)
