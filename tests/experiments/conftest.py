"""Fixtures of the tests of programs."""

import functools
import json
import sys

import optax
import pytest

from tests.pages import ROOT


@pytest.fixture(autouse=True, scope="module")
def one_object_an_optimizer():
    """Runs of the same optimizer share what they compile."""
    with pytest.MonkeyPatch.context() as patch:
        for make in ("sgd", "adam", "linear_schedule"):
            patch.setattr(optax, make, functools.cache(getattr(optax, make)))
        yield


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """The name of a kernel of this interpreter, without a user's settings."""
    folder = tmp_path / "jupyter" / "kernels" / "tested"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "tested", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    # The working folder is another, and what is tested is this checkout.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder.name
