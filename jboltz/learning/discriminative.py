"""The classification RBM: trained to classify, or to classify and model the data."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz.base import Batch, Metrics, Params, State
from jboltz.errors import InvalidValue
from jboltz.learning.batch import complete, mean_gradient
from jboltz.learning.rows import class_numbers
from jboltz.learning.wrapping import StatelessWrapping
from jboltz.models.labelled import label_log_probabilities, parts_of
from jboltz.models.rbm import RBM
from jboltz.products import full_product


@dataclasses.dataclass(frozen=True)
class Discriminative:
    """The exact gradient of the mean −log p(y | x), in nats, for an RBM with a label.

    Batches are pairs (x, y) with one-hot y. `LayerFeatures` makes them from the rows
    that `pair_with_labels` returns. The biases of x do not affect p(y | x) and have the
    gradient 0.

    Args:
      model: an RBM over `Joined(unit of x, Softmax(1, classes))`.

    Reference:
      Larochelle & Bengio (2008), Classification using discriminative restricted
      Boltzmann machines.
    """

    model: RBM

    def __post_init__(self) -> None:
        parts_of(self.model.visible)

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        del params, key
        return ()

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The metrics are `cross_entropy`, and `error`, the share of examples for which
        p(y | x) is largest at another class than y."""
        del key
        batch = complete(batch, params)

        loss = partial(_judge, self.model)
        gradient, metrics = mean_gradient(loss, params, (batch.values,), batch.weights)
        return gradient, state, metrics


@dataclasses.dataclass(frozen=True)
class HybridDiscriminative(StatelessWrapping):
    """The gradient of the mean −log p(y | x) + `weight` × the mean −log p(x, y).

    `estimator` estimates the gradient of the mean −log p(x, y), and its state is the
    state of this estimator. A `weight` of 0 trains p(y | x) alone; a larger one trains
    the model more to generate the data.

    Args:
      estimator: a rule for −log p(x, y), such as CD.
      weight: the factor of the generative term, at least 0.

    Reference:
      Larochelle & Bengio (2008), Classification using discriminative restricted
      Boltzmann machines, section 5.
    """

    weight: float

    def __post_init__(self) -> None:
        super().__post_init__()
        parts_of(self.model.visible)
        if not 0 <= self.weight < float("inf"):
            raise InvalidValue(
                f"`weight` is {self.weight} but the weight of a gradient needs to be "
                "finite and at least 0."
            )

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The metrics of `Discriminative` and of `estimator`."""
        discriminative = Discriminative(self.model)
        gradient, _, judged = discriminative.estimate(params, (), batch, key)
        generative, state, metrics = self.estimator.estimate(params, state, batch, key)
        total = jax.tree.map(lambda x, y: x + self.weight * y, gradient, generative)
        return total, state, metrics | judged


def pair_with_labels(images: Any, labels: Any, num_classes: int) -> tuple[Array, Array]:
    """The images with their classes as states of `Softmax(1, num_classes)`.

    Raises:
      ValueError: labels are missing, not integers, not one per example, or out of
        range; or there are fewer examples than classes.
    """
    numbers = class_numbers(labels, len(images), num_classes)
    return jnp.asarray(images), jax.nn.one_hot(numbers, num_classes)[:, None]


def _judge(model, params, example):
    """−log p(y | x) of one example, and its metrics."""
    x, y = example
    log_p = label_log_probabilities(model, params, x)
    loss = -full_product(y.ravel(), log_p)
    error = jnp.where(jnp.argmax(log_p) != jnp.argmax(y), 1.0, 0.0)
    return loss, {"cross_entropy": loss, "error": error}
