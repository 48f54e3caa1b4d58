"""A VAE beside a pretrained DBN: what each is trained on, and how both are judged."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import Params
from jboltz.data import Dataset, scale_pixels, split_validation
from jboltz.evaluation.bounds import dbn_bounds, vae_bounds
from jboltz.evaluation.examples import Examples, binarise_once
from jboltz.evaluation.likelihood import weighted_mean_and_error
from jboltz.experiments import _likelihoods, _pretrained, _run
from jboltz.experiments._workdir import Workdir
from jboltz.learning.best import keep_least
from jboltz.learning.pretrain import LayerInput, unit_interval
from jboltz.learning.step import init_train_state, make_train_step
from jboltz.learning.vae import (
    VAE,
    NegativeELBO,
    elbo,
    log_likelihood_of_pixels,
    picture_from_prior,
)
from jboltz.models.annealed import Annealed
from jboltz.models.dbn import DBN, DBNParams
from jboltz.samplers.ancestral import generate

MEAN_IMAGE = "mean training image"
"""The reconstruction that knows nothing of an image."""


class Images(NamedTuple):
    """Gray, as the DBN was given them."""

    train: np.ndarray
    held_out: np.ndarray
    test: np.ndarray


def load_dbn(config: Any, data: Dataset) -> tuple[_pretrained.Pretrained, Images]:
    """The DBN in `config.pretrained`, and the images as it was trained on them.

    Raises:
      ValueError: as `_pretrained.load`, or the model is no DBN, or was trained on
        images made binary in another way than the VAE's.
    """
    found = _pretrained.load(config.pretrained, data)
    program, given = found.run["program"], found.run["config"]
    if not isinstance(found.model, DBN):
        raise ValueError(
            f"`pretrained` is {config.pretrained}, a run of {program}, but a VAE is "
            "compared with a DBN, which has a way up to a code and a way down; give "
            "the workdir of dbn_mnist, or of rbm_mnist for one layer."
        )
    if given.get("binarisation") == "threshold":
        raise ValueError(
            f"`pretrained` is {config.pretrained}, trained on images compared with ½, "
            "but both models are judged on images drawn from their gray values; give "
            "the workdir of a run with `--binarisation stochastic`."
        )
    data = scale_pixels(data, given.get("scaling"))
    return found, Images(*split_validation(data, config.held_out), data.test)


def build(config: Any, dbn: DBN) -> VAE:
    """Its code is as large as the top layer, its hidden layers are those below, unless
    `config.hidden` says otherwise."""
    *below, top = (layer.hidden.size for layer in dbn.layers)
    return VAE(dbn.layers[0].visible.size, config.hidden or tuple(below), top)


def train(
    config: Any, dbn: DBN, images: Images, workdir: Workdir, key: Key[Array, ""]
) -> tuple[Params, dict[str, Any]]:
    """The VAE of the epoch with the best held-out ELBO, and the numbers to record.

    Gray pixels are drawn afresh at every use, as those of the DBN's first layer are.
    """
    vae, rows = build(config, dbn), jnp.asarray(images.train)
    key_held_out, key_fit = jax.random.split(key)
    held_out = binarise_once(images.held_out, config.seed).values
    keys = random.fold_in_range(key_held_out, len(held_out))
    updates = config.epochs * -(-len(rows) // config.batch_size)
    optimizer = optax.adam(optax.linear_schedule(config.learning_rate, 0.0, updates))
    estimator = NegativeELBO(vae)

    def init(key):
        key_params, key_estimator = jax.random.split(key)
        params = vae.init(key_params, jnp.zeros(vae.num_visible))["params"]
        return init_train_state(params, estimator, optimizer, key_estimator)

    state, records = _run.fit_with_checkpoints(
        *(workdir, "vae", make_train_step(estimator, optimizer), init, rows, key_fit),
        batch_size=config.batch_size,
        num_epochs=config.epochs,
        prepare=jax.tree_util.Partial(LayerInput((dbn.layers[0],)), ()),
        end_epoch=keep_least(
            lambda params: {"negative_elbo": _mean_loss(vae, params, held_out, keys)},
            "negative_elbo",
        ),
        loss="negative_elbo",
    )
    losses = [record["held_out_negative_elbo"] for record in records]
    return state.estimator_state.params, {
        "num_parameters": num_parameters(state.params),
        "hidden": list(vae.hidden),
        "best_epoch": 1 + int(np.argmin(losses)),
        "held_out_elbo": -min(losses),
        "training_seconds": sum(record["seconds"] for record in records),
        "epochs": records,
    }


def num_parameters(params: Params) -> int:
    return sum(x.size for x in jax.tree.leaves(params))


@partial(jax.jit, static_argnames="vae")
def _mean_loss(vae, params, data, keys):
    losses = jax.lax.map(lambda x: -elbo(vae, params, *x), (data, keys), batch_size=500)
    return jnp.mean(losses)


def reconstructions(dbn: DBN, vae: VAE) -> dict[str, Callable[[Params, Array], Array]]:
    """Of each model, (its parameters, a gray image) -> the log-odds of the pixels of
    its mean reconstruction, through the code."""
    return {
        "DBN": partial(dbn_log_odds, dbn),
        "VAE": lambda params, v: vae.apply({"params": params}, v),
    }


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
    bottom = dbn.layers[0].visible
    known = {MEAN_IMAGE: bottom.fit(unit_interval(jnp.asarray(images.train))).bias}
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
    """Both bounds of both models, of the first test images, each binarised once.

    log Z of the DBN's top RBM is from annealing; its interval is the bounds'.
    """
    key_z, key_dbn, key_vae = jax.random.split(key, 3)
    examples = binarise_once(images.test, config.seed)
    examples = Examples(
        values=examples.values[: config.bound_images],
        binarisation=examples.binarisation,
    )
    weights = {"num_samples": config.num_weights}
    unnormalised = dbn_bounds(*(dbn, params["DBN"], examples, 0.0, key_dbn), **weights)
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


def samples(
    config: Any,
    dbn: DBN,
    vae: VAE,
    params: dict[str, Params],
    key: Key[Array, ""],
    count: int,
) -> dict[str, Array]:
    """Pictures of each model, means of pixels, that owe nothing to any image.

    Picture i draws from `fold_in(·, i)`, whatever `count` is. The DBN's are the ends of
    chains in its top RBM that started at noise.
    """
    key_dbn, key_vae = jax.random.split(key)
    steps = jnp.asarray(config.sample_steps)
    of_dbn = _from_noise(
        dbn, params["DBN"], random.fold_in_range(key_dbn, count), steps
    )
    of_vae = _from_prior(vae, params["VAE"], random.fold_in_range(key_vae, count))
    return {"DBN": of_dbn, "VAE": of_vae}


@partial(jax.jit, static_argnames="dbn")
def _from_noise(dbn, params, keys, num_steps):
    def one(key):
        key_start, key_chain = random.split(key)
        start = dbn.layers[-1].sample_start(params[-1], key_start)
        return generate(dbn, params, start, key_chain, num_steps=num_steps)

    return jax.vmap(one)(keys)


@partial(jax.jit, static_argnames="vae")
def _from_prior(vae, params, keys):
    return jax.vmap(partial(picture_from_prior, vae, params))(keys)
