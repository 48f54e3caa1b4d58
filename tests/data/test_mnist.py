"""The sources of MNIST, their order, and folders that do not hold it."""

import gzip
import sys

import numpy as np
import pytest

from jboltz.data import fingerprint, load_mnist, split_validation
from jboltz.data.mnist import MNIST

IMAGES, LABELS = MNIST.file_names[0], MNIST.file_names[3]


def test_real_mnist_from_a_folder(real_mnist_dir):
    data = load_mnist("manual", manual_dir=real_mnist_dir)
    assert data.train.shape == (60_000, 784)
    assert data.test.shape == (10_000, 784)
    assert data.train.dtype == np.uint8
    assert data.train_labels.dtype == np.int32
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(data.test_labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    train, validation = split_validation(data)
    assert (len(train), len(validation)) == (50_000, 10_000)


@pytest.mark.parametrize("source", ["auto", "manual"])
def test_manual_folder(manual_dir, tmp_path, small_arrays, source):
    data = load_mnist(source, manual_dir=manual_dir, data_dir=tmp_path / "tfds")
    train, train_labels, test, test_labels = small_arrays.values()
    assert data.source == "manual"
    assert data.note == f"MNIST: 30 training and 20 test images, from {manual_dir}."
    np.testing.assert_array_equal(data.train, train.reshape(30, 784))
    np.testing.assert_array_equal(data.test, test.reshape(20, 784))
    np.testing.assert_array_equal(data.train_labels, train_labels)
    np.testing.assert_array_equal(data.test_labels, test_labels)
    assert not (tmp_path / "tfds").exists()


def test_auto_prefers_the_cache_then_the_folder_then_the_network(
    server, manual_dir, tmp_path
):
    arguments = {"data_dir": tmp_path / "tfds"}
    from_folder = load_mnist(manual_dir=manual_dir, **arguments)
    assert (from_folder.source, server.requests) == ("manual", [])
    from_network = load_mnist(**arguments)
    assert (from_network.source, len(server.requests)) == ("tfds", 4)
    from_cache = load_mnist(manual_dir=manual_dir, **arguments)
    assert (from_cache.source, len(server.requests)) == ("tfds", 4)
    assert fingerprint(from_folder) == fingerprint(from_network)
    assert fingerprint(from_folder) == fingerprint(from_cache)


def idx(header, body):
    return gzip.compress(bytes(header) + bytes(body))


@pytest.mark.parametrize("source", ["auto", "manual"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda good: good[:-20], "is cut short after"),
        (lambda good: b"", "holds 0 bytes, but the header of an IDX file has 16"),
        (lambda good: b"<html>log in", "is not a sound gzip file"),
        (lambda good: gzip.decompress(good), "is not a sound gzip file"),
        (
            lambda good: good[:99] + bytes([good[99] ^ 1]) + good[100:],
            "sound gzip file",
        ),
        (lambda good: good + b"more", "is not a sound gzip file"),
        (lambda good: gzip.compress(gzip.decompress(good)[:9]), "holds 9 bytes"),
        (lambda good: gzip.compress(gzip.decompress(good)[:-9]), "but holds 23511"),
        (lambda good: gzip.compress(gzip.decompress(good) + b"!"), "but holds 23521"),
        (lambda good: idx([0, 0, 8, 1, 0, 0, 0, 9], range(9)), "'00 00 08 01'"),
        (lambda good: idx([0, 0, 13, 3], range(50)), "'00 00 0d 03'"),
        (lambda good: good + b"\0", "is not the published file: it has"),
        (lambda good: good[:4] + b"\1" + good[5:], "is not the published file: it has"),
    ],
)
def test_damaged_file_in_the_folder(manual_dir, tmp_path, source, damage, message):
    path = manual_dir / IMAGES
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as caught:
        load_mnist(source, manual_dir=manual_dir, data_dir=tmp_path / "tfds")
    assert str(caught.value).startswith(f"{path} ")
    assert "delete it and fetch it again from http" in str(caught.value)


@pytest.mark.parametrize("source", ["auto", "manual"])
def test_folder_without_the_files(manual_dir, source):
    (manual_dir / IMAGES).unlink()
    (manual_dir / LABELS).unlink()
    with pytest.raises(ValueError, match=f"lacks {IMAGES}, {LABELS} .*four .gz files"):
        load_mnist(source, manual_dir=manual_dir)


@pytest.mark.parametrize("source", ["auto", "manual"])
def test_no_folder(tmp_path, source):
    with pytest.raises(ValueError, match="no such folder"):
        load_mnist(source, manual_dir=tmp_path / "typo")


def test_file_that_cannot_be_read(manual_dir):
    (manual_dir / LABELS).unlink()
    (manual_dir / LABELS).mkdir()
    with pytest.raises(OSError, match=r"cannot be read \(Is a directory\)"):
        load_mnist("manual", manual_dir=manual_dir)


def test_unknown_source():
    with pytest.raises(ValueError, match="'auto', 'tfds', 'manual', 'embedded'"):
        load_mnist("mnist")


def test_manual_needs_a_folder():
    with pytest.raises(ValueError, match="`manual_dir` is None but source 'manual'"):
        load_mnist("manual")


@pytest.mark.parametrize("source", ["tfds", "embedded"])
def test_folder_that_would_not_be_read(source, tmp_path):
    with pytest.raises(ValueError, match=f"source '{source}' does not read it"):
        load_mnist(source, manual_dir=tmp_path)


@pytest.fixture
def without_tfds(monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] == "tensorflow_datasets":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)


def test_auto_without_tfds_is_the_embedded_digits(without_tfds):
    data = load_mnist()
    assert data.source == "embedded"
    assert "pip install 'jboltz[experiments]'" in data.note


@pytest.mark.parametrize("source", ["auto", "tfds", "manual"])
def test_without_tfds_what_needs_it_says_how_to_install_it(
    manual_dir, without_tfds, source
):
    arguments = {} if source == "tfds" else {"manual_dir": manual_dir}
    with pytest.raises(ImportError, match=r"pip install 'jboltz\[experiments\]'"):
        load_mnist(source, **arguments)


def test_importing_the_package_is_light(run_program):
    process = run_program(
        "import jboltz.data\n"
        "heavy = {'jax', 'tensorflow_datasets', 'requests', 'tensorflow'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("[]\n", "")
