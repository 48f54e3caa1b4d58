"""A model file with what it says of its columns, and rows as states of the model."""

import dataclasses
import pathlib
from typing import Any

import jax

from jboltz import io
from jboltz.base import Batch, Params
from jboltz.commands import tables
from jboltz.data import read
from jboltz.data.encoding import Encoding, from_json
from jboltz.errors import InvalidValue
from jboltz.evaluation.examples import EvaluationData
from jboltz.learning.contrastive import ContrastiveDivergence
from jboltz.learning.imputed import MissingDataEstimator
from jboltz.learning.rows import num_rows
from jboltz.models.rbm import RBM
from jboltz.runs import machine
from jboltz.samplers.gibbs import Gibbs

FILLING_STEPS = 100
"""Gibbs steps that draw the gaps of a row."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A model, and what `jboltz train` says of it in its file."""

    model: RBM
    params: Params
    notes: dict[str, Any]
    encoding: Encoding


def load(path: pathlib.Path) -> Trained:
    """The model in a file, or in the folder of a run.

    Raises:
      ValueError: it is no model of `jboltz train`.
    """
    machine.use_wide_vectors()
    machine.keep_compiled_programs()
    path = path / "model.safetensors" if path.is_dir() else path
    model, params = io.load(path)
    notes = io.load_notes(path)
    if not isinstance(notes, dict) or "columns" not in notes:
        raise InvalidValue(
            f"{path} does not say which columns its model was trained on, so `jboltz "
            "train` did not write it; use it in Python, by `jboltz.load`."
        )
    return Trained(model, params, notes, from_json(notes["columns"]))


def states(
    trained: Trained, path: pathlib.Path, seed: int
) -> tuple[EvaluationData, Batch]:
    """The rows of a file as states, with gaps filled by draws; and as they were read.

    Raises:
      ValueError: the columns are not those of the training data, or have values or
        gaps that these had not.
    """
    reader = tables.reader_for(path, tuple(trained.notes["without"]))
    batch = filled = read(path, reader, like=trained.encoding).data
    gaps = num_rows(batch) - num_rows(tables.complete(batch))
    if gaps and not trained.encoding.has_gaps:
        raise InvalidValue(
            f"{path} has gaps in {gaps} rows but the training data had none; fill "
            "them, or drop these rows."
        )
    if batch.mask is not None:
        cd = ContrastiveDivergence(trained.model, Gibbs(trained.model))
        fill = jax.jit(MissingDataEstimator(cd, FILLING_STEPS).fill)
        filled = fill(trained.params, batch, jax.random.key(seed))
    return tables.judged(trained.encoding, filled, seed), batch
