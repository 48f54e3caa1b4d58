"""What `jboltz train` does: its choices, training, evaluation and figures."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
import optax

import jboltz
from jboltz import RBM, plotting
from jboltz.base import Batch, Params
from jboltz.commands.likelihoods import evaluate, say_gain, say_likelihoods
from jboltz.commands.rows import Table, about, load
from jboltz.commands.train import Config
from jboltz.learning.rows import num_rows, take_rows
from jboltz.runs import program
from jboltz.runs.progress import say
from jboltz.runs.training import fit_with_checkpoints
from jboltz.runs.workdir import Workdir

PATH = 200
"""Learning rate times number of updates, where neither is asked for."""
FEW_ROWS = 2000
"""Up to so many rows there are few enough updates to spend five sweeps on each."""
VARIANCE_ROWS = 1000
"""Rows, evenly spaced ones, from which the largest variance is taken."""
NUM_CHAINS = 100
"""Persistent chains of PCD."""
PICTURE_STEPS = 1000
"""Gibbs steps from noise to a picture."""
CURVES = {
    "cd": ("reconstruction_error", "Reconstruction error", "mean square per number"),
    "pcd": ("contrast", "Free energy of the data minus that of the chains", "nats"),
}
"""The metric that is followed under each rule, and the title and unit of its curve."""
HIDDEN = {"bernoulli": jboltz.Bernoulli, "spin": jboltz.Spin}


def choose(config: Config, table: Table) -> Config:
    """The configuration, completed by what suits the rows."""
    count = num_rows(table.train)
    rate = config.learning_rate
    if rate is None:
        # The curvature along the weights of a hidden unit is at most a quarter of it
        # for units of 0 and 1.
        rate = min(0.05, 0.25 / max(largest_variance(table.train), 1e-3))
    batch_size = min(count, config.batch_size or int(np.clip(count // 50, 10, 100)))
    epochs = math.ceil(PATH / rate / -(-count // batch_size))
    return dataclasses.replace(
        config,
        hidden=build(config, table).hidden.size,
        num_steps=config.num_steps or (5 if count <= FEW_ROWS else 1),
        batch_size=batch_size,
        learning_rate=rate,
        epochs=config.epochs or int(np.clip(epochs, 10, 100)),
    )


def largest_variance(rows: Batch) -> float:
    """The variance of the rows along the direction in which they vary most.

    It is the largest eigenvalue of the covariance of up to 1 000 of them, in which a
    gap counts as the mean of its column.
    """
    last = num_rows(rows) - 1
    places = np.linspace(0, last, min(last + 1, VARIANCE_ROWS)).astype(int)
    rows = take_rows(rows, places)
    values, complete = jax.tree.leaves(rows.values), np.ones(num_rows(rows), bool)
    masks = jax.tree.leaves(rows.mask) or [complete] * len(values)
    parts = []
    for x, mask in zip(values, masks, strict=True):
        # The mask of a categorical site is that of each of its categories.
        mask = mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim))
        count = np.maximum(mask.sum(axis=0), 1)
        mean = np.sum(x, axis=0, where=mask, dtype=np.float64) / count
        parts.append(np.where(mask, x - mean, 0).reshape(len(x), -1))
    matrix = np.concatenate(parts, axis=1)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T  # The other product has the same largest eigenvalue.
    return float(np.linalg.eigvalsh(np.inner(matrix, matrix))[-1]) / num_rows(rows)


def build(config: Config, table: Table) -> RBM:
    size = config.hidden or int(np.clip(table.encoding.unit.size, 16, 500))
    return RBM(table.encoding.unit, HIDDEN[config.hidden_unit](size))


def run(
    config: Config, table: Table, workdir: Workdir
) -> tuple[Params, dict[str, Any]]:
    """Trains by centred PCD or CD, which fills gaps by draws, and evaluates."""
    rbm, config = build(config, table), choose(config, table)
    names = ("hidden", "num_steps", "batch_size", "learning_rate", "epochs")
    chosen: dict[str, Any] = {name: getattr(config, name) for name in names}
    epochs, batch_size = chosen["epochs"], chosen["batch_size"]
    say(
        f"{epochs} epochs of {config.rule.upper()}-{config.num_steps} with "
        f"{config.hidden} hidden units, {batch_size} rows per update, and a "
        f"learning rate that falls from {config.learning_rate:.3g} to 0"
    )
    gibbs, k = jboltz.Gibbs(rbm), chosen["num_steps"]
    if config.rule == "cd":
        plain = jboltz.ContrastiveDivergence(rbm, gibbs, k)
    else:
        plain = jboltz.PersistentContrastiveDivergence(rbm, gibbs, NUM_CHAINS, k)
    estimator = jboltz.MissingDataEstimator(jboltz.Centred(plain, 0.01))
    updates = epochs * -(-num_rows(table.train) // batch_size)
    optimizer = optax.sgd(optax.linear_schedule(chosen["learning_rate"], 0.0, updates))
    key_fit, key_evaluate = jax.random.split(jax.random.key(config.seed))

    @jax.jit  # One program in place of a hundred small ones.
    def init(key):
        key_params, key_chains = jax.random.split(key)
        params = rbm.init(key_params, data=table.train)
        return jboltz.init_train_state(params, estimator, optimizer, key_chains)

    state, records = fit_with_checkpoints(
        workdir,
        "rbm",
        jboltz.make_train_step(estimator, optimizer),
        init,
        table.train,
        key_fit,
        batch_size=batch_size,
        num_epochs=epochs,
        loss=CURVES[config.rule][0],
    )
    say("estimating the likelihood of the held-out rows")
    numbers = workdir.part(
        "evaluation",
        lambda: evaluate(rbm, state.params, table, k, key_evaluate),
    )
    return state.params, {"epochs": records, "chosen": chosen, **numbers}


def notes(config: Config, table: Table, numbers: dict[str, Any]) -> dict[str, Any]:
    """What the other commands need to know of the model."""
    return {
        "columns": table.encoding.as_json(),
        "log_partition": numbers["log_partition"],
    }


def draw_figures(
    config: Config, table: Table, params: Params, numbers: dict[str, Any]
) -> dict[str, Any]:
    name, title, unit = CURVES[config.rule]
    curve = {config.rule.upper(): [record["loss"] for record in numbers["epochs"]]}
    figures = {name: plotting.curves(curve, title=title, ylabel=unit)}
    if table.image_shape is None:
        return figures
    _, pictures, _ = jboltz.sample(
        build(config, table),
        params,
        jax.random.fold_in(jax.random.key(config.seed), 1),
        warm_up=PICTURE_STEPS,
        num_chains=64,
        observe=jboltz.observe_visible_mean,
    )
    real = np.asarray(table.test.values[:16], np.float32)
    low, high = real.min(), np.max([real.max(), real.min() + 1])
    rows = {"held out": real}
    rows |= {f"samples {i + 1}": x for i, x in enumerate(np.split(pictures[:, 0], 4))}
    scaled = {name: ((x - low) / (high - low)).clip(0, 1) for name, x in rows.items()}
    shape, title = table.image_shape, "Held-out rows, and samples that began as noise"
    figures["samples"] = plotting.image_rows(scaled, shape, title=title)
    filters = {"the first 100 hidden units": np.asarray(params.weights).T}
    figures["filters"] = plotting.colour_tiles(filters, shape, title="Filters")
    return figures


def report(results: dict[str, Any]) -> None:
    if found := results.get("held_out"):
        judged_by = results["judged_by"]
        rows = f"{judged_by['rows']} held-out rows"
        if gaps := judged_by["of"] - judged_by["rows"]:
            rows += f" ({gaps} more have gaps)"
        say_likelihoods(found, rows)
    else:
        say("All held-out rows have gaps, so there is no likelihood.")
    if found := results.get("nats_gained_over_independent_columns"):
        say_gain(found)
    if found := results.get("judgement"):
        say(found)
    say(f"chains: {results['verdict']}")
    if results["verdict"].startswith("Out of equilibrium"):
        steps = 4 * results["chosen"]["num_steps"]
        say(f"Try --num-steps {steps}.")


PROGRAM = program.Program(
    name="train",
    config=Config,
    load=load,
    about=about,
    run=run,
    draw_figures=draw_figures,
    report=report,
    model=build,
    notes=notes,
)
