"""The notebook runs from a clean kernel, and shows what its run wrote."""

import base64
import io
import json
import pathlib
import re

import nbformat
import pytest
from matplotlib.image import imread
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOK = ROOT / "experiments" / "dbn_mnist" / "colab_tpu.ipynb"
TINY = "--data.source embedded --layers 784 12 6 --epochs 1 --batch-size 500"
TINY += " --sample-steps 3"


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def outputs(cells, name):
    (cell,) = (cell for cell in cells if cell.id == name)
    return cell.outputs


def text(outputs):
    """All that is to read in them, in order."""
    return "".join(
        output.text if output.output_type == "stream" else output.data["text/plain"]
        for output in outputs
    )


@pytest.mark.slow
def test_the_notebook_runs_and_shows_its_run(kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("JBOLTZ_FLAGS", TINY)
    workdir = tmp_path / "runs" / "dbn_mnist"
    where = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(read(), kernel_name=kernel, resources=where, timeout=300)
    cells = client.execute().cells

    assert text(outputs(cells, "install")).startswith("jboltz ")
    assert "CpuDevice" in text(outputs(cells, "devices"))
    assert "layer_2  epoch 1/1  reconstruction error" in text(outputs(cells, "run"))

    pictures = [output.data for output in outputs(cells, "figures")]
    files = sorted((workdir / "figures").glob("*.png"))
    assert files
    for picture, file in zip(pictures, files, strict=True):
        content = base64.b64decode(picture["image/png"])
        assert content == file.read_bytes()
        pixels = imread(io.BytesIO(content), format="png")
        assert pixels[..., :3].std() > 0.02, f"{file.name} shows nothing"

    results = json.loads((workdir / "results.json").read_text())
    assert results["config"]["layers"] == [784, 12, 6]
    expected = []
    for layer, error in zip(
        results["layers"], results["test"]["reconstruction_errors"], strict=True
    ):
        expected += [*layer["losses"], error]
    printed = text(outputs(cells, "numbers"))
    *layers, device, seconds = printed.splitlines()
    numbers = re.findall(r"\d\.\d{4}", "".join(layers))
    assert numbers == [f"{number:.4f}" for number in expected]
    assert device.endswith(f"jax {results['versions']['jax']}")
    found = [float(number) for number in re.findall(r"[\d.]+", seconds)]
    assert found == [results["wall_seconds"], results["compile_seconds"]]


def test_the_notebook_is_kept_without_outputs():
    cells = [cell for cell in read().cells if cell.cell_type == "code"]
    assert cells
    for cell in cells:
        assert cell.outputs == []
        assert cell.execution_count is None
