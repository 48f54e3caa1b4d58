"""Nets that start from a finished run, trained beside their controls and judged."""

import functools
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Key

from jboltz.base import Params
from jboltz.data import Dataset, hold_out
from jboltz.errors import InvalidValue
from jboltz.learning.best import BestSoFar, keep_least
from jboltz.learning.pretrain import unit_interval
from jboltz.learning.step import init_train_state, make_train_step
from jboltz.models.dbm import DBM
from jboltz.nets.classifier import (
    Classifier,
    classifier_of,
    posterior,
    to_linen_params,
)
from jboltz.nets.finetune import (
    CrossEntropy,
    LabelledExamples,
    evaluate_classifier,
    label_examples,
    per_layer,
    scale_images,
)
from jboltz.runs import checks
from jboltz.runs.families import FinetuneConfig, NetConfig
from jboltz.runs.pretrained import (
    Pretrained,
    load_pretrained,
    refuse_scaling,
)
from jboltz.runs.progress import say, with_error
from jboltz.runs.training import fit_with_checkpoints
from jboltz.runs.workdir import Workdir

Examples = dict[str, LabelledExamples]
"""What to train on, what is held out, and the test set unless it stays closed."""


def check(config: FinetuneConfig, data: Dataset) -> None:
    """Refuses, with a ValueError, what cannot be fine-tuned."""
    pretrained = load_pretrained(config.pretrained, data)
    checks.images(config, data)
    checks.held_out(config.held_out, config.batch_size, data)
    checks.labels(data)
    if config.held_out == 0 and not config.read_test:
        raise InvalidValue(
            "`held_out` is 0 and `read_test` False, but then nothing says how good a "
            "net is; hold images out, or read the test set."
        )
    refuse_scaling(pretrained)
    parts, num_classes = _split(config, data)
    for images, labels in parts.values():
        label_examples(images, labels, num_classes)
    num_hidden = len(classifier_of(pretrained.model, 1).hidden)
    for name, values in (("dropout", config.dropout), ("rates", config.rates)):
        if len(values) not in (0, num_hidden + 1):
            raise InvalidValue(
                f"`{name}` is {values} but {num_hidden} hidden layers need "
                f"{num_hidden + 1} numbers, or none."
            )


def split(
    config: NetConfig, data: Dataset, pretrained: Pretrained
) -> tuple[Examples, int]:
    """What to train on, to choose by and, unless it stays closed, to test on, of a DBM
    with the posteriors; and the number of classes."""
    parts, num_classes = _split(config, data)
    examples, model = {}, pretrained.model
    for name, (images, labels) in parts.items():
        above = ()
        if isinstance(model, DBM):
            above = _posteriors(model, pretrained.params, jnp.asarray(images))
        examples[name] = label_examples(images, labels, num_classes, above=above)
    return examples, num_classes


def compare(
    config: FinetuneConfig,
    pretrained: Pretrained,
    parts: Examples,
    num_classes: int,
    workdir: Workdir,
    key: Key[Array, ""],
    *,
    learning_rates: tuple[float, float],
    stage: str = "",
) -> tuple[dict[str, Params], dict[str, Any]]:
    """The pretrained net fine-tuned, and beside it the same net from Glorot weights.

    The control has the same budget and a learning rate of its own, trains all of its
    layers at it, and knows nothing of pretraining: of a DBM it lacks the posterior.

    Args:
      learning_rates: first step sizes, of the one and of the other.
      stage: what the names of this part of the run end with.

    Returns:
      Of both, by name, the parameters of the best epoch, or of the last where nothing
      is held out, and the numbers to record.
    """
    key_head, key_tuned, key_weights, key_control = jax.random.split(key, 4)
    net = classifier_of(pretrained.model, num_classes, dropout=config.dropout)
    control = Classifier(net.hidden, num_classes, dropout=config.dropout)
    images = {
        name: LabelledExamples(images=part.images, labels=part.labels)
        for name, part in parts.items()
    }
    start = to_linen_params(pretrained.model, pretrained.params, num_classes, key_head)
    pixels = jnp.zeros(parts["train"].images.shape[1])
    glorot = control.init(key_weights, pixels)["params"]
    tuned, of_tuned = train(
        config,
        workdir,
        "pretrained" + stage,
        net,
        start,
        parts,
        key_tuned,
        learning_rate=learning_rates[0],
        factors=_factors(config, start),
    )
    other, of_other = train(
        config,
        workdir,
        "control" + stage,
        control,
        glorot,
        images,
        key_control,
        learning_rate=learning_rates[1],
    )
    params = {"pretrained": tuned, "control": other}
    return params, {"pretrained": of_tuned, "control": of_other}


def say_errors(numbers: dict[str, Any]) -> None:
    """The errors of the nets, one net a line."""
    width = max(map(len, numbers))
    for name, found in numbers.items():
        said = []
        if "held_out_error" in found:
            error, epoch = 100 * found["held_out_error"], found["best_epoch"]
            after = f"after epoch {epoch} of {len(found['epochs'])}"
            said.append(f"held-out error {error:.2f} % {after}")
        if "test" in found:
            said.append(f"test error {with_error(found['test'], 2, '%')}")
        say(f"{name:>{width}}: {'; '.join(said)}")


def _split(
    config: NetConfig, data: Dataset
) -> tuple[dict[str, tuple[np.ndarray, Any]], int]:
    parts = {"train": (data.train, data.train_labels)}
    if config.held_out != 0:
        held = hold_out(data, config.held_out)
        parts["train"] = (held.train, held.train_labels)
        parts["held_out"] = (held.test, held.test_labels)
    if config.read_test:
        parts["test"] = (data.test, data.test_labels)
    return parts, int(np.asarray(data.train_labels).max()) + 1


def train(
    config: NetConfig,
    workdir: Workdir,
    stage: str,
    net: nn.Module,
    start: Params,
    parts: Examples,
    key: Key[Array, ""],
    *,
    learning_rate: float,
    factors: Mapping[str, float] | None = None,
) -> tuple[Params, dict[str, Any]]:
    """One of several nets, each trained beside the others with the same budget.

    Args:
      stage: its name.
      factors: of the learning rate, by layer of `start`; None: 1 for every layer.

    Returns:
      The parameters of the epoch with the fewest held-out errors, or of the last where
      nothing is held out, and the numbers to record.
    """
    rows, held_out = parts["train"], parts.get("held_out")
    batch_size = min(config.batch_size, len(rows.labels))
    updates = config.epochs * -(-len(rows.labels) // batch_size)
    by_layer = tuple((factors or dict.fromkeys(start, 1.0)).items())
    optimizer = _optimizer(
        learning_rate, updates, by_layer, config.weight_decay, config.max_norm
    )
    estimator = BestSoFar(CrossEntropy(net))
    judge = partial(evaluate_classifier, net, examples=held_out)
    state, records = fit_with_checkpoints(
        workdir,
        stage,
        make_train_step(estimator, optimizer),
        partial(init_train_state, start, estimator, optimizer),
        rows,
        key,
        batch_size=batch_size,
        num_epochs=config.epochs,
        prepare=scale_images,
        end_epoch=None if held_out is None else keep_least(judge, "error"),
        loss="cross_entropy",
    )
    numbers: dict[str, Any] = {
        "learning_rate": learning_rate,
        "num_parameters": sum(x.size for x in jax.tree.leaves(start)),
        "epochs": records,
    }
    params = state.params
    if held_out is not None:
        params = state.estimator_state.params
        errors = [record["held_out_error"] for record in records]
        numbers["held_out_error"] = min(errors)
        numbers["held_out_standard_error"] = _standard_error(min(errors), held_out)
        numbers["best_epoch"] = 1 + int(np.argmin(errors))
    if "test" in parts:
        found = jax.tree.map(float, evaluate_classifier(net, params, parts["test"]))
        found["standard_error"] = _standard_error(found["error"], parts["test"])
        numbers["test"] = found
    return params, numbers


@functools.cache
def _optimizer(learning_rate, updates, factors, weight_decay, max_norm):
    """One object for equal settings: nets that differ in their data alone share what
    they compile."""
    return per_layer(
        partial(optax.adamw, weight_decay=weight_decay),
        optax.linear_schedule(learning_rate, 0.0, updates),
        dict(factors),
        max_norm=max_norm or None,
    )


def _standard_error(error: float, part: LabelledExamples) -> float:
    return math.sqrt(error * (1 - error) / len(part.labels))


def _factors(config: FinetuneConfig, params: Params) -> dict[str, float]:
    """Factors of the learning rate by layer; A_l has the factor of hidden layer l."""
    count = sum(name.startswith("hidden") for name in params)
    rates = config.rates or (1.0,) * (count + 1)
    if config.train == "head":
        rates = (*(0.0,) * count, rates[-1])
    return {
        name: rates[-1 if name == "head" else int(name.split("_")[1]) - 1]
        for name in params
    }


@partial(jax.jit, static_argnames="dbm")
def _posteriors(dbm: DBM, params: Params, images: Array) -> tuple[Array, ...]:
    return jax.lax.map(
        lambda v: posterior(dbm, params, unit_interval(v)), images, batch_size=500
    )
