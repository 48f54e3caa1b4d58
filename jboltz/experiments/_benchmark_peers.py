"""The libraries beside which `benchmark` is timed; none of them need be there.

Each is imported where it is used: after jboltz's memory has been read, and only if it
is installed. PyTorch, rbms and thrml have files of their own; scikit-learn is here.
"""

import importlib
import importlib.metadata
import os
from typing import Any

import numpy as np

from jboltz.experiments._benchmark_timing import Work

LEARNING_RATE = 0.01
"""The notes'. Every contestant learns at this one."""

PACKAGES = ("torch", "scikit-learn", "rbms", "thrml")


def installed() -> dict[str, str | None]:
    """Versions by package; None for one that is not installed."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def threads(versions: dict[str, str | None]) -> dict[str, Any]:
    """How many threads each library computes on."""
    counts: dict[str, Any] = {"cores": os.cpu_count()}
    # XLA has no call that tells; its pool has a thread a core that it may use.
    is_linux = hasattr(os, "sched_getaffinity")
    counts["xla"] = len(os.sched_getaffinity(0)) if is_linux else os.cpu_count()
    if versions["torch"]:
        counts["torch"] = torch().get_num_threads()
    if versions["scikit-learn"]:
        # scikit-learn depends on it; its products are those of NumPy's BLAS.
        pools = importlib.import_module("threadpoolctl").threadpool_info()
        counts["blas"] = [p["num_threads"] for p in pools if p["user_api"] == "blas"]
    return counts


def torch() -> Any:
    """PyTorch, on all cores."""
    found = importlib.import_module("torch")
    found.set_num_threads(os.cpu_count() or 1)
    return found


def sklearn_pcd(
    binary: np.ndarray, num_hidden: int, batch_size: int, seed: int
) -> Work:
    """One epoch of `BernoulliRBM.fit`, which begins anew at every call.

    It is PCD-1 with a chain an example of a batch: the five products of CD-1, on images
    binarised once and never shuffled.
    """
    rbm = _sklearn_rbm(num_hidden, batch_size=batch_size, random_state=seed)

    def work():
        rbm.fit(binary)
        return rbm.components_.T, rbm.intercept_visible_, rbm.intercept_hidden_

    return work


def sklearn_gibbs(
    machine: tuple[Any, ...], starts: np.ndarray, num_sweeps: int, seed: int
) -> Work:
    """Sweeps by `BernoulliRBM.gibbs`; every call goes on where the last one stopped."""
    weights, visible_bias, hidden_bias = (np.asarray(x) for x in machine)
    rbm, v = _sklearn_rbm(len(hidden_bias), random_state=seed), starts
    # As `fit` lays them out.
    rbm.components_ = np.asfortranarray(weights.T)
    rbm.intercept_visible_, rbm.intercept_hidden_ = visible_bias, hidden_bias

    def work():
        nonlocal v
        for _ in range(num_sweeps):
            v = rbm.gibbs(v)
        return (v,)

    return work


def _sklearn_rbm(num_hidden: int, **options: Any) -> Any:
    rbm = importlib.import_module("sklearn.neural_network").BernoulliRBM
    return rbm(num_hidden, learning_rate=LEARNING_RATE, n_iter=1, **options)
