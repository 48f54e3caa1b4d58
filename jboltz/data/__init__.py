"""Arrays to train on and evaluate on; host side, NumPy only.

Once JAX has started, the worker processes of a loader must be started by
`multiprocessing.get_context("spawn")` and not by fork: JAX runs threads, and a copy of
a process with threads may wait for ever for a lock that one of them held.
"""

from jboltz.data.checks import check_values
from jboltz.data.cifar10 import load_cifar10
from jboltz.data.dataset import (
    Dataset,
    balanced_subset,
    fingerprint,
    from_arrays,
    hold_out,
)
from jboltz.data.mnist import load_mnist
from jboltz.data.patches import PatchSpec, WhitenedPatches, whitened_patches
from jboltz.data.standardize import (
    Scaling,
    Standardizer,
    check_scaling,
    fit_standardizer,
    scale_pixels,
    standardize,
    unstandardize,
)

__all__ = [
    "Dataset",
    "PatchSpec",
    "Scaling",
    "Standardizer",
    "WhitenedPatches",
    "balanced_subset",
    "check_scaling",
    "check_values",
    "fingerprint",
    "fit_standardizer",
    "from_arrays",
    "hold_out",
    "load_cifar10",
    "load_mnist",
    "scale_pixels",
    "standardize",
    "unstandardize",
    "whitened_patches",
]
