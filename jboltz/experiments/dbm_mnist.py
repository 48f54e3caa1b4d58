"""Deep Boltzmann machine on MNIST.    python -m jboltz.experiments.dbm_mnist

Joint training with mean field and persistent chains starts where pretraining ends: at a
machine that grew from the bottom up, or at one composed of layers trained greedily
(Salakhutdinov & Hinton, 2009, Deep Boltzmann machines), or, with `--pretrain-epochs 0`,
at random weights, which centring makes possible (Montavon & Müller, 2012).
"""

import dataclasses
import pathlib
from functools import partial
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

from jboltz import plotting, random
from jboltz.base import State
from jboltz.data import Dataset, load_mnist
from jboltz.evaluation.annealing import clamped_annealed_importance_sampling
from jboltz.evaluation.bounds import dbm_bound
from jboltz.evaluation.examples import EvaluationData, binarise_once
from jboltz.experiments import _checks, _config, _dbm, _likelihoods, _run
from jboltz.experiments._workdir import Workdir
from jboltz.learning.mean_field import mean_field
from jboltz.learning.pretrain import unit_interval
from jboltz.models.annealed import Annealed
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.swapped import SwappedLayers
from jboltz.products import product
from jboltz.samplers.chains import run as run_chain
from jboltz.samplers.gibbs import ClampedGibbs
from jboltz.units.bernoulli import Bernoulli

CLAMPED_RUNGS = 1000
"""Evenly spaced: a posterior is narrow, and far from its base from the first rung on.
On 784-100-50 ten times as many moved the gap by 0.02 nat."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Trains a deep Boltzmann machine on MNIST: layer by layer, then jointly."""

    PRESETS: ClassVar = {
        "notes": {"layers": [784, 500, 200], "pretrain_epochs": 5, "epochs": 10},
        "small": {"layers": [784, 100, 50], "pretrain_epochs": 1, "epochs": 2}
        | {"ladder_scale": 0.1, "ladder_check": 0.0, "tempering_steps": 100},
    }

    workdir: pathlib.Path = pathlib.Path("runs/dbm_mnist")
    """Folder for checkpoints, figures and results; an interrupted run goes on there."""
    preset: Literal["notes", "small"] | None = None
    """Values to begin with: `notes` has the layers of the PyTorch notes, `small` takes
    a minute. Flags win."""
    layers: tuple[int, ...] = (784, 500, 1000)
    """Units a layer: the pixels first, the top last."""
    pretraining: Literal["growing", "greedy"] = "growing"
    """`growing` trains a machine of one hidden layer, then adds one after another, at
    weights so small that the machine is still the one before; `greedy` trains an RBM a
    layer, by CD with inputs doubled, and composes them."""
    pretrain_epochs: int = 500
    """Epochs a layer before joint training; 0 starts from random weights."""
    pretrain_learning_rate: float = 0.02
    """Step size of plain SGD in pretraining."""
    epochs: int = 200
    """Epochs of joint training."""
    learning_rate: float = 0.02
    """First step size of plain SGD in joint training; it falls linearly to 0."""
    batch_size: int = 100
    """Examples an update; the last batch of an epoch may be shorter."""
    num_chains: int = 100
    """Persistent chains."""
    num_steps: int = 1
    """Gibbs sweeps of each chain an update."""
    max_sweeps: int = 3
    """Most mean-field sweeps an update."""
    tolerance: float = 1e-2
    """Mean field ends where no mean moved by more."""
    centred: bool = True
    """Joint training in centred coordinates."""
    held_out: int = 0
    """Training images, the last ones, to be judged by in place of the test set, which
    is then not read: for choosing settings."""
    ladder_scale: float = 1.0
    """Rungs of the ladders of annealing for log Z, in units of 14 500."""
    ladder_check: float = 10.0
    """A second, longer ladder for log Z, in units of the first; 0 goes without."""
    annealed_chains: int = 100
    """Chains of each run along a ladder."""
    clamped_points: int = 20
    """Images whose log p(v) is also estimated, by annealing with the data held: how
    far above its bound it is."""
    num_replicas: int = 20
    """Replicas of the tempered chains."""
    tempering_steps: int = 300
    """Steps of the tempered chains, after as many in which their ladder adapts."""
    sample_steps: int = 1000
    """Longest chain, in Gibbs sweeps, of the pictures of samples."""
    seed: int = 0
    """Decides initial weights, order and every draw."""
    data: _config.Mnist = dataclasses.field(default_factory=_config.Mnist)
    mesh: _config.Mesh = dataclasses.field(default_factory=_config.Mesh)
    distributed: bool = False
    """One of several processes, on as many hosts, that run this same command."""
    config: pathlib.Path | None = None
    """TOML file with values of these fields; flags beside it win."""
    tensorboard: bool = False
    """Also keep the epochs and figures as TensorBoard events, in the workdir."""
    overwrite: bool = False
    """Delete what an earlier run left in the workdir and begin anew."""


def check(config: Config, data: Dataset) -> None:
    """Refuses what cannot be run, before anything is written.

    Raises:
      ValueError: a field that makes no sense, or does not fit the data.
    """
    _checks.at_least(
        config,
        {"pretrain_epochs": 0, "epochs": 1, "batch_size": 1, "num_chains": 1}
        | {"num_steps": 1, "max_sweeps": 1, "tolerance": 0, "sample_steps": 1}
        | {"clamped_points": 1},
    )
    _likelihoods.check(config, data)
    _checks.rates(config, "pretrain_learning_rate", "learning_rate")
    _checks.seed(config)
    _checks.layers(config, data)
    _checks.values(config, data)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[DBMParams, dict[str, Any]]:
    """Pretrains, trains and evaluates; returns the parameters and the numbers."""
    dbm = build(config)
    key_pretrain, key_joint, _ = jax.random.split(jax.random.key(config.seed), 3)
    images, unseen = _likelihoods.split(config, data)
    train = jnp.asarray(images)
    layers: list[dict[str, Any]] = []
    start = _dbm.pretrain(config, dbm, train, workdir, layers, key_pretrain)

    updates = config.epochs * -(-len(train) // config.batch_size)
    rate = optax.linear_schedule(config.learning_rate, 0.0, updates)
    state, records = _dbm.fit(
        config, dbm, start, train, workdir, "joint", rate, config.epochs, key_joint
    )
    chains = state.estimator_state.inner if config.centred else state.estimator_state
    numbers = {
        "layers": layers,
        "joint": records,
        "judged_by": "held-out" if config.held_out else "test",
        "reconstruction_error": reconstruct(
            config, state.params, unit_interval(jnp.asarray(unseen))
        ),
        **judge(
            config,
            state.params,
            chains.hidden,
            train,
            binarise_once(unseen, config.seed),
            random.fold_in(key_joint, config.epochs),
        ),
    }
    return state.params, numbers


def judge(
    config: Config,
    params: DBMParams,
    starts: State,
    train: Array,
    examples: EvaluationData,
    key: Key[Array, ""],
) -> dict[str, Any]:
    """log Z, the bound of mean field, how far it is below log p(v) for some images,
    and the quality of the chains behind reverse annealing.

    Chains are of the odd layers, the even ones summed out.
    """
    dbm = build(config)
    annealed = Annealed(SwappedLayers(dbm))
    base = annealed.fit_base(unit_interval(train))
    key_temper, key_z, key_clamped = jax.random.split(key, 3)
    tempered, metrics = _likelihoods.tempered_chains(
        config, annealed, params, base, starts, key_temper
    )
    log_z = _likelihoods.log_partitions(
        config, annealed, params, base, tempered.visible, key_z
    )
    few = dataclasses.replace(examples, values=examples.values[: config.clamped_points])
    betas = np.linspace(0, 1, CLAMPED_RUNGS + 1)
    with _likelihoods.missing_intervals_allowed():
        clamped = clamped_annealed_importance_sampling(
            dbm, params, betas, few.values, key_clamped
        )
    bound = dbm_bound(dbm, params, examples, 0.0)
    return {
        "binarisation": examples.binarisation,
        "log_partition": {name: _likelihoods.as_json(z) for name, z in log_z.items()},
        "bound": {
            name: _likelihoods.as_json(_likelihoods.less(bound, z))
            for name, z in log_z.items()
        },
        "gap": {
            "num_examples": len(few.values),
            "mean": float(np.mean(clamped.value))
            - dbm_bound(dbm, params, few, 0.0).mean,
        },
        "tempered_chains": _likelihoods.quality(metrics),
    }


def build(config: Config) -> DBM:
    return DBM(tuple(Bernoulli(size) for size in config.layers))


def reconstruct(config: Config, params: DBMParams, images: Array) -> float:
    """The mean squared error of the means of the pixels given the posterior of the
    first layer, on gray images."""
    dbm = build(config)

    def one(v):
        inputs = product(params.weights[0], mean_field(dbm, params, v).activities[0])
        return jnp.mean((v - dbm.units[0].mean_state(params.units[0], inputs)) ** 2)

    return float(jnp.mean(jax.lax.map(one, images, batch_size=1000)))


def sample(config: Config, params: DBMParams, digits: Array) -> dict[str, Array]:
    """Pictures along chains that start at `digits`, at the end of others that start at
    noise, and completions of the upper half of `digits`: one chain a digit."""
    dbm = build(config)
    key = jax.random.split(jax.random.key(config.seed), 3)[2]
    # Keys of their own: on the same draws, chains from data and from noise would meet.
    keys_up, keys_noise, key_data, key_noise, key_half = (
        random.fold_in_range(k, len(digits)) for k in jax.random.split(key, 5)
    )
    near = jax.vmap(dbm.start_at, in_axes=(None, 0, 0))(params, digits, keys_up)
    noise = jax.vmap(dbm.sample_start, in_axes=(None, 0))(params, keys_noise)
    upper = jnp.arange(digits.shape[1]) < digits.shape[1] // 2
    free = jax.tree.map(lambda _: False, near)
    longest, rows = config.sample_steps, {"test digit": digits}
    for name, length in _run.sweep_counts(longest).items():
        rows[name] = _pictures(dbm, params, near, free, key_data, length)
    rows["from noise"] = _pictures(dbm, params, noise, free, key_noise, longest)
    half = (upper, *free[1:])
    completed = _pictures(dbm, params, near, half, key_half, longest)
    rows["upper half given"] = jnp.where(upper[None], digits, completed)
    return rows


@partial(jax.jit, static_argnames="dbm")
def _pictures(dbm, params, starts, clamp, keys, length):
    def one(start, key):
        key_init, key_run = jax.random.split(key)
        sampler = ClampedGibbs(dbm)
        chain = sampler.init(params, start, key_init, clamp=clamp)
        chain, _ = run_chain(sampler, params, chain, key_run, num_steps=length)
        return dbm.mean_visible_state(params, chain.hidden)

    return jax.vmap(one)(starts, keys)


def draw_figures(
    config: Config, data: Dataset, params: DBMParams, numbers: dict[str, Any]
) -> dict[str, Any]:
    """The figures of a run, by file name."""
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
    """The results in a few lines."""
    last = results["joint"][-1]
    _run.say(
        f"joint training ends at a reconstruction error of {last['loss']:.4f}, with "
        f"{last['unconverged']:.1%} of mean fields stopped above the tolerance"
    )
    _run.say(f"{results['judged_by']} images, {results['binarisation']}, in nats:")
    for name, found in results["bound"].items():
        _likelihoods.say(f"log-likelihood, at least, by {name}", found)
    gap = results["gap"]
    _run.say(
        f"of the first {gap['num_examples']} the bound is {gap['mean']:.2f} nats below "
        "the log-likelihood"
    )
    _likelihoods.say_quality(results["tempered_chains"])
    _run.say(
        f"mean reconstruction of {results['judged_by']} images: MSE "
        f"{results['reconstruction_error']:.4f}"
    )


def main(arguments: list[str] | None = None) -> None:
    def load(config: Config) -> Dataset:
        return load_mnist(config.data.source, manual_dir=config.data.manual_dir)

    _run.main(
        "dbm_mnist",
        Config,
        arguments,
        load=load,
        check=check,
        run=run,
        draw_figures=draw_figures,
        report=report,
    )


if __name__ == "__main__":
    main()
