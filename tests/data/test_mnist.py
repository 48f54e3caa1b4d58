"""The sources of MNIST, their order, and folders that do not hold it."""

import gzip
import os
import sys

import numpy as np
import pytest

from jboltz.data import fingerprint, hold_out, load_mnist
from jboltz.data.mnist import MNIST

IMAGES, LABELS = MNIST.files[0].name, MNIST.files[3].name


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
    held = hold_out(data)
    assert (len(held.train), len(held.test)) == (50_000, 10_000)


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


@pytest.mark.parametrize("source", ["auto", "manual"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda good: good[:-20],
        lambda good: b"",
        lambda good: b"<html>log in",
        lambda good: gzip.decompress(good),
        lambda good: good[:99] + bytes([good[99] ^ 1]) + good[100:],
        lambda good: good + b"\0",
        lambda good: gzip.compress(bytes(100_000_000)),  # never decompressed
    ],
    ids="cut empty text plain flipped longer bomb".split(),
)
def test_damaged_file_in_the_folder(manual_dir, tmp_path, source, damage):
    path = manual_dir / IMAGES
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="is not the published file: it has") as caught:
        load_mnist(source, manual_dir=manual_dir, data_dir=tmp_path / "tfds")
    assert str(caught.value).startswith(f"{path} ")
    assert "delete it and fetch MNIST again from http" in str(caught.value)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_at_once(manual_dir, make):
    (manual_dir / IMAGES).unlink()
    make(manual_dir / IMAGES)
    with pytest.raises(ValueError, match="is a folder, a pipe or a device"):
        load_mnist("manual", manual_dir=manual_dir)


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
def without_requests(monkeypatch):
    monkeypatch.setitem(sys.modules, "requests", None)


def test_auto_without_requests_is_the_embedded_digits(
    publish, tmp_path, without_requests
):
    data = load_mnist(data_dir=tmp_path)
    assert data.source == "embedded"
    assert "pip install 'jboltz[experiments]'" in data.note


def test_without_requests_a_download_says_how_to_install_it(
    publish, tmp_path, without_requests
):
    with pytest.raises(ImportError, match=r"pip install 'jboltz\[experiments\]'"):
        load_mnist("tfds", data_dir=tmp_path)


def test_importing_the_package_is_light(run_program):
    process = run_program(
        "import jboltz.data\n"
        "heavy = {'jax', 'requests'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("[]\n", "")


@pytest.mark.parametrize("name", ["manual_dir", "data_dir"])
def test_the_home_of_nobody_is_refused(name):
    source = "manual" if name == "manual_dir" else "tfds"
    with pytest.raises(ValueError, match=f"`{name}` is '~nobody_at_all/x' but"):
        load_mnist(source, **{name: "~nobody_at_all/x"})
