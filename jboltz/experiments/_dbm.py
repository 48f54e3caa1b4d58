"""How `dbm_mnist` trains: what comes before joint training, and that itself."""

from typing import Any

import jax
import optax
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import Estimator
from jboltz.experiments import _run
from jboltz.experiments._workdir import Workdir
from jboltz.learning.centred import Centred
from jboltz.learning.contrastive import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
)
from jboltz.learning.mean_field import MeanFieldPCD
from jboltz.learning.pretrain import LayerFeatures, greedy, unit_interval
from jboltz.learning.step import TrainState, init_train_state, make_train_step
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.rbm import RBM, RBMParams
from jboltz.samplers.gibbs import Gibbs


def fit(
    config: Any,
    model: RBM | DBM,
    start: RBMParams | DBMParams,
    train: Array,
    workdir: Workdir,
    stage: str,
    rate: float | optax.Schedule,
    num_epochs: int,
    key: Key[Array, ""],
) -> tuple[TrainState, list[dict[str, Any]]]:
    """Trains all layers of `model` together, from `start` on."""
    estimator, loss = _estimator(config, model)
    optimizer = optax.sgd(rate)
    return _run.fit_with_checkpoints(
        workdir,
        stage,
        make_train_step(estimator, optimizer),
        lambda key: init_train_state(start, estimator, optimizer, key),
        train,
        key,
        batch_size=config.batch_size,
        num_epochs=num_epochs,
        prepare=jax.tree_util.Partial(LayerFeatures((RBM(*model.units[:2]),)), ()),
        loss=loss,
    )


def _estimator(config: Any, model: RBM | DBM) -> tuple[Estimator, str]:
    """What trains `model`, and the metric that is its loss."""
    chains = (Gibbs(model), config.num_chains, config.num_steps)
    if isinstance(model, RBM):
        # What mean field would find is exact with one hidden layer, and takes a third
        # less time without it.
        estimator, loss = PersistentContrastiveDivergence(model, *chains), "contrast"
    else:
        limits = {"tolerance": config.tolerance, "max_sweeps": config.max_sweeps}
        estimator = MeanFieldPCD(model, *chains, **limits)
        loss = "reconstruction_error"
    return Centred(estimator) if config.centred else estimator, loss


def pretrain(
    config: Any,
    dbm: DBM,
    train: Array,
    workdir: Workdir,
    layers: list[dict[str, Any]],
    key: Key[Array, ""],
) -> DBMParams:
    """Where joint training starts; an entry a layer is added to `layers`."""
    # With biases of zero all-grey noise is a deep mode of its own.
    params = dbm.init(key, data=unit_interval(train))
    if config.pretrain_epochs == 0:
        return params
    if config.pretraining == "growing":
        return grow(config, dbm, params, train, workdir, layers, key)
    rbms, visible = dbm.pretraining_layers(), params.units[0]

    def fit_layer(index, prepare, key):
        rbm = rbms[index]
        estimator = ContrastiveDivergence(rbm, Gibbs(rbm))
        optimizer = optax.sgd(config.pretrain_learning_rate)

        def init(key):
            key_params, key_estimator = jax.random.split(key)
            params = rbm.init(key_params)
            if index == 0:
                params = rbm.from_parts((visible, params.hidden), (params.weights,))
            return init_train_state(params, estimator, optimizer, key_estimator)

        state, records = _run.fit_with_checkpoints(
            workdir,
            f"layer_{index + 1}",
            make_train_step(estimator, optimizer),
            init,
            train,
            key,
            batch_size=config.batch_size,
            num_epochs=config.pretrain_epochs,
            prepare=prepare,
        )
        layers.append(_recorded("reconstruction_error", records))
        return state.params

    return dbm.compose(greedy(rbms, key, fit_layer=fit_layer))


def grow(
    config: Any,
    dbm: DBM,
    params: DBMParams,
    train: Array,
    workdir: Workdir,
    layers: list[dict[str, Any]],
    key: Key[Array, ""],
) -> DBMParams:
    """`params` with all layers but the last trained, those below each one together."""
    for depth in range(2, len(dbm.units)):
        lower = RBM(*dbm.units[:2]) if depth == 2 else DBM(dbm.units[:depth])
        start = lower.from_parts(params.units[:depth], params.weights[: depth - 1])
        state, records = fit(
            config,
            lower,
            start,
            train,
            workdir,
            f"layer_{depth - 1}",
            config.pretrain_learning_rate,
            config.pretrain_epochs,
            random.fold_in(key, depth),
        )
        layers.append(_recorded(_estimator(config, lower)[1], records))
        units, weights = lower.parts(state.params)
        params = dbm.from_parts(
            (*units, *params.units[depth:]), (*weights, *params.weights[depth - 1 :])
        )
    return params


def _recorded(loss: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """A stage, for `results.json`: what its loss is, and an epoch's each."""
    return {"loss": loss, "losses": [record["loss"] for record in records]}
