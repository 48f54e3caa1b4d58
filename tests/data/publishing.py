"""Stand-ins for published files, and a server that sends them."""

import contextlib
import dataclasses
import hashlib
import http.server
import importlib
import threading

from jboltz.data.published import PublishedFile

PATIENCE = 10
"""Seconds that a silent server holds a client that has no limit of its own, so that
the test fails instead of hanging."""


def publish_files(monkeypatch, name, files, url):
    """Makes `files` those that are published as a data set, at the address given."""
    monkeypatch.setenv("NO_PROXY", "*")
    module = importlib.import_module(f"jboltz.data.{name}")
    published = tuple(
        PublishedFile(
            url + file_name, len(content), hashlib.sha256(content).hexdigest(), "small"
        )
        for file_name, content in files.items()
    )
    dataset = dataclasses.replace(getattr(module, name.upper()), files=published)
    monkeypatch.setattr(module, name.upper(), dataset)
    return dataset


class Server:
    """Sends `files` over HTTP on this machine; `behave` says how, file by file."""

    def __init__(self, files):
        self.files = dict(files)
        self.behave = {}  # name -> "missing", "busy", "stall", "drip", "half"
        self.is_mute = False
        self.requests = []
        self.released = threading.Event()
        self.has_dripped = threading.Event()
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
                num_drops = 0
                with contextlib.suppress(OSError):  # the other side hangs up
                    while not server.released.wait(0.01):
                        self.wfile.write(bytes(10_000))
                        num_drops += 1
                        # Not before: an interrupt while Python still starts the
                        # client's thread makes it wait for that thread for ever.
                        if num_drops == 20:
                            server.has_dripped.set()

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
