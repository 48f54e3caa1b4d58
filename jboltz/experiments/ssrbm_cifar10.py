"""Spike-and-slab RBM on patches of CIFAR-10.
python -m jboltz.experiments.ssrbm_cifar10

Reference: Courville, Bergstra & Bengio (2011), Unsupervised models of images by
spike-and-slab RBMs.
"""

import dataclasses
import math
import pathlib
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax

from jboltz import plotting
from jboltz.data import Dataset
from jboltz.experiments import _checks, _config, _patches, _run
from jboltz.experiments._workdir import Workdir
from jboltz.learning.contrastive import PersistentContrastiveDivergence
from jboltz.learning.step import init_train_state, make_train_step
from jboltz.learning.transforms import by_field, project
from jboltz.models.spike_and_slab import SpikeAndSlab, SpikeAndSlabParams
from jboltz.models.spike_penalty import GershgorinPenalty, NoPenalty, NormPenalty
from jboltz.samplers.gibbs import Gibbs

PENALTIES = {
    "gershgorin": GershgorinPenalty(),
    "norm": NormPenalty(),
    "none": NoPenalty(),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Trains a spike-and-slab RBM on whitened colour patches of CIFAR-10."""

    PRESETS: ClassVar = {
        "small": {"num_hidden": 50, "num_patches": 10_000, "epochs": 5},
        "likelihood": {"num_hidden": 16, "num_components": 60, "epochs": 15}
        | {"penalty": "gershgorin", "relative_precision": 1.0, "spike_bias": 0.0}
        | {"learning_rate": 0.003},
    }

    workdir: pathlib.Path = pathlib.Path("runs/ssrbm_cifar10")
    """Folder for checkpoints, figures and results; an interrupted run goes on there."""
    preset: Literal["small", "likelihood"] | None = None
    """Values to begin with: `small` takes a minute, `likelihood` has few enough hidden
    units for log Z by enumeration. Flags win."""
    num_hidden: int = 128
    """Hidden units, each a spike and a slab; up to 16, likelihoods are computed."""
    penalty: Literal["gershgorin", "norm", "none"] = "none"
    """How spikes keep the precision of the pixels positive; `none` projects the weights
    after every update, and lets spikes add variance along their filters."""
    kappa: float = 1.0
    """κ of the energy: 1 is the book's, 0.5 the papers'."""
    patch_size: int = 8
    """Height and width of a patch, in pixels."""
    num_patches: int = 100_000
    """Training patches; a tenth as many for validation, and for the test."""
    contrast: Literal["unit", "raw"] = "raw"
    """`unit` gives every patch mean 0 and the same contrast before whitening."""
    num_components: int = 100
    """Principal directions that are kept, each with variance 1."""
    epsilon: float = 1e-6
    """Added to the variance of every direction before it is made 1."""
    epochs: int = 30
    """Epochs; every patch once an epoch."""
    batch_size: int = 200
    """Patches an update; the last batch of an epoch may be shorter."""
    learning_rate: float = 0.01
    """First step size of Adam; it falls linearly to 0."""
    weight_scale: float = 0.1
    """Standard deviation of the initial weights."""
    relative_precision: float = 2.5
    """Initial precision of a pixel with all spikes off, in units of that of the data:
    what spikes can take away is what they have to explain."""
    spike_bias: float = -2.0
    """Initial log-odds of a spike where the patch does not meet its filter."""
    num_chains: int = 500
    """Persistent chains."""
    num_steps: int = 1
    """Gibbs sweeps of each chain an update."""
    seed: int = 0
    """Decides patches, initial weights, order and every draw."""
    data: _config.Cifar10 = dataclasses.field(default_factory=_config.Cifar10)
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
    _patches.check(config, data)
    _checks.rates(config, "weight_scale", "kappa", "relative_precision")


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[SpikeAndSlabParams, dict[str, Any]]:
    """Trains and evaluates; the parameters are those of whitened patches."""
    patches = _patches.cut(config, data)
    train = jnp.asarray(patches.train)
    model = SpikeAndSlab(
        train.shape[1],
        config.num_hidden,
        config.kappa,
        penalty=PENALTIES[config.penalty],
    )
    estimator = PersistentContrastiveDivergence(
        model, Gibbs(model), config.num_chains, config.num_steps
    )
    updates = config.epochs * -(-len(train) // config.batch_size)
    adam = optax.adam(optax.linear_schedule(config.learning_rate, 0.0, updates))
    # W → cW, α → c²α, μ → μ/c is the same p(x): α only fixes the unit of a slab.
    optimizer = by_field(adam, log_slab_precision=optax.set_to_zero())
    if isinstance(model.penalty, NoPenalty):
        optimizer = optax.chain(optimizer, project(model.penalty.project))

    def init(key):
        key_params, key_weights, key_estimator = jax.random.split(key, 3)
        # Whitened, the data have means of 0; their variance is shared with the spikes.
        params = model.init(key_params)
        params = dataclasses.replace(
            params,
            weights=config.weight_scale
            * jax.random.normal(key_weights, params.weights.shape),
            spike_bias=jnp.full_like(params.spike_bias, config.spike_bias),
            log_visible_precision=math.log(config.relative_precision)
            - jnp.log(jnp.var(train, axis=0)),
        )
        if isinstance(model.penalty, NoPenalty):
            params = model.penalty.project(params)
        return init_train_state(params, estimator, optimizer, key_estimator)

    state, records = _run.fit_with_checkpoints(
        workdir,
        "ssrbm",
        make_train_step(estimator, optimizer),
        init,
        train,
        jax.random.key(config.seed),
        batch_size=config.batch_size,
        num_epochs=config.epochs,
        loss="contrast",
    )
    model.check_normalizable(state.params)
    spikes = jax.lax.map(
        lambda v: model.mean_hidden_state(state.params, v).spikes,
        jnp.asarray(patches.validation),
        batch_size=1000,
    )
    numbers = {
        "epochs": records,
        "smallest_eigenvalue": float(model.smallest_eigenvalue(state.params)),
        "share_of_spikes_on": float(spikes.mean()),
        **_patches.evaluate(config, model, state.params, patches),
    }
    return state.params, numbers


def draw_figures(
    config: Config, data: Dataset, params: SpikeAndSlabParams, numbers: dict[str, Any]
) -> dict[str, Any]:
    """The figures of a run, by file name."""
    return {
        "filters": _patches.filters(
            _patches.cut(config, data),
            params.weights,
            title="What each slab adds to a patch",
        ),
        "contrast": plotting.curves(
            {"contrast": [record["loss"] for record in numbers["epochs"]]},
            title="Free energy of the data less that of the chains",
            ylabel="nats",
        ),
    }


def report(results: dict[str, Any]) -> None:
    """The results in a few lines."""
    _patches.report(results)
    _run.say(
        f"smallest eigenvalue of the precision {results['smallest_eigenvalue']:.3g}; "
        f"{results['share_of_spikes_on']:.0%} of spikes on"
    )


def main(arguments: list[str] | None = None) -> None:
    _run.main(
        "ssrbm_cifar10",
        Config,
        arguments,
        load=_patches.load,
        check=check,
        run=run,
        draw_figures=draw_figures,
        report=report,
    )


if __name__ == "__main__":
    main()
