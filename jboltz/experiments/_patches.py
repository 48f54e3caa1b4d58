"""What the programs on patches of CIFAR-10 share."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jboltz import plotting
from jboltz.base import Params, State
from jboltz.data import (
    Dataset,
    Whitening,
    extract_patches,
    fit_whitening,
    load_cifar10,
    normalize_contrast,
    patch_places,
    warn_unstandardized,
    whiten,
)
from jboltz.evaluation.partition import log_partition
from jboltz.experiments import _checks, _run

HELD_OUT = 10
"""One training image in this many, the last ones, is for validation."""

MOST_HIDDEN = 16
"""Up to 2¹⁶ hidden states log Z takes seconds."""


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """Whitened patches, (count, num_features) each, and how to undo the whitening."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    whitening: Whitening
    shape: tuple[int, int, int]  # of one patch
    images: dict[str, np.ndarray]  # of each patch, by part: the image it was cut from


def cut(config: Any, data: Dataset) -> Patches:
    """Patches of the training images but the last tenth, of that tenth, and of the test
    images; the whitening is fitted to the first."""
    assert data.image_shape is not None
    train = data.train.reshape(-1, *data.image_shape)
    held_out = len(train) // HELD_OUT
    sources = {
        "train": (train[:-held_out], config.num_patches),
        "validation": (train[-held_out:], config.num_patches // HELD_OUT),
        "test": (
            data.test.reshape(-1, *data.image_shape),
            config.num_patches // HELD_OUT,
        ),
    }
    patches, images = {}, {}
    for index, (name, (source, count)) in enumerate(sources.items()):
        places = {"size": config.patch_size, "seed": 3 * config.seed + index}
        cut = extract_patches(source, count, **places)
        patches[name] = normalize_contrast(cut) if config.contrast == "unit" else cut
        images[name], _, _ = patch_places(source.shape[:3], count, **places)
    # The held-out images are the last of the training images.
    images["validation"] = images["validation"] + len(train) - held_out
    whitening = fit_whitening(
        patches["train"], config.epsilon, num_components=config.num_components
    )
    white = {name: whiten(whitening, x) for name, x in patches.items()}
    warn_unstandardized(white["train"], "whitened patches")
    shape = (config.patch_size, config.patch_size, data.image_shape[2])
    return Patches(**white, whitening=whitening, shape=shape, images=images)


def gaussian_log_likelihood(train: np.ndarray, x: np.ndarray) -> float:
    """Mean log-likelihood of `x`, in nats, under the full-covariance Gaussian of
    largest likelihood for `train`."""
    mean = train.mean(axis=0, dtype=np.float64)
    covariance = np.cov(train.T.astype(np.float64), ddof=0)
    factor = np.linalg.cholesky(covariance)
    z = np.linalg.solve(factor, (x - mean).T)
    log_det = 2 * np.log(np.diag(factor)).sum()
    return float(
        -0.5 * (len(mean) * np.log(2 * np.pi) + log_det + (z**2).sum(0).mean())
    )


def log_likelihood(
    free_energy: Callable[[Params, State], Float[Array, ""]],
    hidden_free_energy: Callable[[Params, State], Float[Array, ""]],
    params: Params,
    num_hidden: int,
    x: np.ndarray,
) -> float:
    """Mean log-likelihood of `x`, in nats, with log Z by enumeration of the hidden
    states."""
    log_z = jax.jit(
        lambda params: log_partition(partial(hidden_free_energy, params), num_hidden)
    )(params)
    energies = jax.lax.map(
        partial(free_energy, params), jnp.asarray(x), batch_size=1000
    )
    return float(-np.asarray(energies, np.float64).mean() - log_z)


def as_pixels(patches: Patches, directions: ArrayLike) -> np.ndarray:
    """Directions among whitened patches, (count, num_features), as differences of
    pixels."""
    return np.asarray(directions) @ patches.whitening.inverse


def filters(patches: Patches, weights: ArrayLike, *, title: str) -> Any:
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


def load(config: Any) -> Dataset:
    """The images that `config.data` asks for."""
    return load_cifar10(config.data.source, manual_dir=config.data.manual_dir)


def check(config: Any, data: Dataset) -> None:
    """Refuses what no RBM of patches can be trained on.

    Raises:
      ValueError: a field that makes no sense, or does not fit the images.
    """
    check_patches(config, data)
    _checks.at_least(
        config, {"num_hidden": 1, "epochs": 1, "num_chains": 1, "num_steps": 1}
    )


def check_patches(config: Any, data: Dataset) -> None:
    """Refuses what no program on patches can run.

    Raises:
      ValueError: a field that makes no sense, or does not fit the images.
    """
    _checks.at_least(
        config, {"batch_size": 1, "patch_size": 1, "num_patches": 10 * HELD_OUT}
    )
    _checks.rates(config, "learning_rate", "epsilon")
    _checks.seed(config)
    shape = data.image_shape
    if shape is None or len(shape) != 3 or len(data.train) < 2 * HELD_OUT:
        raise ValueError(
            f"The data have {len(data.train)} training images of shape {shape} but "
            f"patches need at least {2 * HELD_OUT}, of shape (height, width, colours)."
        )
    if config.patch_size > min(shape[:2]):
        raise ValueError(
            f"`patch_size` is {config.patch_size} but the images are {shape[0]} by "
            f"{shape[1]} pixels."
        )
    num_features = config.patch_size**2 * shape[2]
    if config.num_components is not None and not (
        1 <= config.num_components <= num_features
    ):
        raise ValueError(
            f"`num_components` is {config.num_components} but patches have 1 to "
            f"{num_features} directions."
        )
    if config.batch_size > config.num_patches:
        raise ValueError(
            f"`batch_size` is {config.batch_size} but there are {config.num_patches} "
            "training patches; take at most that many."
        )


def evaluate(
    config: Any, model: Any, params: Params, patches: Patches
) -> dict[str, dict[str, float]]:
    """Mean log-likelihoods a patch, in nats, of the model and of a full-covariance
    Gaussian fitted to the same training patches; none for a model too large."""
    if config.num_hidden > MOST_HIDDEN:
        return {}
    found = {}
    for name in ("train", "validation", "test"):
        x = getattr(patches, name)[: len(patches.test)]
        found[name] = {
            "log_likelihood": log_likelihood(
                model.free_energy,
                model.hidden_free_energy,
                params,
                config.num_hidden,
                x,
            ),
            "gaussian": gaussian_log_likelihood(patches.train, x),
        }
    return found


def report(results: dict[str, Any]) -> None:
    """The results in a few lines."""
    _run.say(f"last contrast {results['epochs'][-1]['loss']:.2f} nats")
    for name in ("train", "validation", "test"):
        if name in results:
            mean, gaussian = results[name].values()
            _run.say(
                f"log-likelihood a {name} patch {mean:.2f} nats, full-covariance "
                f"Gaussian {gaussian:.2f}, difference {mean - gaussian:+.2f}"
            )
