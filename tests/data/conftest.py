"""Small stand-ins for MNIST's files, and a server on this machine that sends them."""

import functools
import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jboltz.data
from jboltz.data.mnist import MNIST
from tests.data.publishing import Server, publish_files

FILE_NAMES = tuple(file.name for file in MNIST.files)

BARE_PACKAGE = f"""
import sys, types
package = types.ModuleType("jboltz")
package.__path__ = [{str(Path(jboltz.data.__file__).parents[1])!r}]
sys.modules["jboltz"] = package
"""
"""Begins a program that imports `jboltz.data` without what `jboltz` itself imports."""


def gzipped_idx(array):
    header = bytes([0, 0, 8, array.ndim])
    for length in array.shape:
        header += length.to_bytes(4, "big")
    return gzip.compress(header + array.tobytes(), mtime=0)


@pytest.fixture(scope="session")
def real_mnist_dir():
    """The four files as published; looked for, never downloaded."""
    default = Path(__file__).parents[3] / "shared" / "data" / "mnist"
    folder = Path(os.environ.get("JBOLTZ_MNIST_DIR", default))
    if not all((folder / name).is_file() for name in FILE_NAMES):
        pytest.skip(f"no MNIST files in {folder}; set JBOLTZ_MNIST_DIR to a folder")
    return folder


@pytest.fixture
def small_arrays():
    """30 training and 20 test images in place of 60 000 and 10 000, by file name."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 28, 28)).astype(np.uint8)
    labels = rng.integers(0, 10, 50).astype(np.uint8)
    arrays = (images[:30], labels[:30], images[30:], labels[30:])
    return dict(zip(FILE_NAMES, arrays, strict=True))


@pytest.fixture
def small_files(small_arrays):
    return {name: gzipped_idx(array) for name, array in small_arrays.items()}


@pytest.fixture
def publish(monkeypatch, small_files):
    """Makes the small files those that are published as MNIST, at the address given."""
    at = functools.partial(publish_files, monkeypatch, "mnist", small_files)
    at("http://127.0.0.1:9/mnist/")  # port 9 discards: nothing listens there
    return at


@pytest.fixture
def manual_dir(tmp_path, small_files, publish):
    folder = tmp_path / "manual"
    folder.mkdir()
    for name, content in small_files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def run_program():
    """Starts programs in processes of their own; the environment may be added to."""
    processes = []

    def start(program, *arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", BARE_PACKAGE + program, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def server(small_files, publish):
    server = Server(small_files)
    publish(server.url)
    yield server
    server.close()
