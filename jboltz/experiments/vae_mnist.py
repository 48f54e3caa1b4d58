"""A deep belief network beside a variational autoencoder of the same code size.
python -m jboltz.experiments.vae_mnist --pretrained runs/dbn_mnist

Reference: Kingma & Welling (2014), Auto-encoding variational Bayes; Hinton, Osindero &
Teh (2006), A fast learning algorithm for deep belief nets; Salakhutdinov & Murray
(2008), On the quantitative analysis of deep belief networks.
"""

import dataclasses
from typing import Annotated, ClassVar, Literal

from jboltz.evaluation.settings import Ladders
from jboltz.ranges import Count, Range, Rate, Steps
from jboltz.runs.config import answer
from jboltz.runs.families import LADDERS, PretrainedConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Ladders, PretrainedConfig):
    """Trains a VAE of the code size of a pretrained DBN, and judges both alike."""

    PRESETS: ClassVar = {
        "small": {"epochs": 2, "num_weights": 10, "bound_images": 100}
        | {"ladder_scale": 0.1, "ladder_check": 0.0, "annealed_chains": 50}
        | {"num_samples": 200, "sample_steps": 100},
    }

    GROUPS: ClassVar = {
        "model": ("hidden",),
        "evaluation": ("num_samples", "bound_images", *LADDERS),
        "output": ("sample_steps",),
    }

    preset: Literal["small"] | None = None
    """Values to begin with: `small` takes a minute. Flags win."""
    hidden: tuple[Count, ...] = ()
    """Units of the VAE's hidden layers, from the pixels to the code and back; by
    default those of the DBN below its top. The VAE then has about twice as many
    parameters, since a DBN uses its weights both ways."""
    epochs: Count = 30
    """Epochs of the VAE; the one with the best ELBO on held-out images is kept."""
    learning_rate: Rate = 0.003
    """First step size of Adam; it falls linearly to 0."""
    num_weights: Count = 100
    """K of the importance-weighted bounds."""
    bound_images: Count = 1000
    """Test images, evenly spaced, for which the bounds are computed."""
    ladder_check: Annotated[float, Range(0, 1000)] = 4.0
    num_samples: Annotated[int, Range(6, 1_000_000)] = 1000
    """Samples of each model, and as many test images, whose quality is compared."""
    sample_steps: Steps = 1000
    """Gibbs sweeps of the DBN's top RBM, from noise to a sample."""


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "vae_mnist")

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

import jboltz
from jboltz import DBN, plotting, random
from jboltz.base import Params
from jboltz.data import Dataset, hold_out
from jboltz.errors import InvalidValue
from jboltz.evaluation.bounds import dbn_bounds_by_annealing, vae_bounds
from jboltz.evaluation.quality import sample_quality, spread
from jboltz.evaluation.reconstruction import (
    Reconstruction,
    dbn_log_odds,
    pixel_errors,
    vae_log_odds,
)
from jboltz.learning.best import BestSoFar
from jboltz.learning.pretrain import LayerFeatures, unit_interval
from jboltz.nets.vae import VAE, NegativeELBO, keep_best_elbo, picture_from_prior
from jboltz.runs import checks, program
from jboltz.runs.likelihoods import as_json, check_ladders
from jboltz.runs.pretrained import Pretrained, kind_of, load_dbn
from jboltz.runs.progress import say
from jboltz.runs.tables import say_bounds, say_pixel_errors, say_sample_quality
from jboltz.runs.training import fit_with_checkpoints
from jboltz.runs.workdir import Workdir
from jboltz.samplers.ancestral import generate_from_noise

NUM_DRAWN = 32
"""Samples of each model in the figure, the first."""

MEAN_IMAGE = "mean training image"
"""The name of a reconstruction that is the same for every image."""


class Images(NamedTuple):
    """Gray images, scaled as those that the DBN was trained on."""

    train: np.ndarray
    held_out: np.ndarray
    test: np.ndarray


class Models(NamedTuple):
    """A DBN that another run trained, and a VAE of its code size."""

    dbn: DBN
    vae: VAE
    kind: str  # "DBN", or "RBM" for a DBN of one layer
    params: dict[str, Params]  # of this kind and "VAE"


def check(config: Config, data: Dataset) -> None:
    if config.held_out == 0:
        raise InvalidValue("`held_out` is 0 but some images have to choose the epoch.")
    checks.images(config, data)
    checks.held_out(config.held_out, config.batch_size, data)
    count = len(hold_out(data, config.held_out).train)
    images = {"bound_images": len(data.test), "num_samples": min(len(data.test), count)}
    checks.at_most(config, images)
    check_ladders(config)
    load(config, data)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[Params, dict[str, Any]]:
    """Trains the VAE and compares; returns its parameters and the numbers."""
    dbn, found, images = load(config, data)
    vae = build(config, dbn)
    key = jax.random.key(config.seed)
    key_train, key_bounds, key_samples = jax.random.split(key, 3)
    params, of_vae = fit(config, dbn, vae, images, workdir, key_train)
    numbers = {
        "code_size": vae.code_size,
        "vae": of_vae,
        "dbn": {
            "num_parameters": sum(x.size for x in jax.tree.leaves(found.params)),
            "hidden": [layer.hidden.size for layer in dbn.layers[:-1]],
        },
        "pretraining": found.run,
    }
    if config.read_test:
        count, test = config.num_samples, unit_interval(jnp.asarray(images.test))
        models = pair(found, dbn, vae, params)
        compared = reconstructions(models)
        compared[MEAN_IMAGE] = (lambda bias, _: bias, mean_image(dbn, images.train))
        numbers["test"] = {
            "reconstruction": pixel_errors(compared, test),
            "bounds": bounds(config, models, images, key_bounds),
            "quality": sample_quality(
                unit_interval(jnp.asarray(images.train)),
                spread(test, count),
                sample(config, models, key_samples, count),
                data.image_shape or (28, 28),
            ),
        }
    return params, numbers


def load(config: Config, data: Dataset) -> tuple[DBN, Pretrained, Images]:
    """The DBN in `config.pretrained`, its run, and the images as it was given them."""
    dbn, found, data = load_dbn(config.pretrained, data)
    held = hold_out(data, config.held_out)
    return dbn, found, Images(held.train, held.test, data.test)


def build(config: Config, dbn: DBN) -> VAE:
    """Its code is as large as the top layer, its hidden layers are those below, unless
    `config.hidden` says otherwise."""
    *below, top = (layer.hidden.size for layer in dbn.layers)
    return VAE(dbn.layers[0].visible.size, config.hidden or tuple(below), top)


def fit(
    config: Config,
    dbn: DBN,
    vae: VAE,
    images: Images,
    workdir: Workdir,
    key: Key[Array, ""],
) -> tuple[Params, dict[str, Any]]:
    """The VAE of the epoch with the best held-out ELBO, and the numbers to record.

    Gray pixels are drawn afresh at every use, as those of the DBN's first layer are.
    """
    rows = jnp.asarray(images.train)
    key_held_out, key_fit = jax.random.split(key)
    held_out = jboltz.binarise_once(images.held_out, config.seed).values
    updates = config.epochs * -(-len(rows) // config.batch_size)
    optimizer = optax.adam(optax.linear_schedule(config.learning_rate, 0.0, updates))
    estimator = BestSoFar(NegativeELBO(vae))

    def init(key):
        key_params, key_estimator = jax.random.split(key)
        params = dict(vae.init(key_params, jnp.zeros(vae.num_visible))["params"])
        # Without it the code would have to say that most of an image is black.
        bias = mean_image(dbn, images.train)
        params["pixels"] = {**params["pixels"], "bias": bias}
        return jboltz.init_train_state(params, estimator, optimizer, key_estimator)

    state, records = fit_with_checkpoints(
        workdir,
        "vae",
        jboltz.make_train_step(estimator, optimizer),
        init,
        rows,
        key_fit,
        batch_size=config.batch_size,
        num_epochs=config.epochs,
        prepare=jax.tree_util.Partial(LayerFeatures((dbn.layers[0],)), ()),
        end_epoch=keep_best_elbo(vae, held_out, key_held_out),
        loss="negative_elbo",
    )
    losses = [record["held_out_negative_elbo"] for record in records]
    return state.estimator_state.params, {
        "num_parameters": sum(x.size for x in jax.tree.leaves(state.params)),
        "hidden": list(vae.hidden),
        "best_epoch": 1 + int(np.argmin(losses)),
        "held_out_elbo": -min(losses),
        "training_seconds": sum(record["seconds"] for record in records),
        "epochs": records,
    }


def pair(found: Pretrained, dbn: DBN, vae: VAE, params: Params) -> Models:
    """The DBN of `found` and the VAE, each with its parameters."""
    kind = kind_of(found.run)
    return Models(dbn, vae, kind, {kind: found.params, "VAE": params})


def mean_image(dbn: DBN, train: np.ndarray) -> Array:
    """The log-odds of the pixels of the mean training image, which are finite."""
    return dbn.layers[0].visible.fit(unit_interval(jnp.asarray(train))).bias


def reconstructions(models: Models) -> dict[str, Reconstruction]:
    """The log-odds of the pixels of each model's mean reconstruction."""
    return {
        models.kind: (partial(dbn_log_odds, models.dbn), models.params[models.kind]),
        "VAE": (partial(vae_log_odds, models.vae), models.params["VAE"]),
    }


def bounds(
    config: Config, models: Models, images: Images, key: Key[Array, ""]
) -> dict[str, Any]:
    """Both bounds of both models, of evenly spaced test images, binarised once."""
    say("estimating the bounds of the likelihood by annealing")
    key_z, key_dbn, key_vae = jax.random.split(key, 3)
    examples = jboltz.binarise_once(images.test, config.seed)
    few = spread(examples.values, config.bound_images)
    examples = dataclasses.replace(examples, values=few)
    count = config.num_weights
    log_z, found = dbn_bounds_by_annealing(
        models.dbn,
        models.params[models.kind],
        examples,
        unit_interval(jnp.asarray(images.train)),
        config,
        key_anneal=key_z,
        key_bounds=key_dbn,
        num_samples=count,
    )
    found = {f"{models.kind} by {name}": both for name, both in found.items()}
    found["VAE"] = vae_bounds(
        models.vae, models.params["VAE"], examples, key_vae, num_samples=count
    )
    names = ("elbo", "importance_weighted")
    return {
        "num_examples": len(examples.values),
        "num_weights": count,
        "binarisation": examples.binarisation,
        "log_partition": {name: as_json(z) for name, z in log_z.items()},
        "models": {
            model: dict(zip(names, map(as_json, both), strict=True))
            for model, both in found.items()
        },
    }


def sample(
    config: Config, models: Models, key: Key[Array, ""], count: int
) -> dict[str, Array]:
    """Pictures of each model as means of pixels, drawn without any image.

    Picture i draws from `fold_in(·, i)`, whatever `count` is. The DBN's are the ends of
    chains in its top RBM that started at noise.
    """
    keys_dbn, keys_vae = (random.fold_in_range(k, count) for k in jax.random.split(key))
    of_dbn = partial(generate_from_noise, models.dbn)
    of_vae = partial(picture_from_prior, models.vae)
    from_noise = jax.jit(jax.vmap(of_dbn, in_axes=(None, 0, None)))
    from_prior = jax.jit(jax.vmap(of_vae, in_axes=(None, 0)))
    steps = jnp.asarray(config.sample_steps)
    return {
        models.kind: from_noise(models.params[models.kind], keys_dbn, steps),
        "VAE": from_prior(models.params["VAE"], keys_vae),
    }


def draw_figures(
    config: Config, data: Dataset, params: Params, numbers: dict[str, Any]
) -> dict[str, Any]:
    dbn, before, images = load(config, data)
    vae = build(config, dbn)
    models = pair(before, dbn, vae, params)
    shape, code = data.image_shape or (28, 28), f"a code of {vae.code_size}"
    # Every tenth of the first 160 digits: all kinds, and no choice by eye.
    name = "test" if config.read_test else "held_out"
    digits = unit_interval(jnp.asarray(getattr(images, name)[:160:10]))
    rows = {f"{name.replace('_', '-')} digit": digits}
    for model, (log_odds, of_model) in reconstructions(models).items():
        found = jax.vmap(log_odds, in_axes=(None, 0))(of_model, digits)
        rows[model] = jax.nn.sigmoid(found)
    _, _, key = jax.random.split(jax.random.key(config.seed), 3)
    pictures = sample(config, models, key, NUM_DRAWN)
    epochs = numbers["vae"]["epochs"]
    curves = {
        "training": [-record["loss"] for record in epochs],
        "held out": [-record["held_out_negative_elbo"] for record in epochs],
    }
    return {
        "reconstructions": plotting.image_rows(
            rows, shape, title=f"Digits and their mean reconstructions from {code}"
        ),
        "samples": plotting.image_rows(
            {
                f"{model}, {part}": x
                for model, row in pictures.items()
                for part, x in enumerate(jnp.split(row, 2), start=1)
            },
            shape,
            title=f"Samples, means of pixels: the {models.kind}'s after "
            f"{config.sample_steps} sweeps from noise",
        ),
        "elbo": plotting.curves(curves, title="ELBO of the VAE", ylabel="nats"),
    }


def report(results: dict[str, Any]) -> None:
    vae, dbn = results["vae"], results["dbn"]
    for name, found in ((kind_of(results["pretraining"]), dbn), ("VAE", vae)):
        hidden = "-".join(map(str, [*found["hidden"], results["code_size"]]))
        say(f"{name}, {hidden}: {found['num_parameters']:,} parameters")
    say(
        f"VAE: held-out ELBO {vae['held_out_elbo']:.2f} after epoch "
        f"{vae['best_epoch']} of {len(vae['epochs'])}; "
        f"{vae['training_seconds']:.0f} s of training"
    )
    if "test" not in results:
        return
    say_pixel_errors(results["test"]["reconstruction"])
    say_bounds(results["test"]["bounds"])
    count = results["config"]["num_samples"]
    say(f"{count} samples of each, and {count} test images:")
    say_sample_quality(results["test"]["quality"])


PROGRAM = program.Program(
    name="vae_mnist",
    config=Config,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
)

if __name__ == "__main__":
    program.main(PROGRAM)
