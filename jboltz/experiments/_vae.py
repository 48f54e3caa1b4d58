"""A pretrained DBN, and a VAE of its code size: trained, and sampled from."""

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
from jboltz.evaluation.examples import binarise_once
from jboltz.experiments import _pretrained, _run
from jboltz.experiments._workdir import Workdir
from jboltz.learning.best import BestSoFar, keep_least
from jboltz.learning.pretrain import LayerFeatures, unit_interval
from jboltz.learning.step import init_train_state, make_train_step
from jboltz.models.dbn import DBN, DBNParams
from jboltz.nets.vae import (
    VAE,
    NegativeELBO,
    elbo,
    picture_from_prior,
)
from jboltz.samplers.ancestral import generate


class Images(NamedTuple):
    """Gray, as the DBN was given them."""

    train: np.ndarray
    held_out: np.ndarray
    test: np.ndarray


class Found(NamedTuple):
    """A DBN that another run trained."""

    dbn: DBN
    params: DBNParams
    run: dict[str, Any]  # as of `Pretrained`
    images: Images


def load_dbn(config: Any, data: Dataset) -> Found:
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
    images = Images(*split_validation(data, config.held_out), data.test)
    return Found(found.model, found.params, found.run, images)


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
    estimator = BestSoFar(NegativeELBO(vae))

    def init(key):
        key_params, key_estimator = jax.random.split(key)
        params = dict(vae.init(key_params, jnp.zeros(vae.num_visible))["params"])
        # Else the code would have to say that most of an image is black.
        bias = mean_image(dbn, images.train)
        params["pixels"] = {**params["pixels"], "bias": bias}
        return init_train_state(params, estimator, optimizer, key_estimator)

    state, records = _run.fit_with_checkpoints(
        workdir,
        "vae",
        make_train_step(estimator, optimizer),
        init,
        rows,
        key_fit,
        batch_size=config.batch_size,
        num_epochs=config.epochs,
        prepare=jax.tree_util.Partial(LayerFeatures((dbn.layers[0],)), ()),
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


def mean_image(dbn: DBN, train: np.ndarray) -> Array:
    """The log-odds of the pixels of the mean training image, which are finite."""
    return dbn.layers[0].visible.fit(unit_interval(jnp.asarray(train))).bias


def num_parameters(params: Params) -> int:
    return sum(x.size for x in jax.tree.leaves(params))


@partial(jax.jit, static_argnames="vae")
def _mean_loss(vae, params, data, keys):
    losses = jax.lax.map(lambda x: -elbo(vae, params, *x), (data, keys), batch_size=500)
    return jnp.mean(losses)


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
