"""The README is true: its programs run, and its numbers were recorded."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_examples_run(capsys):
    examples = re.findall(r"```python\n(.*?)```", README, re.S)
    assert examples
    namespace = {}
    for example in examples:
        exec(example, namespace)
    assert namespace["history"][1]["reconstruction_error"].size == 16


def test_the_embedding_example_is_short():
    example = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15


def test_pictures_exist():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / picture).is_file(), picture


def test_recorded_losses_are_those_in_the_readme():
    results = json.loads((ROOT / "experiments/dbn_mnist/results.json").read_text())
    for layer in results["layers"]:
        row = " ".join(f"{loss:.4f}"[1:] for loss in layer["losses"])
        assert row in README, row
    for error in results["test"]["reconstruction_errors"]:
        assert f"{error:.4f}" in README
