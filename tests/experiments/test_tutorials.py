"""The tutorials run, are stored with their outputs, and install jboltz alike."""

import contextlib
import importlib.util
import io
import re
import subprocess
import tomllib
from importlib import metadata
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient

from tests.pages import ROOT, TUTORIALS

FILES = sorted(TUTORIALS.glob("*.ipynb"))
MAIN_JOB = ROOT / "experiments" / "dbn_mnist" / "colab_tpu.ipynb"
each_tutorial = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def cells(file, kind="code"):
    notebook = nbformat.read(file, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


FIRST_CELL = cells(MAIN_JOB)[0].source


@pytest.mark.slow
@each_tutorial
def test_a_tutorial_runs_at_its_small_size(file, kernel, tmp_path):
    notebook = nbformat.read(file, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, kernel_name=kernel, resources=where, timeout=600)
    client.execute()


@each_tutorial
def test_a_tutorial_is_stored_as_it_ran(file):
    assert file.stat().st_size <= 300_000
    counts = [cell.execution_count for cell in cells(file)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in cells(file) for output in cell.outputs]
    for output in outputs:
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
    assert any("image/png" in output.get("data", {}) for output in outputs)


@each_tutorial
def test_a_tutorial_has_a_small_size_and_exercises(file):
    assert any("\nQUICK = True\n" in cell.source for cell in cells(file))
    title, *_, last = cells(file, "markdown")
    assert title.source.startswith("# ")
    assert re.search(r"^## Exercises\n\n1\. ", last.source, re.MULTILINE)


@each_tutorial
def test_a_tutorial_is_in_the_list(file):
    page = (TUTORIALS / "README.md").read_text(encoding="utf-8")
    assert f"]({file.name})" in page


# The first cell.


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_first_cell_is_the_same_in_every_notebook(file):
    assert cells(file)[0].source == FIRST_CELL


def test_the_first_cell_knows_the_oldest_jax():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (oldest,) = re.findall(r'^OLDEST_JAX = "(.*)"$', FIRST_CELL, re.MULTILINE)
    assert f"jax>={oldest}" in project["project"]["dependencies"]


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A runtime without jboltz whose pip only notes what it is asked for."""
    versions = {"jax": "0.8.0", "jaxlib": "0.8.0"}
    asked = []

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    def run(command, *, check):
        assert check
        asked.append(command)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", run)
    return SimpleNamespace(folder=tmp_path, versions=versions, asked=asked)


def run_first_cell(cell=FIRST_CELL):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(cell, {})
    return printed.getvalue()


def make_checkout(folder):
    (folder / "jboltz").mkdir(parents=True)
    (folder / "jboltz" / "base.py").touch()


@pytest.mark.parametrize("name", ["jboltz.zip", "jboltz-0.1.0.tar.gz", "jboltz-1.whl"])
def test_the_first_cell_installs_an_uploaded_archive(name, runtime):
    (runtime.folder / name).touch()
    run_first_cell()
    (command,) = runtime.asked
    wanted, *pins = command[-3:]
    assert wanted == f"jboltz[experiments] @ {(runtime.folder / name).as_uri()}"
    assert pins == ["jax==0.8.0", "jaxlib==0.8.0"]


def test_the_first_cell_installs_a_mounted_folder(runtime):
    make_checkout(runtime.folder / "jboltz")
    run_first_cell()
    assert (runtime.folder / "jboltz").as_uri() in runtime.asked[0][-3]


def test_the_first_cell_installs_from_an_address_first(runtime):
    (runtime.folder / "jboltz.zip").touch()
    cell = FIRST_CELL.replace('URL = ""', 'URL = "git+https://host/jboltz"')
    run_first_cell(cell)
    assert runtime.asked[0][-3] == "jboltz[experiments] @ git+https://host/jboltz"


def test_the_first_cell_leaves_an_installed_jboltz(runtime, monkeypatch):
    spec = SimpleNamespace(origin="/somewhere/jboltz/__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    runtime.versions["jboltz"] = "0.1.0"
    assert run_first_cell() == "jboltz 0.1.0, JAX 0.8.0\n"
    assert not runtime.asked


def test_a_folder_of_the_name_is_no_package(runtime, monkeypatch):
    """Python finds a namespace package in the folder of a checkout."""
    make_checkout(runtime.folder / "jboltz")
    spec = SimpleNamespace(origin=None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    run_first_cell()
    assert runtime.asked


def test_without_a_source_the_first_cell_says_what_to_do(runtime):
    (runtime.folder / "jboltz-notes").mkdir()
    with pytest.raises(RuntimeError, match=r"set `URL` above .* upload .* or mount"):
        run_first_cell()


@pytest.mark.parametrize("version", ["0.7.1", "0.6.2", "0.4.35.dev1"])
def test_the_first_cell_names_a_jax_that_is_too_old(version, runtime):
    runtime.versions["jax"] = version
    with pytest.raises(RuntimeError, match=f"JAX {version} is installed but jboltz"):
        run_first_cell()
    assert not runtime.asked


def test_the_first_cell_says_that_jax_was_replaced(runtime, monkeypatch):
    (runtime.folder / "jboltz.zip").touch()

    def run(command, *, check):
        runtime.versions["jaxlib"] = "0.9.0"

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(RuntimeError, match="delete the runtime"):
        run_first_cell()


def test_the_first_cell_runs_where_jax_is_missing(runtime):
    runtime.versions.clear()
    (runtime.folder / "jboltz.zip").touch()
    run_first_cell()
    assert runtime.asked[0][-1].startswith("jboltz[experiments]")
