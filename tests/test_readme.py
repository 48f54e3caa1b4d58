"""The README is true: its programs run and its pictures exist."""

import pathlib
import re

import jax
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_examples_run(capsys):
    examples = re.findall(r"```python\n(.*?)```", README, re.S)
    assert examples
    namespace = {}
    for example in examples:
        # As written but for the length of the ladder, which takes most of the time.
        exec(example.replace("ladder(0.1)", "ladder(0.01)"), namespace)
    assert namespace["history"][1]["reconstruction_error"].size == 16
    held = namespace["completed"][:, 0, :392]
    np.testing.assert_array_equal(held, namespace["data"][:8, :392])
    for leaf in jax.tree.leaves(namespace["gradient"]):
        assert np.isfinite(leaf).all()
        assert np.any(leaf)


def test_the_embedding_example_is_short():
    example = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15


def test_pictures_exist():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / picture).is_file(), picture
