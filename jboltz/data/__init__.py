"""Arrays to train on, and batches of them; host side, NumPy only.

Once JAX has started, a process that loads data must be started by spawn and not by
fork, which may hang: see `batches`.
"""

from jboltz.data.batches import batches
from jboltz.data.checks import check_values, warn_unstandardized
from jboltz.data.cifar10 import load_cifar10
from jboltz.data.dataset import (
    Dataset,
    fingerprint,
    from_arrays,
    num_held_out,
    split_validation,
)
from jboltz.data.mnist import load_mnist
from jboltz.data.patches import (
    Whitening,
    extract_patches,
    fit_whitening,
    normalize_contrast,
    patch_places,
    unwhiten,
    whiten,
)
from jboltz.data.standardize import (
    Scaling,
    Standardizer,
    check_scaling,
    fit_standardizer,
    scale_pixels,
    standardize,
    unstandardize,
)
from jboltz.data.subset import balanced_subset
from jboltz.data.whitened import PatchSpec, WhitenedPatches, whitened_patches

__all__ = [
    "Dataset",
    "PatchSpec",
    "Scaling",
    "Standardizer",
    "WhitenedPatches",
    "Whitening",
    "balanced_subset",
    "batches",
    "check_scaling",
    "check_values",
    "extract_patches",
    "fingerprint",
    "fit_standardizer",
    "fit_whitening",
    "from_arrays",
    "load_cifar10",
    "load_mnist",
    "normalize_contrast",
    "num_held_out",
    "patch_places",
    "scale_pixels",
    "split_validation",
    "standardize",
    "unstandardize",
    "unwhiten",
    "warn_unstandardized",
    "whiten",
    "whitened_patches",
]
