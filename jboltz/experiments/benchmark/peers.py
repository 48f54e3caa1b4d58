"""The contestants, and which of the other libraries are installed.

No other library has to be there. The file of each is loaded in the process of a
contestant that needs it, and only if the library is installed.
"""

import importlib
import importlib.metadata
import os
import sys
from typing import Any

LEARNING_RATE = 0.01
"""The notes'. Every contestant learns at this rate."""

LABELS = {
    "jboltz": "jboltz",
    "threefry_13": "jboltz, THREEFRY_13",
    "products": "products by XLA",
    "products_numpy": "products by NumPy",
    "products_torch": "products by PyTorch",
    "torch": "PyTorch",
    "torch_compiled": "PyTorch, compiled",
    "torch_loader": "PyTorch, DataLoader",
    "torch_notes": "the notes' PyTorch",
    "sklearn": "scikit-learn",
    "rbms": "rbms",
    "thrml": "thrml",
}
"""Every contestant, with its name in tables."""

FLOORS = {
    "products": "floors.by_xla",
    "products_numpy": "floors.in_python",
    "products_torch": "in_torch.products",
}
"""The contestants that take the products alone, and what builds their work from all
floors of a task, one after another."""

PACKAGES = {
    **{name: "torch" for name in LABELS if "torch" in name},
    "sklearn": "scikit-learn",
    "rbms": "rbms",
    "thrml": "thrml",
}
"""The package that a contestant needs, where it needs one."""

VERSIONS = {"torch": "2.", "scikit-learn": "1.", "rbms": "0.5.", "thrml": "0.1."}
"""How the version of each package begins that the contestants are written for."""


def installed() -> dict[str, str | None]:
    """Versions by package; None for one that is not installed."""
    versions: dict[str, str | None] = dict.fromkeys(VERSIONS)
    for package in versions:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def affinity() -> list[int] | None:
    """The cores that this process may use, as by `taskset`; Linux alone says it."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else None


def left_out() -> dict[str, str]:
    """Why a package is left out, by its name."""
    reasons = {}
    for package, version in installed().items():
        if version is None:
            reasons[package] = "is not installed"
        elif not version.startswith(VERSIONS[package]):
            wanted = VERSIONS[package] + "*"
            reasons[package] = f"is of version {version}, where {wanted} is needed"
    return reasons


def takes_part(contestant: str) -> bool:
    """Whether the package that a contestant needs is there."""
    return PACKAGES.get(contestant) not in left_out()


def build(name: str, *arguments: Any) -> Any:
    """The work by the function of this name in this package, as "in_torch.cd"."""
    file, _, function = name.partition(".")
    module = importlib.import_module(f"{__package__}.{file}")
    return getattr(module, function)(*arguments)
