"""Free energies of examples as scores of how unusual they are."""

from typing import Any

from flax import struct

from jboltz.base import FreeEnergyModel, Params, record
from jboltz.checks import check_params, require
from jboltz.evaluation.examples import Data, as_examples
from jboltz.evaluation.likelihood import domain_of, per_example


@record
class AnomalyScores:
    """F(v) of each example, and how the data were binarised."""

    values: Any  # (examples,) nats, larger for more unusual examples
    binarisation: str = struct.field(pytree_node=False)  # of `EvaluationData`


def anomaly_scores(
    model: FreeEnergyModel, params: Params, data: Data, *, batch_size: int = 1000
) -> AnomalyScores:
    """F(v) = −log p(v) − log Z of each example, in nats; larger is more unusual.

    Scores are comparable within one model and one binarisation. `free_energy` takes
    any numbers; F of a gray v is a polynomial between binary states and no probability,
    and it rises or falls with the contrast of an image alone. So gray data of binary
    units are refused here.

    Args:
      data: states of the visible units, or `EvaluationData` from `binarise_once` or
        `binarise_by_threshold`.
      batch_size: the number of examples computed at a time.

    Raises:
      ValueError: data are gray for binary units, or no states of the model.

    Example:
      >>> import numpy as np
      >>> from jboltz import RBM, Bernoulli, binarise_by_threshold
      >>> rbm = RBM(Bernoulli(4), Bernoulli(3))
      >>> images = binarise_by_threshold(np.linspace(0, 1, 8).reshape(2, 4))
      >>> scores = anomaly_scores(rbm, rbm.init(jax.random.key(0)), images)
      >>> scores.values.shape, scores.binarisation
      ((2,), 'threshold 0.5')
    """
    require(model, FreeEnergyModel, "a score")
    examples = as_examples(data, domain_of(model))
    check_params(model, params)
    values = per_example(
        lambda v: model.free_energy(params, v), examples.values, batch_size=batch_size
    )
    return AnomalyScores(values=values, binarisation=examples.binarisation)
