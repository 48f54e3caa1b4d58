"""Mean reconstructions of gray images and their errors."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jboltz.base import Params
from jboltz.evaluation.likelihood import mean_with_error
from jboltz.learning.mean_field import mean_field
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.dbn import DBN, DBNParams
from jboltz.nets.vae import VAE, log_likelihood_of_pixels
from jboltz.products import full_precision, product

Reconstruction = tuple[Callable[[Params, Array], Array], Params]
"""A function (params, gray image) → log-odds of the pixels, and its `params`."""


@full_precision
def vae_log_odds(vae: VAE, params: Params, v: Array) -> Any:
    """The log-odds of the pixels given the mean code of the gray image `v`."""
    return vae.apply({"params": params}, v)


@full_precision
def dbn_log_odds(dbn: DBN, params: DBNParams, v: Array) -> Array:
    """The log-odds of `dbn.reconstruct` at full depth. Unlike the means, they do not
    round to 0 or 1, where the cross-entropy would be infinite."""
    bottom, *above = dbn.layers
    h = bottom.mean_hidden_state(params[0], v)
    if above:
        h = DBN(tuple(above)).reconstruct(params[1:], h, depth=len(above))
    return params[0].visible.bias + bottom.visible_inputs(params[0], h)


def pixel_errors(
    models: Mapping[str, Reconstruction], images: Float[Array, "examples pixels"]
) -> dict[str, Any]:
    """Squared error and cross-entropy in nats per pixel, for each reconstruction.

    They are means over examples with standard errors. `least_cross_entropy` is the
    cross-entropy of a perfect reconstruction of gray images.
    """
    entropy = jax.scipy.special.entr(images) + jax.scipy.special.entr(1 - images)
    table: dict[str, Any] = {"least_cross_entropy": float(jnp.mean(entropy))}
    for name, (log_odds, params) in models.items():
        table[name] = {
            measure: mean_with_error(np.asarray(values, np.float64))
            for measure, values in _errors(log_odds, params, images).items()
        }
    return table


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


@full_precision
def dbm_reconstruction_error(
    dbm: DBM, params: DBMParams, images: Float[Array, "examples pixels"]
) -> float:
    """The mean squared error of E[v | m], where m is the mean-field posterior of the
    first hidden layer."""

    def one(v):
        inputs = product(params.weights[0], mean_field(dbm, params, v).activities[0])
        return jnp.mean((v - dbm.units[0].mean_state(params.units[0], inputs)) ** 2)

    return float(jnp.mean(jax.lax.map(one, images, batch_size=1000)))
