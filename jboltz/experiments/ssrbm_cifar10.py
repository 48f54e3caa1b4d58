"""Spike-and-slab RBM on patches of CIFAR-10.
python -m jboltz.experiments.ssrbm_cifar10

Reference: Courville, Bergstra & Bengio (2011), Unsupervised models of images by
spike-and-slab RBMs.
"""

import dataclasses
from typing import ClassVar, Literal

from jboltz.data.patches import Contrast
from jboltz.ranges import Count, Exponent, Scale
from jboltz.runs.config import answer
from jboltz.runs.families import PatchRBMConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PatchRBMConfig):
    """Trains a spike-and-slab RBM on whitened colour patches of CIFAR-10."""

    PRESETS: ClassVar = {
        "small": {"num_hidden": 50, "num_patches": 10_000, "epochs": 5},
        "likelihood": {"num_hidden": 16, "num_components": 60, "epochs": 15}
        | {"penalty": "gershgorin", "relative_precision": 1.0, "spike_bias": 0.0}
        | {"learning_rate": 0.003},
    }

    GROUPS: ClassVar = {
        "model": ("penalty", "kappa", "relative_precision", "spike_bias")
    }

    preset: Literal["small", "likelihood"] | None = None
    """Values to begin with: `small` takes a minute, `likelihood` has few enough hidden
    units for log Z by enumeration. Flags win."""
    num_hidden: Count = 128
    """Hidden units, each a spike and a slab; up to 16, likelihoods are computed."""
    penalty: Literal["gershgorin", "norm", "none"] = "none"
    """How the precision of the pixels is kept positive; `none` projects the weights
    after every update, and lets spikes add variance along their filters."""
    kappa: Scale = 1.0
    """κ of the energy: 1 as in the book Deep Learning, 0.5 as in the papers."""
    contrast: Contrast = "raw"
    epochs: Count = 30
    weight_scale: Scale = 0.1
    relative_precision: Scale = 2.5
    """Initial precision of a pixel with all spikes off, in units of that of the data.
    The spikes have to take the excess away."""
    spike_bias: Exponent = -2.0
    """Initial log-odds of a spike if the patch does not match its filter."""


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "ssrbm_cifar10")

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jboltz import SpikeAndSlab, SpikeAndSlabParams
from jboltz.data import Dataset, whitened_patches
from jboltz.learning.transforms import by_field, project
from jboltz.models.spike_penalty import GershgorinPenalty, NoPenalty, NormPenalty
from jboltz.runs import patches as on_patches
from jboltz.runs import program
from jboltz.runs.progress import say
from jboltz.runs.workdir import Workdir

PENALTIES = {
    "gershgorin": GershgorinPenalty(),
    "norm": NormPenalty(),
    "none": NoPenalty(),
}


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[SpikeAndSlabParams, dict[str, Any]]:
    """Trains and evaluates; the parameters are those of whitened patches."""
    patches = whitened_patches(data, config, config.seed)
    train = jnp.asarray(patches.train)
    model = build(config)
    # W → cW, α → c²α, μ → μ/c is the same p(x): α only fixes the unit of a slab.
    optimizer = by_field(
        optax.adam(on_patches.schedule(config.learning_rate, config)),
        log_slab_precision=optax.set_to_zero(),
    )
    if isinstance(model.penalty, NoPenalty):
        optimizer = optax.chain(optimizer, project(model.penalty.project))

    def start(params):
        # The variance of the data is shared with the spikes.
        params = dataclasses.replace(
            params,
            spike_bias=jnp.full_like(params.spike_bias, config.spike_bias),
            log_visible_precision=math.log(config.relative_precision)
            - jnp.log(jnp.var(train, axis=0)),
        )
        if isinstance(model.penalty, NoPenalty):
            params = model.penalty.project(params)
        return params

    state, records = on_patches.fit(
        config, model, optimizer, start, train, workdir, stage="ssrbm"
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
        **on_patches.evaluate(model, state.params, config.num_hidden, patches),
    }
    return state.params, numbers


def build(config: Config) -> SpikeAndSlab:
    return SpikeAndSlab(
        config.num_components,
        config.num_hidden,
        config.kappa,
        penalty=PENALTIES[config.penalty],
    )


def report(results: dict[str, Any]) -> None:
    on_patches.report(results)
    say(
        f"smallest eigenvalue of the precision {results['smallest_eigenvalue']:.3g}; "
        f"{results['share_of_spikes_on']:.0%} of spikes on"
    )


PROGRAM = program.Program(
    name="ssrbm_cifar10",
    config=Config,
    check=on_patches.check,
    run=run,
    draw_figures=partial(on_patches.draw, title="What each slab adds to a patch"),
    report=report,
    model=lambda config, data: build(config),
)

if __name__ == "__main__":
    program.main(PROGRAM)
