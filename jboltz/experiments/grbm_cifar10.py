"""Gaussian–Bernoulli RBM on patches of CIFAR-10.
python -m jboltz.experiments.grbm_cifar10

Reference: Krizhevsky (2009), Learning multiple layers of features from tiny images;
Cho, Ilin & Raiko (2011), Improved learning of Gaussian-Bernoulli restricted Boltzmann
machines.
"""

import dataclasses
from typing import ClassVar, Literal

from jboltz.ranges import Exponent, Rate
from jboltz.runs.config import answer
from jboltz.runs.families import PatchRBMConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PatchRBMConfig):
    """Trains a Gaussian–Bernoulli RBM on whitened colour patches of CIFAR-10."""

    PRESETS: ClassVar = {
        "small": {"num_hidden": 50, "num_patches": 10_000, "epochs": 5},
        "likelihood": {"num_hidden": 16, "num_components": 60, "contrast": "raw"},
    }

    GROUPS: ClassVar = {"model": ("variance", "log_variance_range", "hidden_bias")}

    preset: Literal["small", "likelihood"] | None = None
    """Values to begin with: `small` takes a minute, `likelihood` has few enough hidden
    units for log Z by enumeration. Flags win."""
    variance: Literal["learned", "fixed"] = "learned"
    """Whether each direction's variance is learned, or stays 1."""
    variance_learning_rate: Rate = 0.01
    """First step size of the log-variances; it falls linearly to 0."""
    log_variance_range: tuple[Exponent, Exponent] = (-4.0, 2.0)
    """Smallest and largest log-variance; updates are cut to stay between them."""
    hidden_bias: Exponent = -3.0
    """Initial hidden biases; below 0, units are rarely on at first."""


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "grbm_cifar10")

from functools import partial
from typing import Any

import jax.numpy as jnp
import optax

from jboltz import RBM, Bernoulli, Gaussian, RBMParams
from jboltz.data import Dataset, whitened_patches
from jboltz.learning.transforms import by_field, project, within
from jboltz.runs import patches as on_patches
from jboltz.runs import program
from jboltz.runs.workdir import Workdir


def check(config: Config, data: Dataset) -> None:
    on_patches.check(config, data)
    within(*config.log_variance_range)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[RBMParams, dict[str, Any]]:
    """Trains and evaluates; the parameters are those of whitened patches."""
    patches = whitened_patches(data, config, config.seed)
    rbm = build(config)

    def start(params):
        bias = jnp.full(config.num_hidden, config.hidden_bias)
        hidden = rbm.hidden.shift(params.hidden, bias)
        return dataclasses.replace(params, hidden=hidden)

    state, records = on_patches.fit(
        config,
        rbm,
        make_optimizer(config),
        start,
        jnp.asarray(patches.train),
        workdir,
        stage="grbm",
    )
    variances = jnp.exp(state.params.visible.log_variance)
    return state.params, {
        "epochs": records,
        "smallest_variance": float(variances.min()),
        "mean_variance": float(variances.mean()),
        **on_patches.evaluate(rbm, state.params, config.num_hidden, patches),
    }


def build(config: Config) -> RBM:
    return RBM(Gaussian(config.num_components), Bernoulli(config.num_hidden))


def make_optimizer(config: Config) -> optax.GradientTransformation:
    """Adam, with a rate and a range of their own for the log-variances."""

    def adam(rate):
        return optax.adam(on_patches.schedule(rate, config))

    variance = optax.set_to_zero()
    if config.variance == "learned":
        bound = project(within(*config.log_variance_range))
        variance = optax.chain(adam(config.variance_learning_rate), bound)
    return by_field(adam(config.learning_rate), log_variance=variance)


PROGRAM = program.Program(
    name="grbm_cifar10",
    config=Config,
    check=check,
    run=run,
    draw_figures=partial(
        on_patches.draw, title="What each hidden unit adds to a patch"
    ),
    report=on_patches.report,
    model=lambda config, data: build(config),
)

if __name__ == "__main__":
    program.main(PROGRAM)
