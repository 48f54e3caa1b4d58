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

    values: Any  #: (examples,) F(v) in nats, larger for more unusual examples
    #: how the data were binarised, in the words of `EvaluationData`
    binarisation: str = struct.field(pytree_node=False)


def anomaly_scores(
    model: FreeEnergyModel, params: Params, data: Data, *, batch_size: int = 1000
) -> AnomalyScores:
    """F(v) = −log p(v) − log Z of each example in nats; larger is more unusual.

    `free_energy` itself takes any numbers. F of a gray v is no −log p(v), and changes
    with the contrast of an image, so gray data of binary units are refused here.
    Scores are comparable within one model and one binarisation.

    Args:
      model: a model with a free energy, such as an RBM.
      params: its parameters.
      data: states of the visible units, or `EvaluationData` from `binarise_once` or
        `binarise_by_threshold`.
      batch_size: the number of examples computed at a time.

    Returns:
      `AnomalyScores`: its `values`, (examples,), are in the order of `data`.

    Raises:
      ValueError: data are gray for binary units or are not states of the model;
        parameters do not fit the model or are not finite.
      TypeError: data are not numbers, or `model` does not state the domain of its data.
    """
    require(model, FreeEnergyModel, "a free energy")
    examples = as_examples(data, domain_of(model))
    check_params(model, params)
    values = per_example(
        lambda v: model.free_energy(params, v), examples.values, batch_size=batch_size
    )
    return AnomalyScores(values=values, binarisation=examples.binarisation)
