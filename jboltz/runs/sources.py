"""Where the images of a run come from."""

import dataclasses
import pathlib
from typing import Any, Literal, Protocol, runtime_checkable

from jboltz.data import Dataset, load_cifar10, load_mnist
from jboltz.runs.config import Source


@dataclasses.dataclass(frozen=True)
class Mnist(Source):
    """Where MNIST comes from."""

    source: Literal["auto", "tfds", "manual", "embedded"] = "auto"
    """`auto` takes the best that is there within seconds: what TFDS has cached, the
    manual folder, a download, or the 10 000 digits inside the package."""
    manual_dir: pathlib.Path | None = None
    """Folder with MNIST's four .gz files."""

    def load(self) -> Dataset:
        return load_mnist(self.source, manual_dir=self.manual_dir)


@dataclasses.dataclass(frozen=True)
class Cifar10(Source):
    """Where CIFAR-10 comes from."""

    source: Literal["auto", "tfds", "manual"] = "auto"
    """`auto` takes what TFDS has cached, the manual file, or a download."""
    manual_dir: pathlib.Path | None = None
    """The official binary tarball, an .npz file with `train_images` and so on, or a
    folder with one of them."""

    def load(self) -> Dataset:
        return load_cifar10(self.source, manual_dir=self.manual_dir)


@runtime_checkable
class SourceConfig(Protocol):
    """A configuration whose field `data` says where the data come from."""

    @property
    def data(self) -> Mnist | Cifar10: ...


def load(config: Any) -> Dataset:
    """What the field `data` of a `SourceConfig` names."""
    # Imported here: this module is also imported where JAX is not needed.
    from jboltz.checks import require

    require(config, SourceConfig, "a program without a `load` of its own", "config")
    return config.data.load()
