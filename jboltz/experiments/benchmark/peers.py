"""The contestants, and which of the other libraries are installed.

No other library has to be there. The file of each is loaded where a work is built: only
if the library is installed, and after the memory that jboltz needs has been read.
"""

import importlib
import importlib.metadata
import os
from typing import Any

LEARNING_RATE = 0.01
"""The notes'. Every contestant learns at this rate."""

LABELS = {
    "jboltz": "jboltz",
    "threefry_13": "jboltz, THREEFRY_13",
    "products": "products alone",
    "torch": "PyTorch",
    "torch_compiled": "PyTorch, compiled",
    "torch_loader": "PyTorch, DataLoader",
    "torch_notes": "the notes' PyTorch",
    "sklearn": "scikit-learn",
    "rbms": "rbms",
    "thrml": "thrml",
}
"""Every contestant, with its name in tables."""

PACKAGES = {
    **{name: "torch" for name in LABELS if name.startswith("torch")},
    "sklearn": "scikit-learn",
    "rbms": "rbms",
    "thrml": "thrml",
}
"""The package that a contestant needs, where it needs one."""


def installed() -> dict[str, str | None]:
    """Versions by package; None for one that is not installed."""
    versions: dict[str, str | None] = dict.fromkeys(PACKAGES.values())
    for package in versions:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def is_installed(contestant: str) -> bool:
    """Whether the package that a contestant needs is there."""
    package = PACKAGES.get(contestant)
    return package is None or installed()[package] is not None


def threads(versions: dict[str, str | None]) -> dict[str, Any]:
    """How many threads each library computes on."""
    counts: dict[str, Any] = {"cores": os.cpu_count()}
    # XLA has no call that tells; its pool has a thread a core that it may use.
    is_linux = hasattr(os, "sched_getaffinity")
    counts["xla"] = len(os.sched_getaffinity(0)) if is_linux else os.cpu_count()
    if versions["torch"]:
        counts["torch"] = load("in_torch.torch").get_num_threads()
    if versions["scikit-learn"]:
        # scikit-learn depends on it; its products are those of NumPy's BLAS.
        pools = importlib.import_module("threadpoolctl").threadpool_info()
        counts["blas"] = [p["num_threads"] for p in pools if p["user_api"] == "blas"]
    return counts


def load(name: str) -> Any:
    """What has this name in this package, as "in_torch.cd"."""
    file, _, function = name.partition(".")
    return getattr(importlib.import_module(f"{__package__}.{file}"), function)
