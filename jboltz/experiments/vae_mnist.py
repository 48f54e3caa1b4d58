"""A deep belief network beside a variational autoencoder of the same code size.
python -m jboltz.experiments.vae_mnist --pretrained runs/dbn_mnist

Reference: Kingma & Welling (2014), Auto-encoding variational Bayes; Hinton, Osindero &
Teh (2006), A fast learning algorithm for deep belief nets; Salakhutdinov & Murray
(2008), On the quantitative analysis of deep belief networks.
"""

import dataclasses
import pathlib
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from jboltz import plotting
from jboltz.base import Params
from jboltz.data import Dataset, load_mnist
from jboltz.evaluation.annealing import annealing_ladder
from jboltz.experiments import _checks, _comparison, _config, _quality, _run, _vae
from jboltz.experiments._workdir import Workdir
from jboltz.learning.pretrain import unit_interval

NUM_DRAWN = 32
"""Samples of each model in the figure, the first."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Trains a VAE of the code size of a pretrained DBN, and judges both alike."""

    PRESETS: ClassVar = {
        "small": {"epochs": 2, "num_weights": 10, "bound_images": 100}
        | {"ladder_scale": 0.1, "ladder_check": 0.0, "annealed_chains": 50}
        | {"num_samples": 200, "sample_steps": 100},
    }

    workdir: pathlib.Path = pathlib.Path("runs/vae_mnist")
    """Folder for checkpoints, figures and results; an interrupted run goes on there."""
    preset: Literal["small"] | None = None
    """Values to begin with: `small` takes a minute. Flags win."""
    pretrained: pathlib.Path = pathlib.Path("runs/dbn_mnist")
    """Workdir of a finished run of dbn_mnist, or of rbm_mnist: a DBN of one layer."""
    hidden: tuple[int, ...] = ()
    """Units of the VAE's hidden layers, from the pixels to the code and back; none
    takes those of the DBN below its top. A DBN's weights serve both ways and a VAE's
    one, so that it then has about twice as many parameters."""
    epochs: int = 30
    """Epochs of the VAE; that with the best held-out ELBO is kept."""
    batch_size: int = 100
    """Examples an update; the last batch of an epoch may be shorter."""
    learning_rate: float = 0.003
    """First step size of Adam; it falls linearly to 0."""
    held_out: int = 10_000
    """Training images, the last ones, whose ELBO chooses the epoch; the DBN may have
    been trained on them, too."""
    read_test: bool = True
    """Read the test set, once, at the end, and compare; --no-read-test while choosing
    settings of the VAE."""
    num_weights: int = 100
    """K of the importance-weighted bounds."""
    bound_images: int = 1000
    """Test images, evenly spaced, of which the bounds are taken."""
    ladder_scale: float = 1.0
    """Rungs of the ladder for log Z of the DBN's top RBM, in units of 14 500."""
    ladder_check: float = 4.0
    """A second, longer ladder, in units of the first; 0 goes without."""
    annealed_chains: int = 100
    """Chains along a ladder."""
    num_samples: int = 1000
    """Samples of each model, and test images beside them, whose quality is compared."""
    sample_steps: int = 1000
    """Gibbs sweeps of the DBN's top RBM, from noise to a sample."""
    seed: int = 0
    """Decides initial weights, order, every draw, and the binary test images."""
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
      ValueError: a field that makes no sense or does not fit the data, or no finished
        DBN of these data.
    """
    _checks.at_least(
        config,
        {"epochs": 1, "batch_size": 1, "held_out": 1, "num_weights": 1}
        | {"bound_images": 1, "ladder_check": 0, "annealed_chains": 2}
        | {"num_samples": 6, "sample_steps": 1},
    )
    _checks.rates(config, "learning_rate", "ladder_scale")
    _checks.seed(config)
    _checks.values(config, data)
    _checks.held_out(config, data)
    annealing_ladder(config.ladder_scale)
    if min(config.hidden, default=1) < 1:
        raise ValueError(f"`hidden` is {config.hidden} but layers have 1 unit or more.")
    most = {
        "bound_images": len(data.test),
        "num_samples": min(len(data.test), len(data.train) - config.held_out),
    }
    for name, count in most.items():
        if getattr(config, name) > count:
            raise ValueError(
                f"`{name}` is {getattr(config, name)} but there are {count} images to "
                "compare with; take at most that many."
            )
    _vae.load_dbn(config, data)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[Params, dict[str, Any]]:
    """Trains the VAE and compares; returns its parameters and the numbers."""
    dbn, of_dbn, about_dbn, images = _vae.load_dbn(config, data)
    vae = _vae.build(config, dbn)
    key_train, key_bounds, key_samples = keys(config)
    found, of_vae = _vae.train(config, dbn, images, workdir, key_train)
    params = {"DBN": of_dbn, "VAE": found}
    numbers = {
        "code_size": vae.code_size,
        "vae": of_vae,
        "dbn": {
            "num_parameters": _vae.num_parameters(of_dbn),
            "hidden": [layer.hidden.size for layer in dbn.layers[:-1]],
        },
        "pretraining": about_dbn,
    }
    if config.read_test:
        models, count = (dbn, vae, params), config.num_samples
        pictures = _vae.samples(config, *models, key_samples, count)
        numbers["test"] = {
            "reconstruction": _comparison.reconstruction_errors(*models, images),
            "bounds": _comparison.bounds(config, *models, images, key_bounds),
            "quality": _quality.quality(
                unit_interval(jnp.asarray(images.train)),
                unit_interval(jnp.asarray(_quality.spread(images.test, count))),
                pictures,
                data.image_shape or (28, 28),
            ),
        }
    return found, numbers


def keys(config: Config) -> jax.Array:
    """Of training, of the bounds and of the samples."""
    return jax.random.split(jax.random.key(config.seed), 3)


def draw_figures(
    config: Config, data: Dataset, params: Params, numbers: dict[str, Any]
) -> dict[str, Any]:
    """The figures of a run, by file name."""
    dbn, of_dbn, _, images = _vae.load_dbn(config, data)
    vae = _vae.build(config, dbn)
    both = {"DBN": of_dbn, "VAE": params}
    shape, code = data.image_shape or (28, 28), f"a code of {vae.code_size}"
    # Every tenth of the first 160 digits: all kinds, and no choice by eye.
    name = "test" if config.read_test else "held_out"
    digits = unit_interval(jnp.asarray(getattr(images, name)[:160:10]))
    rows = {f"{name.replace('_', '-')} digit": digits}
    for model, log_odds in _comparison.reconstructions(dbn, vae).items():
        found = jax.vmap(log_odds, in_axes=(None, 0))(both[model], digits)
        rows[model] = jax.nn.sigmoid(found)
    *_, key = keys(config)
    pictures = _vae.samples(config, dbn, vae, both, key, NUM_DRAWN)
    half = NUM_DRAWN // 2
    curves = {
        part: [-record[field] for record in numbers["vae"]["epochs"]]
        for part, field in (
            ("training", "loss"),
            ("held out", "held_out_negative_elbo"),
        )
    }
    return {
        "reconstructions": plotting.image_rows(
            rows, shape, title=f"Digits and their mean reconstructions from {code}"
        ),
        "samples": plotting.image_rows(
            {
                f"{model}, {part}": x
                for model, row in pictures.items()
                for part, x in enumerate((row[:half], row[half:]), start=1)
            },
            shape,
            title=f"Samples, means of pixels: the DBN's after {config.sample_steps} "
            "sweeps from noise",
        ),
        "elbo": plotting.curves(curves, title="ELBO of the VAE", ylabel="nats"),
    }


def report(results: dict[str, Any]) -> None:
    """The results in a few lines."""
    vae, dbn = results["vae"], results["dbn"]
    for name, found in (("DBN", dbn), ("VAE", vae)):
        hidden = "-".join(map(str, [*found["hidden"], results["code_size"]]))
        _run.say(f"{name}, {hidden}: {found['num_parameters']:,} parameters")
    _run.say(
        f"VAE: held-out ELBO {vae['held_out_elbo']:.2f} after epoch "
        f"{vae['best_epoch']} of {len(vae['epochs'])}; "
        f"{vae['training_seconds']:.0f} s of training"
    )
    if "test" not in results:
        return
    _comparison.say(results["test"])
    count = results["config"]["num_samples"]
    _run.say(f"{count} samples of each, and {count} test images:")
    _quality.say(results["test"]["quality"])


def main(arguments: list[str] | None = None) -> None:
    def load(config: Config) -> Dataset:
        return load_mnist(config.data.source, manual_dir=config.data.manual_dir)

    _run.main(
        "vae_mnist",
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
