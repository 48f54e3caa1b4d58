"""The guide is true: its code runs, its commands run, and its links lead somewhere."""

import os
import re
import runpy
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import pytest

from tests import pages

each_page = pytest.mark.parametrize("page", pages.GUIDE, ids=pages.name)
# Code that nobody runs: text, what other programs print, and settings.
SHOWN = {"text", "toml", "bibtex", "{entries}", "{toctree}", "{figure}", "{note}"}


@each_page
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    _, left_out = pages.run(page)
    if left_out:
        pytest.skip("; ".join(left_out))


@each_page
def test_every_block_of_code_is_of_a_kind_that_is_checked(page):
    kinds = re.findall(r"^```(\S+)", page.read_text(encoding="utf-8"), re.M)
    assert {*kinds} <= {"python", "bash", *SHOWN}


@pytest.mark.slow
@each_page
def test_the_commands_of_a_page_run(page, tmp_path, monkeypatch):
    """Blocks of `jboltz` alone, in the folder where the page's Python has run."""
    commands = [
        code
        for _, code in pages.blocks(page, "bash")
        if all(line.startswith(("jboltz ", "#")) for line in code.splitlines())
    ]
    if not commands:
        return
    monkeypatch.chdir(tmp_path)
    pages.run(page)
    script = tmp_path / "jboltz"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jboltz "$@"\n')
    script.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    for code in commands:
        subprocess.run(
            ["bash", "-ec", code],
            env={**os.environ, "PATH": path, "PYTHONPATH": str(pages.ROOT)},
            check=True,
        )


@each_page
def test_links_and_pictures_lead_to_files(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    links += re.findall(r"^```\{figure\} (\S+)", text, re.M)
    missing = [
        link
        for link in links
        if "://" not in link and not (page.parent / link).is_file()
    ]
    assert not missing


@each_page
def test_pictures_have_alternative_texts(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"!\[\]", text)
    figures = re.findall(r"^```\{figure\}.*\n((?::.*\n)*)", text, re.M)
    assert all(re.search(r"^:alt: \S+ \S+", options, re.M) for options in figures)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")

    source = pages.ROOT / "jboltz" / "guide"
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-qW", str(source), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "reference" / "models.html").is_file()
    for notebook in pages.TUTORIALS.glob("*.ipynb"):
        assert (tmp_path / "tutorials" / f"{notebook.stem}.html").is_file()


def test_the_guide_takes_the_tutorials_where_there_are_some(tmp_path):
    """An installed package has none."""
    copy = runpy.run_path(str(pages.ROOT / "jboltz" / "guide" / "conf.py"))
    app = SimpleNamespace(srcdir=tmp_path / "jboltz" / "guide")
    copied = app.srcdir / "tutorials"
    copy["copy_tutorials"](app, None)
    assert not copied.exists()

    source = tmp_path / "experiments" / "tutorials"
    source.mkdir(parents=True)
    (source / "1.ipynb").touch()
    (source / "README.md").touch()
    copy["copy_tutorials"](app, None)
    assert [path.name for path in copied.iterdir()] == ["1.ipynb"]

    (source / "1.ipynb").rename(source / "2.ipynb")
    copy["copy_tutorials"](app, None)
    assert [path.name for path in copied.iterdir()] == ["2.ipynb"]


def test_tutorials_open_in_colab_where_their_source_has_an_address():
    link = runpy.run_path(str(pages.ROOT / "jboltz" / "guide" / "conf.py"))[
        "colab_link"
    ]
    links = link.__globals__["_links"]
    links.clear()
    for source, page, address in (
        ("", "tutorials/1", ""),
        ("https://other.org/me/jboltz", "tutorials/1", ""),
        ("https://github.com/me/jboltz", "quickstart", ""),
        (
            "https://github.com/me/jboltz",
            "tutorials/1",
            "https://colab.research.google.com/github/me/jboltz/blob/main/"
            "experiments/tutorials/1.ipynb",
        ),
    ):
        links["Source"], context = source, {"body": "text"}
        link(None, page, None, context, None)
        assert context["body"].endswith("text")
        assert re.findall(r'href="(.*?)"', context["body"]) == [address] * bool(address)
