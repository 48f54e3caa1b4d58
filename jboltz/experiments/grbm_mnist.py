"""Gaussian–Bernoulli RBM on standardised MNIST.
python -m jboltz.experiments.grbm_mnist

Reference: Cho, Ilin & Raiko (2011), Improved learning of Gaussian-Bernoulli restricted
Boltzmann machines; Liao, Kornblith, Ren, Fleet & Hinton (2022), Gaussian-Bernoulli RBMs
without tears.
"""

import dataclasses
from typing import ClassVar, Literal

from jboltz.ranges import Count, Exponent, Rate, Share, Steps
from jboltz.runs.config import TrainingConfig, answer
from jboltz.runs.sources import Mnist


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """Trains a Gaussian–Bernoulli RBM on MNIST's gray values, standardised."""

    PRESETS: ClassVar = {"small": {"num_hidden": 100, "epochs": 5}}

    GROUPS: ClassVar = {
        "model": ("num_hidden", "variance", "log_variance_range"),
        "data": ("least_scale",),
        "output": ("sample_steps",),
    }

    preset: Literal["small"] | None = None
    """Values to begin with: `small` takes a minute. Flags win."""
    num_hidden: Count = 500
    """Hidden units."""
    epochs: Count = 100
    """Epochs, with every example once."""
    learning_rate: Rate = 0.01
    """First step size of plain SGD; it falls linearly to 0."""
    variance: Literal["learned", "fixed"] = "learned"
    """Whether each pixel's variance is learned, or stays 1 in standardised units."""
    variance_learning_rate: Rate = 0.001
    """First step size of the log-variances; it falls linearly to 0."""
    log_variance_range: tuple[Exponent, Exponent] = (-3.0, 1.0)
    """Smallest and largest log-variance, in standardised units; updates are cut to stay
    between them."""
    least_scale: Share = 0.1
    """Smallest scale by which a pixel is divided, in gray levels from 0 to 1: pixels
    that are rarely on are not scaled up to a variance of 1."""
    sampler: Literal["gibbs", "over-relaxed", "langevin"] = "gibbs"
    """Kernel of the persistent chains."""
    num_chains: Count = 100
    """Persistent chains."""
    num_steps: Count = 1
    """Kernel steps of each chain per update."""
    sample_steps: Steps = 1000
    """Gibbs sweeps of the longest chain in the figure of samples."""
    data: Mnist = dataclasses.field(default_factory=Mnist)


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "grbm_mnist")

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

import jboltz
from jboltz import RBM, Bernoulli, Gaussian, Gibbs, RBMParams, plotting, random
from jboltz.data import Dataset, fit_standardizer
from jboltz.learning.pretrain import unit_interval
from jboltz.learning.transforms import by_field, project, within
from jboltz.models.grbm import in_data_units
from jboltz.runs import checks, program
from jboltz.runs.pictures import pictures_after, sweep_counts
from jboltz.runs.progress import say
from jboltz.runs.training import draw_contrast, fit_with_checkpoints
from jboltz.runs.workdir import Workdir
from jboltz.samplers.langevin import GibbsLangevin, OverRelaxed

SAMPLERS = {"gibbs": Gibbs, "over-relaxed": OverRelaxed, "langevin": GibbsLangevin}


def check(config: Config, data: Dataset) -> None:
    checks.images(config, data)
    within(*config.log_variance_range)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[RBMParams, dict[str, Any]]:
    """Trains and evaluates; the parameters are in gray levels from 0 to 1."""
    rbm = build(config, data)
    found = fit_standardizer(data.train, least_scale=config.least_scale)
    location, scale = map(jnp.asarray, (found.location, found.scale))
    sampler = SAMPLERS[config.sampler](rbm)
    estimator = jboltz.PersistentContrastiveDivergence(
        rbm, sampler, config.num_chains, config.num_steps
    )
    optimizer = make_optimizer(config, len(data.train))

    def init(key):
        key_params, key_estimator = jax.random.split(key)
        # Standardised, the data have the means and variances that units start with.
        return jboltz.init_train_state(
            rbm.init(key_params), estimator, optimizer, key_estimator
        )

    key_train, _ = jax.random.split(jax.random.key(config.seed))
    state, records = fit_with_checkpoints(
        workdir,
        "grbm",
        jboltz.make_train_step(estimator, optimizer),
        init,
        jnp.asarray(data.train),
        key_train,
        batch_size=config.batch_size,
        num_epochs=config.epochs,
        prepare=jax.tree_util.Partial(_standardized, location, scale),
        loss="contrast",
    )
    params = in_data_units(state.params, location, scale)
    deviation = np.exp(0.5 * np.asarray(state.params.visible.log_variance))
    numbers = {
        "epochs": records,
        "standard_deviation": {
            "smallest": float(deviation.min()),
            "median": float(np.median(deviation)),
            "largest": float(deviation.max()),
        },
        "test": evaluate(config, data, params),
    }
    return params, numbers


def build(config: Config, data: Dataset) -> RBM:
    return RBM(Gaussian(data.train.shape[1]), Bernoulli(config.num_hidden))


def make_optimizer(config: Config, num_examples: int) -> optax.GradientTransformation:
    """SGD, with a rate and a range of their own for the log-variances."""
    updates = config.epochs * -(-num_examples // config.batch_size)

    def sgd(rate):
        return optax.sgd(optax.linear_schedule(rate, 0.0, updates))

    variance = optax.set_to_zero()
    if config.variance == "learned":
        bound = project(within(*config.log_variance_range))
        variance = optax.chain(sgd(config.variance_learning_rate), bound)
    return by_field(sgd(config.learning_rate), log_variance=variance)


def _standardized(
    location: Array, scale: Array, rows: Array, key: Key[Array, ""]
) -> Array:
    del key
    return (unit_interval(rows) - location[None]) / scale[None]


def evaluate(config: Config, data: Dataset, params: RBMParams) -> dict[str, float]:
    """Error of mean reconstructions of test images, in gray levels²; and the mean
    free energy of test images less that of as many training images, in nats."""
    rbm = build(config, data)
    test = unit_interval(jnp.asarray(data.test))
    seen = unit_interval(jnp.asarray(data.train[: len(test)]))

    def one(v):
        error = jnp.mean((v - _reconstruct(rbm, params, v)) ** 2)
        return error, rbm.free_energy(params, v)

    errors, unseen_energies = jax.lax.map(one, test, batch_size=1000)
    _, seen_energies = jax.lax.map(one, seen, batch_size=1000)
    return {
        "reconstruction_error": float(jnp.mean(errors)),
        "free_energy_gap": float(jnp.mean(unseen_energies) - jnp.mean(seen_energies)),
    }


def _reconstruct(rbm, params, v):
    return rbm.mean_visible_state(params, rbm.mean_hidden_state(params, v))


def sample(
    config: Config, data: Dataset, params: RBMParams, digits: Array
) -> dict[str, Array]:
    """Means of the pixels along chains that start at `digits` and at noise."""
    rbm = build(config, data)
    _, key = jax.random.split(jax.random.key(config.seed))
    keys_noise, keys, keys_from_noise = (
        random.fold_in_range(k, len(digits)) for k in jax.random.split(key, 3)
    )
    noise = jax.vmap(rbm.sample_start, in_axes=(None, 0))(params, keys_noise)
    longest, rows = config.sample_steps, {"test digit": digits}
    rows["reconstruction"] = jax.vmap(partial(_reconstruct, rbm, params))(digits)
    for name, length in sweep_counts(longest).items():
        rows[name] = pictures_after(Gibbs(rbm), params, digits, keys, length)
    rows["from noise"] = pictures_after(
        Gibbs(rbm), params, noise, keys_from_noise, longest
    )
    return rows


def draw_figures(
    config: Config, data: Dataset, params: RBMParams, numbers: dict[str, Any]
) -> dict[str, Any]:
    shape = data.image_shape or (28, 28)
    digits = unit_interval(jnp.asarray(data.test[:160:10]))
    deviation = jnp.exp(0.5 * params.visible.log_variance)
    return {
        "filters": plotting.filters(
            params.weights, shape, title="Filters in gray levels, largest norm first"
        ),
        "samples": plotting.image_rows(
            sample(config, data, params, digits),
            shape,
            title="Means of the pixels along Gibbs chains from digits, and from noise",
        ),
        "deviation": plotting.image_rows(
            {"mean": params.visible.mean[None], "σ": deviation[None]},
            shape,
            title="Mean and standard deviation of each pixel",
        ),
        "contrast": draw_contrast(numbers["epochs"]),
    }


def report(results: dict[str, Any]) -> None:
    test, deviation = results["test"], results["standard_deviation"]
    say(
        f"mean reconstruction of test images: MSE {test['reconstruction_error']:.4f}; "
        f"free-energy gap {test['free_energy_gap']:.1f} nats"
    )
    say(
        f"standard deviations, standardised: {deviation['smallest']:.2f} to "
        f"{deviation['largest']:.2f}, median {deviation['median']:.2f}"
    )


PROGRAM = program.Program(
    name="grbm_mnist",
    config=Config,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
    model=build,
)

if __name__ == "__main__":
    program.main(PROGRAM)
