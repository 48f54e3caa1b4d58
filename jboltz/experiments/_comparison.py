"""A DBN and a VAE judged alike: mean reconstructions, and bounds of likelihoods."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz.base import Params
from jboltz.evaluation.bounds import dbn_bounds, vae_bounds
from jboltz.evaluation.examples import EvaluationData, binarise_once
from jboltz.evaluation.likelihood import weighted_mean_and_error
from jboltz.experiments import _likelihoods, _run
from jboltz.experiments._quality import spread
from jboltz.experiments._vae import Images, mean_image
from jboltz.learning.pretrain import unit_interval
from jboltz.models.annealed import Annealed
from jboltz.models.dbn import DBN, DBNParams
from jboltz.nets.vae import VAE, log_likelihood_of_pixels
from jboltz.products import full_precision

MEAN_IMAGE = "mean training image"
"""The reconstruction that knows nothing of an image."""


def reconstructions(dbn: DBN, vae: VAE) -> dict[str, Callable[[Params, Array], Array]]:
    """Of each model, (its parameters, a gray image) -> the log-odds of the pixels of
    its mean reconstruction, through the code."""
    return {
        "DBN": partial(dbn_log_odds, dbn),
        "VAE": partial(vae_log_odds, vae),
    }


def vae_log_odds(vae: VAE, params: Params, v: Array) -> Any:
    """The log-odds of the pixels under the mean code of the gray image `v`."""
    return vae.apply({"params": params}, v)


def dbn_log_odds(dbn: DBN, params: DBNParams, v: Array) -> Array:
    """The log-odds of `dbn.reconstruct` at full depth, whose rounding to 0 and 1 has
    no cross-entropy."""
    bottom, *above = dbn.layers
    h = bottom.mean_hidden_state(params[0], v)
    if above:
        h = DBN(tuple(above)).reconstruct(params[1:], h, depth=len(above))
    return params[0].visible.bias + bottom.visible_inputs(params[0], h)


def reconstruction_errors(
    dbn: DBN, vae: VAE, params: dict[str, Params], images: Images
) -> dict[str, Any]:
    """Squared error and cross-entropy in nats of a pixel, of test images: means over
    examples with their standard errors."""
    test = unit_interval(jnp.asarray(images.test))
    known = {MEAN_IMAGE: mean_image(dbn, images.train)}
    log_odds = {**reconstructions(dbn, vae), MEAN_IMAGE: lambda bias, _: bias}
    table = {}
    for name, function in log_odds.items():
        errors = _errors(function, {**params, **known}[name], test)
        table[name] = {}
        for measure, values in errors.items():
            mean, error = weighted_mean_and_error(np.asarray(values, np.float64), None)
            table[name][measure] = {"mean": mean, "standard_error": error}
    entropy = jax.scipy.special.entr(test) + jax.scipy.special.entr(1 - test)
    return {"least_cross_entropy": float(jnp.mean(entropy)), **table}


@partial(jax.jit, static_argnames="log_odds_of")
@full_precision
def _errors(log_odds_of, params, images):
    def one(v):
        log_odds = log_odds_of(params, v)
        return {
            "squared_error": jnp.mean((jax.nn.sigmoid(log_odds) - v) ** 2),
            "cross_entropy": -log_likelihood_of_pixels(log_odds, v) / v.size,
        }

    return jax.lax.map(one, images, batch_size=1000)


def bounds(
    config: Any,
    dbn: DBN,
    vae: VAE,
    params: dict[str, Params],
    images: Images,
    key: Key[Array, ""],
) -> dict[str, Any]:
    """Both bounds of both models, of evenly spaced test images, binarised once.

    log Z of the DBN's top RBM is from annealing; its interval is the bounds'.
    """
    key_z, key_dbn, key_vae = jax.random.split(key, 3)
    examples = binarise_once(images.test, config.seed)
    examples = EvaluationData(
        values=spread(examples.values, config.bound_images),
        binarisation=examples.binarisation,
    )
    weights = {"num_samples": config.num_weights}
    unnormalised = dbn_bounds(dbn, params["DBN"], examples, 0.0, key_dbn, **weights)
    log_z = _log_partitions(config, dbn, params["DBN"], images.train, key_z)
    of_dbn = {
        f"DBN by {name}": [_likelihoods.less(bound, z) for bound in unnormalised]
        for name, z in log_z.items()
    }
    of_vae = vae_bounds(vae, params["VAE"], examples, key_vae, **weights)
    names = ("elbo", "importance_weighted")
    return {
        "num_examples": len(examples.values),
        "num_weights": config.num_weights,
        "binarisation": examples.binarisation,
        "log_partition": {name: _likelihoods.as_json(z) for name, z in log_z.items()},
        "models": {
            model: dict(zip(names, map(_likelihoods.as_json, found), strict=True))
            for model, found in {**of_dbn, "VAE": of_vae}.items()
        },
    }


def _log_partitions(config, dbn, params, train, key):
    """Of the top RBM, from a base that is fitted to what comes up to it."""
    annealed = Annealed(dbn.layers[-1])
    up = jax.vmap(dbn.encode, in_axes=(None, 0))
    base = annealed.fit_base(up(params[:-1], unit_interval(jnp.asarray(train))))
    return _likelihoods.log_partitions(config, annealed, params[-1], base, None, key)


def say(found: dict[str, Any]) -> None:
    """Both tables, of errors and of bounds."""
    errors = dict(found["reconstruction"])
    least = errors.pop("least_cross_entropy")
    _run.say(
        "mean reconstructions of test images, a pixel (no cross-entropy is below "
        f"{least:.4f}):"
    )
    for name, numbers in errors.items():
        squared, nats = numbers["squared_error"], numbers["cross_entropy"]
        _run.say(
            f"{name:>20}: squared error {squared['mean']:.5f} ± "
            f"{squared['standard_error']:.5f}, cross-entropy {nats['mean']:.5f} ± "
            f"{nats['standard_error']:.5f} nats"
        )
    bounds = found["bounds"]
    _run.say(
        f"log-likelihood of {bounds['num_examples']} test images, evenly spaced, "
        f"{bounds['binarisation']}, in nats:"
    )
    tightened = f"bound of {bounds['num_weights']} weights"
    names = {"elbo": "ELBO", "importance_weighted": tightened}
    for model, numbers in bounds["models"].items():
        for key, name in names.items():
            _likelihoods.say(f"{model + ', ' + name:>46}", numbers[key])
