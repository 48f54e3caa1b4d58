"""Gaussian–Bernoulli RBM on patches of CIFAR-10.
python -m jboltz.experiments.grbm_cifar10

Reference: Krizhevsky (2009), Learning multiple layers of features from tiny images;
Cho, Ilin & Raiko (2011), Improved learning of Gaussian-Bernoulli restricted Boltzmann
machines.
"""

import dataclasses
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
from jboltz.learning.transforms import by_field, project, within
from jboltz.models.rbm import RBM, RBMParams
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.gaussian import Gaussian


@dataclasses.dataclass(frozen=True)
class Config:
    """Trains a Gaussian–Bernoulli RBM on whitened colour patches of CIFAR-10."""

    PRESETS: ClassVar = {
        "small": {"num_hidden": 50, "num_patches": 10_000, "epochs": 5},
        "likelihood": {"num_hidden": 16, "num_components": 60, "contrast": "raw"},
    }

    workdir: pathlib.Path = pathlib.Path("runs/grbm_cifar10")
    """Folder for checkpoints, figures and results; an interrupted run goes on there."""
    preset: Literal["small", "likelihood"] | None = None
    """Values to begin with: `small` takes a minute, `likelihood` has few enough hidden
    units for log Z by enumeration. Flags win."""
    num_hidden: int = 200
    """Hidden units; up to 16, likelihoods are computed."""
    patch_size: int = 8
    """Height and width of a patch, in pixels."""
    num_patches: int = 100_000
    """Training patches; a tenth as many for validation, and for the test."""
    contrast: Literal["unit", "raw"] = "unit"
    """`unit` gives every patch mean 0 and the same contrast before whitening."""
    num_components: int = 100
    """Principal directions that are kept, each with variance 1."""
    epsilon: float = 1e-6
    """Added to the variance of every direction before it is made 1."""
    epochs: int = 15
    """Epochs; every patch once an epoch."""
    batch_size: int = 200
    """Patches an update; the last batch of an epoch may be shorter."""
    learning_rate: float = 0.01
    """First step size of Adam; it falls linearly to 0."""
    variance: Literal["learned", "fixed"] = "learned"
    """Whether each direction's variance is learned, or stays 1."""
    variance_learning_rate: float = 0.01
    """First step size of the log-variances; it falls linearly to 0."""
    log_variance_range: tuple[float, float] = (-4.0, 2.0)
    """Floor and ceiling of the log-variances: updates end there."""
    weight_scale: float = 0.3
    """Standard deviation of the initial weights."""
    hidden_bias: float = -3.0
    """Initial hidden biases; below 0, units begin rarely on."""
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
    _checks.rates(config, "variance_learning_rate", "weight_scale")
    within(*config.log_variance_range)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[RBMParams, dict[str, Any]]:
    """Trains and evaluates; the parameters are those of whitened patches."""
    patches = _patches.cut(config, data)
    num_visible = patches.train.shape[1]
    rbm = RBM(Gaussian(num_visible), Bernoulli(config.num_hidden))
    estimator = PersistentContrastiveDivergence(
        rbm, Gibbs(rbm), config.num_chains, config.num_steps
    )
    updates = config.epochs * -(-len(patches.train) // config.batch_size)

    def adam(rate):
        return optax.adam(optax.linear_schedule(rate, 0.0, updates))

    variance = {
        "fixed": optax.set_to_zero(),
        "learned": optax.chain(
            adam(config.variance_learning_rate),
            project(within(*config.log_variance_range)),
        ),
    }
    optimizer = by_field(
        adam(config.learning_rate), log_variance=variance[config.variance]
    )

    def init(key):
        key_params, key_weights, key_estimator = jax.random.split(key, 3)
        params = rbm.init(key_params)  # Whitened, the data have means of 0.
        shape = params.weights.shape
        params = RBMParams(
            visible=params.visible,
            hidden=rbm.hidden.shift(
                params.hidden, jnp.full(config.num_hidden, config.hidden_bias)
            ),
            weights=config.weight_scale * jax.random.normal(key_weights, shape),
        )
        return init_train_state(params, estimator, optimizer, key_estimator)

    state, records = _run.fit_with_checkpoints(
        workdir,
        "grbm",
        make_train_step(estimator, optimizer),
        init,
        jnp.asarray(patches.train),
        jax.random.key(config.seed),
        batch_size=config.batch_size,
        num_epochs=config.epochs,
        loss="contrast",
    )
    variances = jnp.exp(state.params.visible.log_variance)
    numbers = {
        "epochs": records,
        "smallest_variance": float(variances.min()),
        "mean_variance": float(variances.mean()),
        **_patches.evaluate(config, rbm, state.params, patches),
    }
    return state.params, numbers


def draw_figures(
    config: Config, data: Dataset, params: RBMParams, numbers: dict[str, Any]
) -> dict[str, Any]:
    """The figures of a run, by file name."""
    return {
        "filters": _patches.filters(
            _patches.cut(config, data),
            params.weights,
            title="What each hidden unit adds to a patch",
        ),
        "contrast": plotting.curves(
            {"contrast": [record["loss"] for record in numbers["epochs"]]},
            title="Free energy of the data less that of the chains",
            ylabel="nats",
        ),
    }


def main(arguments: list[str] | None = None) -> None:
    _run.main(
        "grbm_cifar10",
        Config,
        arguments,
        load=_patches.load,
        check=check,
        run=run,
        draw_figures=draw_figures,
        report=_patches.report,
    )


if __name__ == "__main__":
    main()
