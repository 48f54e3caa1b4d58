"""MNIST from the best source at hand, with one line that says which."""

import functools
import os

from jboltz.data.dataset import Dataset
from jboltz.data.embedded import load_embedded
from jboltz.data.idx import parse_idx
from jboltz.data.published import PublishedDataset, PublishedFile
from jboltz.data.sources import (
    SOURCES,
    find_folder,
    load_published,
    manual_source,
)

_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"


def _file(name: str, size: int, sha256: str) -> PublishedFile:
    return PublishedFile(_URL + name, size, sha256, "cvdf-datasets_mnist")


MNIST = PublishedDataset(
    name="mnist",
    title="MNIST",
    files=(
        _file(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        _file(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        _file(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        _file(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    parse=lambda content: (parse_idx(content),),
    manual="a folder with MNIST's four .gz files",
    where="They are at https://storage.googleapis.com/cvdf-datasets/mnist/ and its "
    "mirrors.",
)


def load_mnist(
    source: str = "auto",
    *,
    manual_dir: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """MNIST as uint8 (60000, 784) and (10000, 784), or 10 000 and 2 000 of its digits.

    In the order of the original files, so the last 10 000 training images are the
    validation split (`split_validation`). Every byte is verified against SHA-256.

    Sources:
      - "tfds": TFDS's cache, and what is missing or damaged there is downloaded.
      - "manual": `manual_dir`, a folder with the four .gz files.
      - "embedded": the digits that come with jboltz.
      - "auto": TFDS's cache, `manual_dir` if given, a download, the embedded digits. It
        settles for the last within seconds if there is no network, and says so in
        `Dataset.note`, which programs print. A `manual_dir` that does not hold MNIST is
        an error here too.

    Args:
      source: one of the above.
      manual_dir: for "manual" and "auto".
      data_dir: where TFDS keeps its data; by default TFDS_DATA_DIR, else
        ~/tensorflow_datasets.

    Raises:
      ValueError: an unknown source, arguments that contradict one another, a folder
        without the files, a damaged file.
      ImportError: "tfds" needs a download, and Pooch is not installed.
      OSError: a file or folder that cannot be read or written; its subclass
        ConnectionError if "tfds" needs the network and does not get it.
    """
    find = functools.partial(find_folder, MNIST)
    sources = (*SOURCES, "embedded")
    read_manual = manual_source(MNIST, source, manual_dir, find, sources)
    if source == "embedded":
        return load_embedded(
            "for all of MNIST take source 'auto', in a program by `--data.source auto`"
        )
    try:
        return load_published(MNIST, source, read_manual, data_dir)
    except (ImportError, OSError, ValueError) as error:
        if source != "auto" or read_manual is not None:
            raise
        return load_embedded(str(error))
