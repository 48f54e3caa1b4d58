"""Fine-tuning: supervised training of a classifier by `fit`."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import Batch, Leaf, Metrics, Params, State, record
from jboltz.checks import cast_states
from jboltz.learning.batch import mean_gradient, refuse_mask
from jboltz.learning.pretrain import unit_interval
from jboltz.learning.rows import class_numbers
from jboltz.learning.transforms import project
from jboltz.products import full_precision


@record
class LabelledExamples:
    """Examples and their classes, as the values of a `Batch` in supervised training."""

    images: Leaf  # (batch, visible)
    labels: Leaf  # (batch,) int32, from 0
    above: tuple[Leaf, ...] = ()  # (batch, size) each, other inputs of the classifier


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """The gradient of the mean −log p(y | v), in nats, as an estimator.

    Batches have `LabelledExamples` as values. Dropout of example i draws from
    `fold_in(key, i)`. For early stopping put `BestSoFar` around this estimator and pass
    `keep_least` of `evaluate_classifier` and "error" to `fit` as `end_epoch`.
    """

    model: nn.Module
    """A net with logits `net(v, above, is_training=…)`, such as a `Classifier`."""

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        del params, key
        return ()

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The metrics, with dropout, are `cross_entropy`, and `error`, the share of
        examples whose largest logit is at another class."""
        refuse_mask(batch)
        examples = batch.values
        keys = random.fold_in_rows(key, examples)
        gradient, metrics = mean_gradient(
            partial(_judge, self.model), params, (examples, keys), batch.weights
        )
        return gradient, state, metrics


def label_examples(
    images: Any, labels: Any, num_classes: int, *, above: tuple[Any, ...] = ()
) -> LabelledExamples:
    """Examples with checked labels, to train or evaluate a classifier.

    Raises:
      ValueError: the labels are not valid class numbers, see `class_numbers`.
    """
    numbers = class_numbers(labels, len(images), num_classes)
    return LabelledExamples(
        images=jnp.asarray(images),
        labels=jnp.asarray(numbers),
        above=tuple(jnp.asarray(x) for x in above),
    )


def scale_images(
    rows: LabelledExamples, key: Key[Array, ""] | None = None
) -> LabelledExamples:
    """The `prepare` for supervised training, which divides uint8 images by 255."""
    del key
    images = unit_interval(rows.images)
    return LabelledExamples(images=images, labels=rows.labels, above=rows.above)


@partial(jax.jit, static_argnames="net")
@full_precision
def evaluate_classifier(
    net: nn.Module, params: Params, examples: LabelledExamples
) -> dict[str, Float[Array, ""]]:
    """Mean `cross_entropy` in nats, and the share `error`, without dropout."""

    def one(example):
        return _judge(net, params, scale_images(example), None)[1]

    return jax.tree.map(jnp.mean, jax.lax.map(one, examples, batch_size=1000))


def per_layer(
    optimizer: Callable[[optax.Schedule], optax.GradientTransformation],
    schedule: optax.Schedule,
    factors: Mapping[str, float],
    *,
    max_norm: float | None = None,
) -> optax.GradientTransformation:
    """An optimizer with the learning rate `schedule` times a factor for each layer.

    Args:
      optimizer: makes an optimizer from a learning rate, such as `optax.adam`.
      factors: the factor of every layer, by its name; 0 freezes the layer.
      max_norm: the largest norm of the weights into a unit, see `bounded`.
    """

    def of(factor):
        if not factor:
            return optax.set_to_zero()
        descent = optimizer(lambda count: factor * schedule(count))
        if max_norm is None:
            return descent
        return optax.chain(descent, project(partial(bounded, max_norm=max_norm)))

    return optax.partition(
        {name: of(factor) for name, factor in factors.items()},
        {name: name for name in factors},
    )


def bounded(params: Params, max_norm: float) -> Params:
    """The nearest parameters with columns of norm at most `max_norm` in matrices."""

    def shrink(x):
        if x.ndim != 2:
            return x
        norms = jnp.linalg.norm(x, axis=0, keepdims=True)
        return x * (max_norm / jnp.maximum(norms, max_norm))

    return jax.tree.map(shrink, params)


def _judge(net, params, example, key):
    """The loss and the metrics of one example, with dropout if there is a key."""
    images, above = cast_states((example.images, example.above), params)
    logits = net.apply(
        {"params": params},
        images,
        above,
        is_training=key is not None,
        rngs=None if key is None else {"dropout": key},
    )
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, example.labels)
    error = jnp.where(jnp.argmax(logits) == example.labels, 0.0, 1.0)
    return loss, {"cross_entropy": loss, "error": error}
