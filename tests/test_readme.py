"""The README is true and short: its programs run, and its links lead to files."""

import re

import jax
import numpy as np

from tests import pages

README = pages.README.read_text(encoding="utf-8")


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace, left_out = pages.run(pages.README)
    assert not left_out
    assert namespace["history"][1]["reconstruction_error"].size == 16
    for leaf in jax.tree.leaves(namespace["gradient"]):
        assert np.isfinite(leaf).all()
        assert np.any(leaf)
    assert (tmp_path / "rbm.safetensors").is_file()


def test_it_is_short():
    assert len(README.splitlines()) <= 150
    for _, example in pages.blocks(pages.README, "python"):
        assert len([line for line in example.splitlines() if line.strip()]) <= 15


def test_links_and_pictures_lead_to_files():
    links = re.findall(r"\]\(([^)]+)\)", README)
    missing = [
        link
        for link in links
        if "://" not in link and not (pages.ROOT / link).is_file()
    ]
    assert not missing


def test_pictures_have_alternative_texts():
    assert not re.findall(r"!\[\]", README)
