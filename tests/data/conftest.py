"""Small stand-ins for MNIST's files, and a server on this machine that sends them."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import jboltz.data
from jboltz.data.mnist import MNIST

FILE_NAMES = MNIST.file_names

PATIENCE = 10
"""Seconds that a silent server holds a client that has no limit of its own, so that
the test fails instead of hanging."""

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


def publish_files(monkeypatch, name, files, url):
    """Makes TFDS believe that a data set is `files`, at the address given."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import checksums

    monkeypatch.setenv("NO_PROXY", "*")
    infos = {
        url + file_name: checksums.UrlInfo(
            size=len(content),
            checksum=hashlib.sha256(content).hexdigest(),
            filename=file_name,
        )
        for file_name, content in files.items()
    }
    monkeypatch.setattr(tfds.builder_cls(name), "url_infos", infos)
    for key, info in infos.items():
        monkeypatch.setitem(checksums.get_all_url_infos(), key, info)


@pytest.fixture
def publish(monkeypatch, small_files):
    """Makes TFDS believe that the small files are MNIST, at the address given."""
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


class Server:
    """Sends `files` over HTTP on this machine; `behave` says how, file by file."""

    def __init__(self, files):
        self.files = dict(files)
        self.behave = {}  # name -> "missing", "busy", "stall", "drip", "half"
        self.is_mute = False
        self.requests = []
        self.released = threading.Event()
        self.has_request = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, format, *args):
                pass

            def do_HEAD(self):
                if server.is_mute:
                    server.released.wait(PATIENCE)
                self.send_response(200)
                self.end_headers()

            def do_GET(self):
                name = self.path.rsplit("/", 1)[-1]
                server.requests.append(name)
                server.has_request.set()
                how = server.behave.get(name)
                if how in ("missing", "busy"):
                    self.send_error(404 if how == "missing" else 503)
                    return
                content = server.files[name]
                num_bytes = 10**9 if how == "drip" else len(content)
                self.send_response(200)
                self.send_header("Content-Length", str(num_bytes))
                self.end_headers()
                if how is None:
                    self.wfile.write(content)
                    return
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                if how == "stall":
                    server.released.wait(PATIENCE)
                if how == "drip":
                    self.drip()

            def drip(self):
                with contextlib.suppress(OSError):  # the other side hangs up
                    while not server.released.wait(0.01):
                        self.wfile.write(bytes(10_000))

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = False  # closing waits for them: no leaked sockets
        self.url = f"http://127.0.0.1:{self.http.server_port}/files/"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.released.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(small_files, publish):
    server = Server(small_files)
    publish(server.url)
    yield server
    server.close()
