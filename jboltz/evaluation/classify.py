"""Classification by the exact p(y | x) of label units, and its error rate."""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jboltz.abilities import LabelModel
from jboltz.base import Params, record
from jboltz.checks import check_params
from jboltz.evaluation.likelihood import per_example, weighted_mean_and_error
from jboltz.learning.pretrain import unit_interval
from jboltz.learning.rows import class_numbers
from jboltz.models.labelled import LabelledDBN, label_log_probabilities
from jboltz.models.rbm import RBM


@record
class ErrorRate:
    """The share of examples whose likeliest class is wrong, with its standard error."""

    error: float  # the share
    standard_error: float  # of `error`, over draws of the examples
    cross_entropy: float  # mean −log p(y | x) in nats
    num_examples: int


def classify(
    model: RBM | LabelledDBN, params: Params, images: Any, *, batch_size: int = 500
) -> Float[np.ndarray | Array, "examples classes"]:
    """log p(y | x) of each example; its `argmax` along classes is the likeliest class.

    For a `LabelledDBN` it is log p(y | hᴸ⁻¹) of the top RBM, where hᴸ⁻¹ is the code of
    the image. Gray images are not binarised.

    Args:
      model: a model with the label among its visible units.
      params: its parameters.
      images: uint8 images, or states of the units of the data.
      batch_size: the number of examples computed at a time.

    Example:
      >>> from jboltz import Bernoulli, Joined, Softmax
      >>> rbm = RBM(Joined(Bernoulli(784), Softmax(1, 10)), Bernoulli(500))
      >>> images = np.zeros((2, 784), np.float32)
      >>> classify(rbm, rbm.init(jax.random.key(0)), images).shape
      (2, 10)
    """
    check_params(model, params)
    if isinstance(model, LabelModel):
        one = partial(model.label_log_probabilities, params)
    else:
        one = partial(label_log_probabilities, model, params)
    rows = unit_interval(jnp.asarray(images))
    return per_example(one, rows, batch_size=batch_size)


def error_rate(
    log_probabilities: Float[np.ndarray | Array, "examples classes"], labels: Any
) -> ErrorRate:
    """The error rate of the result of `classify`, given the labels.

    Args:
      log_probabilities: log p(y | x) of each class, one row per example.
      labels: the number of the true class of each example, from 0.

    Raises:
      ValueError: labels are missing, not integers, not one per example, or out of
        range; or there are fewer examples than classes.
    """
    num_classes = log_probabilities.shape[1]
    truth = class_numbers(labels, len(log_probabilities), num_classes)
    wrong = np.argmax(log_probabilities, axis=1) != truth
    error, standard_error = weighted_mean_and_error(wrong.astype(float), None)
    return ErrorRate(
        error=error,
        standard_error=standard_error,
        cross_entropy=float(-np.mean(log_probabilities[np.arange(len(truth)), truth])),
        num_examples=len(truth),
    )
