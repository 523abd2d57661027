"""What tests of data sets share."""

import functools
import http.server
import threading

import pytest

from ltbench.data.prepare import prepare as preparation
from ltbench.data.registry import SOURCES
from ltbench.plugins import Extension


@pytest.fixture
def use(monkeypatch):
    """Put tiny sources in the registry's place."""

    def put(source):
        monkeypatch.setitem(SOURCES.extensions(), source.name, Extension(source.name, source, "tests"))
        return source

    return put


@pytest.fixture
def served(tmp_path):
    """A folder and the address of a web server that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Several chunks for a folder of a few images: else its boundaries are in no test."""
    monkeypatch.setattr(preparation, "CHUNK", 4)
