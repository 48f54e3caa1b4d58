"""TFDS's cache and download: what arrives is verified, what fails leaves no trace."""

import logging
import os
import signal
import socket
import threading
import time

import numpy as np
import pytest

from jboltz.data import download, load_mnist, mnist
from jboltz.data.cifar10 import CIFAR10
from jboltz.data.mnist import MNIST

FILE_NAMES = tuple(file.name for file in MNIST.files)
IMAGES, LABELS = FILE_NAMES[0], FILE_NAMES[3]


def cached_files(data_dir):
    return sorted(path for path in data_dir.rglob("*") if path.is_file())


def cached(data_dir, name):
    files = {file.name: file for file in mnist.MNIST.files}
    return data_dir / "downloads" / "mnist" / files[name].cached_as


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "tfds"


@pytest.fixture
def cache(server, data_dir):
    """A complete cache; its server remains."""
    load_mnist("tfds", data_dir=data_dir)
    server.requests.clear()
    return data_dir


def test_download_gives_the_files_and_the_cache_spares_the_next(
    server, data_dir, small_arrays
):
    first = load_mnist("tfds", data_dir=data_dir)
    assert sorted(server.requests) == sorted(FILE_NAMES)
    second = load_mnist("tfds", data_dir=data_dir)
    assert len(server.requests) == 4
    assert first.note.endswith(f"downloaded into {data_dir}/downloads/mnist.")
    assert second.note.endswith(f"from the TFDS cache in {data_dir}/downloads/mnist.")
    train, train_labels, test, test_labels = small_arrays.values()
    for data in (first, second):
        assert data.source == "tfds"
        assert data.image_shape == (28, 28)
        np.testing.assert_array_equal(data.train.reshape(-1, 28, 28), train)
        np.testing.assert_array_equal(data.test.reshape(-1, 28, 28), test)
        np.testing.assert_array_equal(data.train_labels, train_labels)
        np.testing.assert_array_equal(data.test_labels, test_labels)


@pytest.mark.parametrize("dataset", [MNIST, CIFAR10], ids=lambda x: x.name)
def test_sizes_checksums_and_names_are_those_of_tfds(dataset):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import resource

    registered = tfds.builder_cls(dataset.name).url_infos
    assert {file.url for file in dataset.files} == set(registered)
    for file in dataset.files:
        info = registered[file.url]
        assert (file.size, file.sha256) == (info.size, info.checksum)
        assert file.cached_as == resource.get_dl_fname(file.url, file.sha256)


@pytest.mark.parametrize("source", ["auto", "tfds"])
def test_complete_cache_needs_no_network(cache, server, source):
    server.is_mute = True
    assert load_mnist(source, data_dir=cache).source == "tfds"


@pytest.mark.parametrize("source", ["auto", "tfds"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "pipe"])
def test_damaged_cache_is_fetched_again_and_only_that(cache, server, source, damage):
    path = cached(cache, IMAGES)
    good = path.read_bytes()
    flipped = good[:200] + bytes([good[200] ^ 1]) + good[201:]
    path.unlink()
    if damage == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes({"cut": good[:200], "flipped": flipped, "empty": b""}[damage])
    data = load_mnist(source, data_dir=cache)
    assert server.requests == [IMAGES]
    assert data.source == "tfds"
    assert f"(where {IMAGES} was damaged)" in data.note
    assert path.read_bytes() == good


def test_damaged_cache_without_network_is_said(cache, server, monkeypatch):
    server.is_mute = True
    monkeypatch.setattr(download, "PROBE_SECONDS", 0.2)
    cached(cache, LABELS).write_bytes(b"")
    data = load_mnist("auto", data_dir=cache)
    with pytest.raises(ConnectionError, match=f"{LABELS} was damaged"):
        load_mnist("tfds", data_dir=cache)
    assert data.source == "embedded"
    assert f"{LABELS} was damaged" in data.note


def test_wrong_file_is_not_kept(server, data_dir):
    server.files[IMAGES] = server.files[FILE_NAMES[2]]
    with pytest.raises(ValueError, match=r"not MNIST \(it is not the pub.*manual_dir"):
        load_mnist("tfds", data_dir=data_dir)
    assert not cached(data_dir, IMAGES).exists()
    data = load_mnist("auto", data_dir=data_dir)
    assert data.source == "embedded"
    assert "is not the published file" in data.note


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("missing", "404 Client Error"),
        ("busy", "503 Server Error"),
        ("half", "IncompleteRead"),
        ("stall", "timed out"),
    ],
)
def test_failed_download_falls_back_or_raises_and_continues_later(
    server, data_dir, monkeypatch, behaviour, reason
):
    monkeypatch.setattr(download, "STALL_SECONDS", 0.3)
    server.behave[IMAGES] = behaviour
    start = time.monotonic()
    data = load_mnist("auto", data_dir=data_dir)
    with pytest.raises(ConnectionError, match=f"{reason}.*run again with a network"):
        load_mnist("tfds", data_dir=data_dir)
    assert time.monotonic() - start < 5
    assert data.source == "embedded"
    assert reason in data.note
    assert "\n" not in data.note
    assert server.requests == [IMAGES, IMAGES]  # urllib3 would announce retries
    assert cached_files(data_dir) == []
    server.released.set()
    server.behave.clear()
    assert load_mnist("tfds", data_dir=data_dir).source == "tfds"
    assert len(cached_files(data_dir)) == 4


def test_nothing_is_printed(server, data_dir, capfd, caplog):
    server.behave[IMAGES] = "half"
    with caplog.at_level(logging.WARNING):
        load_mnist("auto", data_dir=data_dir)
        server.behave.clear()
        load_mnist("auto", data_dir=data_dir)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_file_that_does_not_end_is_given_up(server, data_dir):
    server.behave[IMAGES] = "drip"
    with pytest.raises(ValueError, match=r"not MNIST .it is longer than .* bytes"):
        load_mnist("tfds", data_dir=data_dir)
    assert cached_files(data_dir) == []


def refused(monkeypatch):
    """Nothing listens at the published address."""


def no_such_host(monkeypatch):
    def getaddrinfo(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("network", [refused, no_such_host])
def test_no_network_fails_at_once(publish, tmp_path, monkeypatch, network):
    network(monkeypatch)
    start = time.monotonic()
    data = load_mnist(data_dir=tmp_path)
    with pytest.raises(ConnectionError, match=r"from 127\.0\.0\.1:9, which failed"):
        load_mnist("tfds", data_dir=tmp_path)
    assert time.monotonic() - start < 3.5  # without waiting for the limit of 4 s
    assert data.source == "embedded"
    assert "run again with a network" in data.note
    assert os.listdir(tmp_path) == []


def test_silence_of_any_kind_ends_after_the_limit(server, data_dir, monkeypatch):
    monkeypatch.setattr(download, "PROBE_SECONDS", 0.3)
    never = threading.Event()
    real = socket.getaddrinfo

    def hanging(*args, **kwargs):
        never.wait(10)
        return real(*args, **kwargs)

    server.is_mute = True
    start = time.monotonic()
    mute = load_mnist(data_dir=data_dir)
    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    nameless = load_mnist(data_dir=data_dir)
    elapsed = time.monotonic() - start
    never.set()
    assert 0.6 <= elapsed < 6
    assert mute.source == nameless.source == "embedded"
    assert "no answer within 0.3 s" in nameless.note


@pytest.mark.parametrize("source", ["auto", "tfds"])
def test_folder_that_cannot_be_written(server, tmp_path, source):
    (tmp_path / "file").write_text("not a folder")
    if source == "auto":
        data = load_mnist(source, data_dir=tmp_path / "file")
        assert data.source == "embedded"
        assert "cannot be written" in data.note
        return
    with pytest.raises(OSError, match=r"cannot be written .*TFDS_DATA_DIR"):
        load_mnist(source, data_dir=tmp_path / "file")


def test_bucket_is_refused(publish):
    with pytest.raises(
        ValueError, match="'gs://bucket/x' but MNIST is cached in a loc"
    ):
        load_mnist("tfds", data_dir="gs://bucket/x")


PROGRAM = """
import signal
import dataclasses
from jboltz.data import load_mnist, mnist
from jboltz.data.published import PublishedFile
files = []
for argument in sys.argv[2:]:
    name, size, sha256 = argument.split(":")
    files.append(PublishedFile(sys.argv[1] + name, int(size), sha256, "small"))
mnist.MNIST = dataclasses.replace(mnist.MNIST, files=tuple(files))
# A test suite in the background is started with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
print(load_mnist("tfds").note)
"""


def program_arguments(server):
    files = mnist.MNIST.files
    return [server.url, *(f"{file.name}:1000000000:{file.sha256}" for file in files)]


def test_two_processes_fill_one_cache(server, data_dir, run_program):
    """Also: TFDS_DATA_DIR says where, and the interpreter ends without a warning."""
    environment = {"TFDS_DATA_DIR": os.fspath(data_dir)}
    arguments = program_arguments(server)
    processes = [run_program(PROGRAM, *arguments, **environment) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert f"{data_dir}/downloads" in out
        assert err == ""
    assert len(cached_files(data_dir)) == 4


def test_interrupt_ends_the_program_and_leaves_no_trace(server, data_dir, run_program):
    server.behave[IMAGES] = "drip"
    process = run_program(
        PROGRAM, *program_arguments(server), TFDS_DATA_DIR=os.fspath(data_dir)
    )
    assert server.has_dripped.wait(60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT
    assert cached_files(data_dir) == []
