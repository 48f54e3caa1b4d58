"""Arrays to train on, and batches of them; host side, NumPy only."""

from jboltz.data.batches import batches
from jboltz.data.checks import check_values
from jboltz.data.cifar10 import load_cifar10
from jboltz.data.dataset import Dataset, fingerprint, from_arrays, split_validation
from jboltz.data.mnist import load_mnist

__all__ = [
    "Dataset",
    "batches",
    "check_values",
    "fingerprint",
    "from_arrays",
    "load_cifar10",
    "load_mnist",
    "split_validation",
]
