"""The other training task of `benchmark`: one epoch of PCD-1."""

from typing import Any

import numpy as np
from jaxtyping import Array, Key

from jboltz.experiments import _benchmark_cd as cd
from jboltz.experiments import _benchmark_common as common
from jboltz.experiments import _benchmark_peers as peers
from jboltz.experiments import _benchmark_rbms as in_rbms
from jboltz.experiments import _benchmark_torch as in_torch
from jboltz.learning.contrastive import PersistentContrastiveDivergence
from jboltz.models.rbm import RBM, RBMParams
from jboltz.samplers.gibbs import Gibbs

LIMITS = {"jboltz": 0.0, "sklearn": 0.25}
"""Of the checks, others 0.05. scikit-learn starts from weights of its own."""


def measure(
    model: RBM,
    params: RBMParams,
    rows: np.ndarray,
    key: Key[Array, ""],
    *,
    batch_size: int,
    rounds: int,
    seed: int,
) -> dict[str, Any]:
    """The record of the task: PCD-1 from `params`, a chain an example of a batch.

    An update needs the five products of CD-1, if there are as many chains.
    """
    estimator = PersistentContrastiveDivergence(model, Gibbs(model), batch_size)
    arguments = (model, estimator, params, rows, key)
    works = {"jboltz": cd.by_jboltz(*arguments, batch_size=batch_size)}
    versions, start = peers.installed(), common.as_machine(params)
    images = common.as_float(rows)
    binary = common.binarised(images, seed)
    if versions["torch"]:
        works["torch"] = in_torch.pcd(start, images, batch_size, seed)
    if versions["rbms"]:
        works["rbms"] = in_rbms.pcd(start, binary, batch_size, seed)
    if versions["scikit-learn"]:
        num_hidden = model.hidden.size
        works["sklearn"] = peers.sklearn_pcd(binary, num_hidden, batch_size, seed)
    return cd.compare(
        "PCD-1",
        model,
        rows,
        works,
        limits=LIMITS,
        batch_size=batch_size,
        rounds=rounds,
        seed=seed,
    )
