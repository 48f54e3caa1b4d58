"""RBMs and DBNs on whitened patches of CIFAR-10: what their programs share."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike

from jboltz import plotting
from jboltz.base import Params
from jboltz.data import Dataset, WhitenedPatches, whitened_patches
from jboltz.data.patches import HELD_OUT, as_pixels
from jboltz.errors import InvalidValue
from jboltz.evaluation.likelihood import gaussian_log_likelihood, per_example
from jboltz.evaluation.partition import log_partition
from jboltz.learning.contrastive import PersistentContrastiveDivergence
from jboltz.learning.step import TrainState, init_train_state, make_train_step
from jboltz.models.rbm import RBM
from jboltz.models.spike_and_slab import SpikeAndSlab
from jboltz.runs import checks
from jboltz.runs.families import PatchConfig, PatchRBMConfig
from jboltz.runs.progress import say
from jboltz.runs.training import draw_contrast, fit_with_checkpoints
from jboltz.runs.workdir import Workdir
from jboltz.samplers.gibbs import Gibbs

MOST_HIDDEN = 16
"""Up to 2¹⁶ hidden states log Z takes seconds."""

PatchRBM = RBM | SpikeAndSlab


def check(config: PatchConfig, data: Dataset) -> None:
    """Refuses, with a ValueError, what no program on patches can run."""
    shape = data.image_shape
    if shape is None or len(shape) != 3 or len(data.train) < 2 * HELD_OUT:
        raise InvalidValue(
            f"The data have {len(data.train)} training images of shape {shape} but "
            f"patches need at least {2 * HELD_OUT}, of shape (height, width, colours)."
        )
    if config.patch_size > min(shape[:2]):
        raise InvalidValue(
            f"`patch_size` is {config.patch_size} but the images are {shape[0]} by "
            f"{shape[1]} pixels."
        )
    num_features = config.patch_size**2 * shape[2]
    if not 1 <= config.num_components <= num_features:
        raise InvalidValue(
            f"`num_components` is {config.num_components} but patches have 1 to "
            f"{num_features} directions."
        )
    checks.memory(config, data)
    if config.batch_size > config.num_patches:
        raise InvalidValue(
            f"`batch_size` is {config.batch_size} but there are {config.num_patches} "
            "training patches; take at most that many."
        )


def fit(
    config: PatchRBMConfig,
    model: PatchRBM,
    optimizer: optax.GradientTransformation,
    start: Callable[[Any], Params],
    train: Array,
    workdir: Workdir,
    stage: str,
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Trains `model` by PCD with Gibbs sweeps.

    Args:
      start: the first parameters, from those of `model.init` with weights of
        `config.weight_scale`. Whitened, the data have the means of 0 of that `init`.
      stage: as of `fit_with_checkpoints`.
    """
    estimator = PersistentContrastiveDivergence(
        model, Gibbs(model), config.num_chains, config.num_steps
    )

    def init(key):
        key_params, key_weights, key_estimator = jax.random.split(key, 3)
        params = model.init(key_params)
        weights = jax.random.normal(key_weights, params.weights.shape)
        params = dataclasses.replace(params, weights=config.weight_scale * weights)
        return init_train_state(start(params), estimator, optimizer, key_estimator)

    return fit_with_checkpoints(
        workdir,
        stage,
        make_train_step(estimator, optimizer),
        init,
        train,
        jax.random.key(config.seed),
        batch_size=config.batch_size,
        num_epochs=config.epochs,
        loss="contrast",
    )


def schedule(rate: float, config: PatchRBMConfig) -> optax.Schedule:
    """A step size that falls from `rate` linearly to 0, where training ends."""
    updates = config.epochs * -(-config.num_patches // config.batch_size)
    return optax.linear_schedule(rate, 0.0, updates)


def evaluate(
    model: PatchRBM, params: Params, num_hidden: int, patches: WhitenedPatches
) -> dict[str, dict[str, float]]:
    """Mean log-likelihoods a patch, in nats, of the model and of a full-covariance
    Gaussian fitted to the same training patches; none for a model too large."""
    if num_hidden > MOST_HIDDEN:
        return {}
    log_z = jax.jit(
        lambda params: log_partition(
            partial(model.hidden_free_energy, params), num_hidden
        )
    )(params)
    found = {}
    for name in ("train", "validation", "test"):
        x = getattr(patches, name)[: len(patches.test)]
        free_energy = partial(model.free_energy, params)
        energies = per_example(free_energy, jnp.asarray(x), batch_size=1000)
        found[name] = {
            "log_likelihood": float(-energies.mean() - log_z),
            "gaussian": gaussian_log_likelihood(patches.train, x),
        }
    return found


def draw(
    config: PatchRBMConfig,
    data: Dataset,
    params: Any,
    numbers: dict[str, Any],
    *,
    title: str,
) -> dict[str, Any]:
    """The figures of a run, by file name; `title` is that of the filters."""
    patches = whitened_patches(data, config, config.seed)
    return {
        "filters": filters(patches, params.weights, title=title),
        "contrast": draw_contrast(numbers["epochs"]),
    }


def filters(patches: WhitenedPatches, weights: ArrayLike, *, title: str) -> Any:
    """What each hidden unit adds to a patch, largest first, beside PCA's directions."""
    W = np.asarray(weights)
    order = np.argsort(-np.linalg.norm(W, axis=0), kind="stable")
    learnt = as_pixels(patches, W[:, order].T)
    # Unwhitened, the covariance of white features is that of the patches.
    covariance = patches.whitening.inverse.T @ patches.whitening.inverse
    directions = np.linalg.eigh(covariance)[1].T[::-1]
    return plotting.colour_tiles(
        {"learnt": learnt, "principal components": directions},
        patches.shape,
        title=title,
    )


def report(results: dict[str, Any]) -> None:
    """The results in a few lines."""
    say(f"last contrast {results['epochs'][-1]['loss']:.2f} nats")
    for name in ("train", "validation", "test"):
        if name in results:
            mean, gaussian = results[name].values()
            say(
                f"log-likelihood a {name} patch {mean:.2f} nats, full-covariance "
                f"Gaussian {gaussian:.2f}, difference {mean - gaussian:+.2f}"
            )
