"""MNIST from the best source at hand, with one line that says which."""

import dataclasses
import gzip
import hashlib
import importlib.resources
import io
import os

import numpy as np

from jboltz.data.dataset import Dataset, from_arrays
from jboltz.data.published import PublishedDataset, PublishedFile, load_published
from jboltz.errors import InvalidValue

_EMBEDDED_SHA256 = "403921a37e4641f84ca1fa6d3858c5159ca7720621ac61a0063b4737c44ffb3c"
_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"


def _file(name: str, size: int, sha256: str) -> PublishedFile:
    return PublishedFile(_URL + name, size, sha256, "cvdf-datasets_mnist")


def _parse_idx(compressed: bytes) -> tuple[np.ndarray]:
    """The uint8 array in a gzipped IDX file that is known by its checksum.

    IDX: 0, 0, 8 for uint8, the number of axes, their lengths (big-endian uint32).
    """
    content = gzip.decompress(compressed)
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    return (values.reshape(shape),)


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
    parse=_parse_idx,
    manual="a folder with MNIST's four .gz files",
    where=f"They are at {_URL} and its mirrors.",
    sources=("auto", "tfds", "manual", "embedded"),
)


def load_mnist(
    source: str = "auto",
    *,
    manual_dir: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """MNIST as uint8 (60000, 784) and (10000, 784), or 10 000 and 2 000 of its digits.

    In the order of the original files, so the last 10 000 training images are the
    usual validation split, by `hold_out`. Every byte is verified against SHA-256.

    Args:
      source: "tfds" is TFDS's cache, and what is missing or damaged there is
        downloaded. "manual" is `manual_dir`. "embedded" are the digits that come with
        jboltz. "auto" is TFDS's cache, `manual_dir` if given, a download, the embedded
        digits. It settles for the last within seconds if there is no network, and says
        so in `Dataset.note`, which programs print.
      manual_dir: a folder with the four .gz files, for "manual" and "auto". It is an
        error in both if it does not hold them.
      data_dir: where TFDS keeps its data; by default TFDS_DATA_DIR, else
        ~/tensorflow_datasets.

    Raises:
      ValueError: an unknown source, arguments that contradict one another, a folder
        without the files, a damaged file, or a bucket as `data_dir`.
      ImportError: "tfds" needs a download, and Requests is not installed.
      OSError: a file or folder that cannot be read or written; its subclass
        ConnectionError if "tfds" needs the network and does not get it.
    """
    if source == "embedded" and manual_dir is None:
        return load_embedded(
            "for all of MNIST take source 'auto', in a program by `--data.source auto`"
        )
    try:
        return load_published(MNIST, source, manual_dir, data_dir)
    except (ImportError, OSError, ValueError) as error:
        if source != "auto" or manual_dir is not None:
            raise
        return load_embedded(str(error))


def load_embedded(remark: str) -> Dataset:
    """The 10 000 training and 2 000 test digits that come with jboltz, in 0.05 s.

    They are the first 1 000 training images and the first 200 test images of each
    digit, in the order of MNIST's files. None is among the last 10 000 of MNIST's
    training images. The file has a licence of its own: `digits/LICENSE-MNIST.txt`.

    Args:
      remark: ends the note: why these, or how to get all of MNIST.

    Raises:
      FileNotFoundError: the installation lacks the file.
      ValueError: the file is damaged.
    """
    path = importlib.resources.files("jboltz.data") / "digits" / "mnist_12k.npz"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _EMBEDDED_SHA256:
        raise InvalidValue(
            f"{path} has {len(content)} bytes that are not the digits jboltz was "
            "released with; reinstall jboltz."
        )
    arrays = dict(np.load(io.BytesIO(content), allow_pickle=False))
    data = from_arrays(**arrays, name="mnist", image_shape=(28, 28))
    note = (
        f"MNIST: only {len(data.train)} of 60000 training and {len(data.test)} of "
        f"10000 test images, those that come with jboltz; {remark.removesuffix('.')}."
    )
    return dataclasses.replace(data, source="embedded", note=note)
