"""Greedy pretraining of a stack of RBMs, each layer followed while it trains."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import optax
from jaxtyping import Array, Key

from jboltz import plotting, random
from jboltz.base import Estimator, Params, State
from jboltz.choices import Features
from jboltz.evaluation.monitors import layer_monitors, update_norm
from jboltz.learning.pretrain import greedy
from jboltz.learning.step import init_train_state, make_train_step
from jboltz.models.dbn import DBN, DBNParams
from jboltz.models.rbm import RBM
from jboltz.runs.training import fit_with_checkpoints
from jboltz.runs.workdir import Workdir

NUM_MONITORED = 1000
"""Training examples, the first, on which the layers are followed."""

MONITORS = {
    "decay_rate": "decay rate of the singular values of the covariance with the layer "
    "below",
    "effective_rank": "effective rank of that covariance",
    "participation": "effective number of its large singular values",
    "mean_activity": "mean activity of the units",
    "sparse_share": "share of units that are active for 5–15 % of the data",
    "dead_share": "share of dead units: active for less than 1 %",
    "saturated_share": "share of saturated units: active for more than 99 %",
    "through_error": "squared error of the data, decoded through all layers below",
    "local_error": "squared error of the layer's own input",
    "weight_norm": "norm of the weights",
    "update_norm": "norm of the change of the weights in an epoch",
}
"""What is drawn of a layer's records, with its title."""


def pretrain(
    workdir: Workdir,
    layers: Sequence[RBM],
    rows: State,
    key: Key[Array, ""],
    *,
    rule: Callable[[int], tuple[Estimator, optax.GradientTransformation]],
    start: Callable[[DBNParams, Key[Array, ""]], Params],
    monitored: State | None = None,
    epochs: int,
    batch_size: int,
    features: Features = "means",
) -> tuple[DBNParams, list[dict[str, Any]]]:
    """Trains the layers bottom-up, with a checkpoint after every epoch.

    Args:
      rows: the data as they are stored.
      rule: the estimator and the optimizer of layer `index`, from 0.
      start: the first parameters of a layer, given those of the layers below it.
      monitored: states of the data, on which each epoch is judged; None: on none.

    Returns:
      One params record a layer, and of each layer its losses and, where it was
      `monitored`, its sizes, and its seconds and monitors an epoch.
    """
    trained: list[Params] = []
    found: list[dict[str, Any]] = []

    def fit_layer(index, prepare, key):
        estimator, optimizer = rule(index)

        def init(key):
            key_params, key_estimator = random.split(key)
            params = start(tuple(trained), key_params)
            return init_train_state(params, estimator, optimizer, key_estimator)

        def monitor(before, after):
            stacks = (*trained, before), (*trained, after)
            return _monitor(DBN(tuple(layers)), *stacks, monitored)

        state, records = fit_with_checkpoints(
            workdir,
            f"layer_{index + 1}",
            make_train_step(estimator, optimizer),
            init,
            rows,
            key,
            batch_size=batch_size,
            num_epochs=epochs,
            prepare=prepare,
            monitor=None if monitored is None else monitor,
        )
        trained.append(state.params)
        found.append({"losses": [record["loss"] for record in records]})
        if monitored is not None:
            found[-1] |= {
                "num_visible": layers[index].visible.size,
                "num_hidden": layers[index].hidden.size,
                "seconds": [record["seconds"] for record in records],
                "monitors": {
                    name: [record[name] for record in records] for name in MONITORS
                },
            }
        return state.params

    return greedy(layers, key, fit_layer=fit_layer, features=features), found


@partial(jax.jit, static_argnames="dbn")
def _monitor(dbn, before, after, data):
    moved = {"update_norm": update_norm(before[-1], after[-1])}
    return layer_monitors(dbn, after, data) | moved


def draw(layers: list[dict[str, Any]], *, rule: str, on: str) -> dict[str, Any]:
    """Figures by file name, of what `pretrain` returned of `monitored` layers.

    Args:
      rule: what the layers were trained by, "CD-1".
      on: what they were followed on, "training digits".
    """
    named = {
        f"layer {index} ({layer['num_visible']}–{layer['num_hidden']})": layer
        for index, layer in enumerate(layers, start=1)
    }
    monitors = {
        label: {name: layer["monitors"][key] for name, layer in named.items()}
        for key, label in MONITORS.items()
    }
    return {
        "losses": draw_losses(named, rule=rule),
        "monitors": plotting.curve_panels(
            monitors, title=f"Each layer while it trained, on the same {on}"
        ),
    }


def draw_losses(layers: dict[str, dict[str, Any]], *, rule: str) -> Any:
    """A figure of the losses of layers by name, as `pretrain` returned them."""
    return plotting.curves(
        {name: layer["losses"] for name, layer in layers.items()},
        title=f"Reconstruction error of {rule} on training data",
        ylabel="mean squared error a unit, sampled",
    )
