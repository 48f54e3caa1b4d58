"""Deep Boltzmann machine on MNIST.    python -m jboltz.experiments.dbm_mnist

Joint training with mean field and persistent chains starts where pretraining ends: at a
machine that grew from the bottom up, or at one composed of layers trained greedily
(Salakhutdinov & Hinton, 2009, Deep Boltzmann machines), or, with `--pretrain-epochs 0`,
at random weights, which centring makes possible (Montavon & Müller, 2012).
"""

import dataclasses
from typing import ClassVar, Literal

from jboltz.ranges import ChainSteps, Count, CountFromZero, Rate, Share, Steps
from jboltz.runs.config import answer
from jboltz.runs.families import AnnealingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(AnnealingConfig):
    """Trains a deep Boltzmann machine on MNIST: layer by layer, then jointly."""

    PRESETS: ClassVar = {
        "notes": {"layers": [784, 500, 200], "pretrain_epochs": 5, "epochs": 10},
        "small": {"layers": [784, 100, 50], "pretrain_epochs": 1, "epochs": 2}
        | {"ladder_scale": 0.1, "ladder_check": 0.0, "tempering_steps": 100},
    }

    GROUPS: ClassVar = {
        "model": ("layers", "centred"),
        "evaluation": ("clamped_points",),
        "output": ("sample_steps",),
    }

    preset: Literal["notes", "small"] | None = None
    """Values to begin with: `notes` has the layers of the PyTorch notes, `small` takes
    a minute. Flags win."""
    layers: tuple[Count, ...] = (784, 500, 1000)
    """Units per layer: the pixels first, the top last."""
    pretraining: Literal["growing", "greedy"] = "growing"
    """`growing` trains a machine of one hidden layer, then adds layers one by one, with
    weights so small that the machine hardly changes; `greedy` trains one RBM per layer,
    by CD with doubled inputs, and joins them."""
    pretrain_epochs: CountFromZero = 500
    """Epochs per layer before joint training; with 0 it starts at random weights."""
    pretrain_learning_rate: Rate = 0.02
    """Step size of plain SGD in pretraining."""
    epochs: Count = 200
    """Epochs of joint training."""
    max_sweeps: Count = 3
    """Mean-field sweeps per update, at most."""
    tolerance: Share = 1e-2
    """Mean field stops when no mean moves by more."""
    centred: bool = True
    """Joint training in centred coordinates."""
    clamped_points: Count = 20
    """Images whose log p(v) is also estimated, by annealing with the data held fixed,
    to compare it with its bound."""
    tempering_steps: ChainSteps = 300
    sample_steps: Steps = 1000
    """Gibbs sweeps of the longest chain in the figure of samples."""


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "dbm_mnist")

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

import jboltz
from jboltz import DBM, RBM, plotting, random
from jboltz.base import State
from jboltz.data import Dataset
from jboltz.evaluation.bounds import dbm_bound_gap
from jboltz.evaluation.log_partitions import (
    chain_quality,
    log_partitions,
    normalized,
    tempered_chains,
)
from jboltz.evaluation.reconstruction import dbm_reconstruction_error
from jboltz.learning.pretrain import grow, unit_interval
from jboltz.models.swapped import SwappedLayers
from jboltz.runs import checks, greedy, likelihoods, program
from jboltz.runs.likelihoods import as_json, say_likelihood
from jboltz.runs.pictures import pictures_after, sweep_counts
from jboltz.runs.progress import say
from jboltz.runs.training import fit_with_checkpoints
from jboltz.runs.workdir import Workdir


def check(config: Config, data: Dataset) -> None:
    likelihoods.check(config, data)
    checks.layers(config.layers, data)
    checks.images(config, data)
    checks.at_most(config, {"clamped_points": config.held_out or len(data.test)})


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[jboltz.DBMParams, dict[str, Any]]:
    """Pretrains, trains and evaluates; returns the parameters and the numbers."""
    dbm = build(config)
    key_pretrain, key_joint, _ = jax.random.split(jax.random.key(config.seed), 3)
    images, unseen = likelihoods.split(config, data)
    train = jnp.asarray(images)
    start, layers = pretrain(config, dbm, train, workdir, key_pretrain)
    updates = config.epochs * -(-len(train) // config.batch_size)
    rate = optax.linear_schedule(config.learning_rate, 0.0, updates)
    state, records = fit(
        config,
        dbm,
        start,
        train,
        workdir,
        "joint",
        key_joint,
        rate=rate,
        num_epochs=config.epochs,
    )
    chains = state.estimator_state.inner if config.centred else state.estimator_state
    numbers = {
        "layers": layers,
        "joint": records,
        "judged_by": "held-out" if config.held_out else "test",
        "reconstruction_error": dbm_reconstruction_error(
            dbm, state.params, unit_interval(jnp.asarray(unseen))
        ),
        **evaluate(
            config,
            state.params,
            chains.hidden,
            train,
            jboltz.binarise_once(unseen, config.seed),
            random.fold_in(key_joint, config.epochs),
        ),
    }
    return state.params, numbers


def fit(
    config: Config,
    model: RBM | DBM,
    start: jboltz.RBMParams | jboltz.DBMParams,
    train: Array,
    workdir: Workdir,
    stage: str,
    key: Key[Array, ""],
    *,
    rate: float | optax.Schedule,
    num_epochs: int,
) -> tuple[jboltz.TrainState, list[dict[str, Any]]]:
    """Trains all layers of `model` jointly; training begins at `start`."""
    if isinstance(model, RBM):
        # With one hidden layer the posterior that mean field would find is exact, and
        # training takes a third less time without mean field.
        estimator = jboltz.PersistentContrastiveDivergence(
            model, jboltz.Gibbs(model), config.num_chains, config.num_steps
        )
    else:
        estimator = jboltz.MeanFieldPCD(
            model,
            jboltz.Gibbs(model),
            config.num_chains,
            config.num_steps,
            tolerance=config.tolerance,
            max_sweeps=config.max_sweeps,
        )
    if config.centred:
        estimator = jboltz.Centred(estimator)
    optimizer = optax.sgd(rate)
    images = jboltz.LayerFeatures((RBM(*model.units[:2]),))
    return fit_with_checkpoints(
        workdir,
        stage,
        jboltz.make_train_step(estimator, optimizer),
        partial(jboltz.init_train_state, start, estimator, optimizer),
        train,
        key,
        batch_size=config.batch_size,
        num_epochs=num_epochs,
        prepare=jax.tree_util.Partial(images, ()),
        loss=loss_of(model),
    )


def loss_of(model: RBM | DBM) -> str:
    """The metric that is the loss of `model`."""
    return "contrast" if isinstance(model, RBM) else "reconstruction_error"


def pretrain(
    config: Config, dbm: DBM, train: Array, workdir: Workdir, key: Key[Array, ""]
) -> tuple[jboltz.DBMParams, list[dict[str, Any]]]:
    """The parameters at which joint training starts, and the losses of each layer."""
    # With biases of 0, gray noise would be a deep mode of p(v).
    params = dbm.init(key, data=unit_interval(train))
    if config.pretrain_epochs == 0:
        return params, []
    if config.pretraining == "greedy":
        return pretrain_greedily(config, dbm, params, train, workdir, key)
    layers: list[dict[str, Any]] = []

    def fit_lower(lower, start):
        depth = len(lower.units)
        state, records = fit(
            config,
            lower,
            start,
            train,
            workdir,
            f"layer_{depth - 1}",
            random.fold_in(key, depth),
            rate=config.pretrain_learning_rate,
            num_epochs=config.pretrain_epochs,
        )
        losses = [record["loss"] for record in records]
        layers.append({"loss": loss_of(lower), "losses": losses})
        return state.params

    return grow(dbm, params, fit_lower=fit_lower), layers


def pretrain_greedily(
    config: Config,
    dbm: DBM,
    params: jboltz.DBMParams,
    train: Array,
    workdir: Workdir,
    key: Key[Array, ""],
) -> tuple[jboltz.DBMParams, list[dict[str, Any]]]:
    """Trains one RBM per layer by CD; the visible units start as in `params`."""
    rbms = dbm.pretraining_layers()

    def rule(index):
        cd = jboltz.ContrastiveDivergence(rbms[index], jboltz.Gibbs(rbms[index]))
        return cd, optax.sgd(config.pretrain_learning_rate)

    def start(below, key):
        first = rbms[len(below)].init(key)
        if below:
            return first
        return rbms[0].from_parts((params.units[0], first.hidden), (first.weights,))

    stack, layers = greedy.pretrain(
        workdir,
        rbms,
        train,
        key,
        rule=rule,
        start=start,
        epochs=config.pretrain_epochs,
        batch_size=config.batch_size,
    )
    return dbm.compose(stack), [{"loss": "reconstruction_error", **x} for x in layers]


def evaluate(
    config: Config,
    params: jboltz.DBMParams,
    starts: State,
    train: Array,
    examples: jboltz.EvaluationData,
    key: Key[Array, ""],
) -> dict[str, Any]:
    """log Z, the bound of mean field, how far it is below log p(v) for some images,
    and the quality of the chains behind reverse annealing.

    The chains are over the odd layers; the even layers are summed out.
    """
    say("estimating the likelihood by annealing")
    dbm = build(config)
    annealed = jboltz.Annealed(SwappedLayers(dbm))
    base = annealed.fit_base(unit_interval(train))
    key_temper, key_z, key_clamped = jax.random.split(key, 3)
    chains, traces = tempered_chains(annealed, params, base, starts, config, key_temper)
    log_z = log_partitions(annealed, params, base, chains.visible, config, key_z)
    few = dataclasses.replace(examples, values=examples.values[: config.clamped_points])
    bound = jboltz.dbm_bound(dbm, params, examples, 0.0)
    return {
        "binarisation": examples.binarisation,
        "log_partition": {name: as_json(z) for name, z in log_z.items()},
        "bound": {name: as_json(normalized(bound, z)) for name, z in log_z.items()},
        "gap": {
            "num_examples": len(few.values),
            "mean": dbm_bound_gap(dbm, params, few, key_clamped),
        },
        "tempered_chains": chain_quality(traces),
    }


def build(config: Config) -> DBM:
    return DBM(tuple(map(jboltz.Bernoulli, config.layers)))


def sample(config: Config, params: jboltz.DBMParams, digits: Array) -> dict[str, Array]:
    """Pictures along chains that start at `digits`, at the end of chains that start at
    noise, and completions of the upper half of `digits`, with one chain per digit."""
    dbm = build(config)
    key = jax.random.split(jax.random.key(config.seed), 3)[2]
    # Separate keys: with the same draws, chains from data and from noise would meet.
    keys_up, keys_noise, key_data, key_noise, key_half = (
        random.fold_in_range(k, len(digits)) for k in jax.random.split(key, 5)
    )
    near = jax.vmap(dbm.start_at, in_axes=(None, 0, 0))(params, digits, keys_up)
    noise = jax.vmap(dbm.sample_start, in_axes=(None, 0))(params, keys_noise)
    upper = jnp.arange(digits.shape[1]) < digits.shape[1] // 2
    free = jax.tree.map(lambda _: False, near)
    longest, rows = config.sample_steps, {"test digit": digits}
    after = partial(pictures_after, jboltz.ClampedGibbs(dbm), params)
    for name, length in sweep_counts(longest).items():
        rows[name] = after(near, key_data, length, clamp=free)
    rows["from noise"] = after(noise, key_noise, longest, clamp=free)
    completed = after(near, key_half, longest, clamp=(upper, *free[1:]))
    rows["upper half given"] = jnp.where(upper[None], digits, completed)
    return rows


def draw_figures(
    config: Config, data: Dataset, params: jboltz.DBMParams, numbers: dict[str, Any]
) -> dict[str, Any]:
    shape = data.image_shape or (28, 28)
    digits = unit_interval(jnp.asarray(data.test[:160:10]))
    losses = {
        f"layer {index}, pretraining": layer["losses"]
        for index, layer in enumerate(numbers["layers"], start=1)
        if layer["loss"] == "reconstruction_error"
    }
    losses["joint"] = [record["loss"] for record in numbers["joint"]]
    return {
        "filters": plotting.filters(
            params.weights[0], shape, title="First-layer filters, largest norm first"
        ),
        "samples": plotting.image_rows(
            sample(config, params, digits),
            shape,
            title="Samples: Gibbs sweeps from digits, from noise, and of a lower half",
        ),
        "losses": plotting.curves(
            losses,
            title="Reconstruction error: sampled by CD, mean field jointly",
            ylabel="mean squared error a unit",
        ),
    }


def report(results: dict[str, Any]) -> None:
    last = results["joint"][-1]
    say(
        f"joint training ends at a reconstruction error of {last['loss']:.4f}, with "
        f"{last['unconverged']:.1%} of mean fields stopped above the tolerance"
    )
    say(f"{results['judged_by']} images, {results['binarisation']}, in nats:")
    for name, found in results["bound"].items():
        say_likelihood(f"log-likelihood, at least, by {name}", found)
    gap = results["gap"]
    say(
        f"of the first {gap['num_examples']} the bound is {gap['mean']:.2f} nats below "
        "the log-likelihood"
    )
    likelihoods.say_chain_quality(results["tempered_chains"])
    say(
        f"mean reconstruction of {results['judged_by']} images: MSE "
        f"{results['reconstruction_error']:.4f}"
    )


PROGRAM = program.Program(
    name="dbm_mnist",
    config=Config,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
    model=lambda config, data: build(config),
)

if __name__ == "__main__":
    program.main(PROGRAM)
