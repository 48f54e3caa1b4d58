"""A page of any run: whole, unfinished or damaged; no other file, no network."""

import base64
import html.parser
import io
import json
import os
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image

from jboltz import commands, plotting
from jboltz.runs.page import _curve
from jboltz.runs.workdir import Workdir

VOID = {"meta", "img"}
RUN = {"program": "rbm_mnist", "config": {"seed": 3}, "data": {"name": "mnist"}}
RESULTS = {
    **RUN,
    "log_partition": {"AIS": {"value": 878.25, "lower": 877.5, "upper": 879.0}},
    "log_likelihood": {"AIS": {"mean": -84.5, "standard_error": 0.25}},
    "verdict": "Out of <equilibrium> & slow",
    "share": 0.125,
    "device": {"platform": "cpu"},
    "versions": {"jax": "0.10"},
    "commit": "abc1234",
    "wall_seconds": 12.5,
}


class Reader(html.parser.HTMLParser):
    """The page's elements, its links and its text; refuses what is not nested."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def png():
    """One black pixel."""

    def chunk(name, body):
        check = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


@pytest.fixture
def workdir(tmp_path):
    """A finished run."""
    with Workdir(tmp_path / "a <run>", RUN) as workdir:
        workdir.write_config("seed = 3\n")
        workdir.write_metrics(
            "train",
            [
                {"epoch": 1, "loss": 0.5, "seconds": 1.0},
                {"epoch": 2, "loss": 0.25, "seconds": 1.0},
                {"epoch": 3, "loss": float("nan"), "seconds": 1.0},
            ],
        )
        (workdir.path / "figures").mkdir()
        (workdir.path / "figures" / "first_filters.png").write_bytes(png())
        (workdir.path / "checkpoints" / "train" / "2").mkdir(parents=True)
        workdir.write_results(RESULTS)
    return workdir.path


def page_of(workdir, capsys):
    """The page, read, and what the terminal said."""
    commands.main(["report", str(workdir)])
    page = (workdir / "report.html").read_text(encoding="utf-8")
    return Reader(page), capsys.readouterr().out


def refused(workdir, capsys):
    with pytest.raises(SystemExit) as stop:
        commands.main(["report", str(workdir)])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_a_page_shows_all_of_a_run_and_needs_nothing_else(workdir, capsys):
    page, said = page_of(workdir, capsys)
    for words in (
        "rbm_mnist: a <run>",
        "log_partition · AIS 878.25 877.5 to 879",
        "log_likelihood · AIS -84.5 standard error 0.25",
        "share 0.125",
        "Out of <equilibrium> & slow",
        "device · platform cpu",
        "versions · jax 0.10",
        "commit abc1234",
        "wall_seconds 12.5",
        "seed 3",
        "name mnist",
        "train 2",
        "first filters",
        "0.5 in epoch 1, 0.25 in epoch 2; 1 not finite",
    ):
        assert words in page.text, words
    assert "running" not in page.text
    assert "The page is" in said

    assert page.of("html") == [{"lang": "en"}]
    (image,) = page.of("img")
    head, _, content = image["src"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content) == png()
    assert all(image["alt"] for image in page.of("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.of("svg"))
    assert not page.of("script") + page.of("link") + page.of("iframe")
    text = (workdir / "report.html").read_text(encoding="utf-8")
    assert not any(word in text for word in ("http:", "https:", "url(", "@import"))
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1


def test_results_with_intervals_come_first_and_tables_are_folded(workdir, capsys):
    page, _ = page_of(workdir, capsys)
    results, everything = page.text.split("Everything else")
    for words in ("log_partition · AIS 878.25", "log_likelihood · AIS -84.5"):
        assert words in results
    for words in ("share 0.125", "seed 3", "commit abc1234"):
        assert words not in results
        assert words in everything
    assert len(page.of("details")) == len(page.of("summary")) == 5
    assert results.index("Results") < results.index("Curves") < results.index("Figures")


def test_numbers_without_intervals_stand_first_where_none_has_one(tmp_path, capsys):
    (tmp_path / "results.json").write_text(json.dumps({**RUN, "mean": 0.5, "n": [1]}))
    page, _ = page_of(tmp_path, capsys)
    assert "mean 0.5" in page.text.split("Everything else")[0]


@pytest.mark.parametrize(("value", "height"), [(0.0, 128), (2.0, 8), (-2.0, 128)])
def test_a_constant_curve_is_drawn_where_it_is(value, height):
    found = _curve("loss", [1.0, 2.0], [value, value])
    assert [point.split(",")[1] for point in found["line"]] == [f"{height:.2f}"] * 2
    assert float(found["low"]) <= value <= float(found["high"])


def test_a_page_describes_its_figures_and_is_light(workdir, capsys):
    noise = np.random.default_rng(0).random((1000, 784))
    figures = {
        name: plotting.colour_tiles({"layer 1": noise[:100]}, (28, 28), title=name)
        for name in ("samples of digits", *"abcdefgh")
    }
    for name, figure in figures.items():
        file = workdir / "figures" / f"{name.replace(' ', '_')}.png"
        file.write_bytes(plotting.encode(figure)["png"])
    sizes = [x.stat().st_size for x in workdir.glob("figures/*.png")]
    assert sum(sizes) > 1_500_000
    page, _ = page_of(workdir, capsys)
    assert (workdir / "report.html").stat().st_size < 1_500_000
    first, *others = page.of("img")
    (last,) = (x for x in others if x["alt"].startswith("Figure of rbm_mnist"))
    assert first["alt"] == "samples of digits. layer 1"
    assert last["alt"].endswith("first filters")  # This one says nothing itself.
    for image in (first, last):
        content = base64.b64decode(image["src"].partition(",")[2])
        Image.open(io.BytesIO(content)).verify()


def test_results_alone_are_shown(tmp_path, capsys):
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    page, said = page_of(tmp_path, capsys)
    assert "share 0.125" in page.text
    assert "no figures" in page.text
    assert "no figures" in said


def test_a_run_that_is_still_running_shows_what_there_is(workdir, capsys):
    (workdir / "results.json").unlink()
    with Workdir(workdir, RUN):
        page, said = page_of(workdir, capsys)
    assert "still running" in page.text
    assert "still running" in said
    assert "train: what training follows" in page.text
    assert "seed 3" in page.text
    page, said = page_of(workdir, capsys)
    assert "not finished and no process" in page.text
    assert "not finished and no process" in said


def test_what_is_damaged_is_named_and_the_rest_is_shown(workdir, capsys):
    (workdir / "results.json").write_text('{"program": ')
    metrics = workdir / "metrics.jsonl"
    # Still JSON, of another loss.
    metrics.write_text(metrics.read_text().replace("0.25", "0.75"))
    (workdir / "checkpoints" / "train" / "2" / "checksums.json").write_text("{}")
    page, said = page_of(workdir, capsys)
    for words in (
        "results.json changed since it was written",
        "results of this run cannot be read",
        "metrics.jsonl changed since it was written",
        "checkpoints/train/2/checksums.json is missing or cannot be read",
    ):
        assert words in page.text
        assert words in said
    assert "train: what training follows" not in page.text
    assert len(page.of("img")) == 1


def test_a_folder_without_checksums_is_shown_line_by_line(workdir, capsys):
    (workdir / "checksums.json").unlink()
    (workdir / "results.json").write_text('{"program": ')
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"stage"\n')
    page, said = page_of(workdir, capsys)
    for words in (
        "checksums.json is missing or cannot be read",
        "results.json is damaged",
        "Line 4 of metrics.jsonl is damaged",
    ):
        assert words in page.text
        assert words in said
    assert "train: what training follows" in page.text


def test_a_folder_or_a_pipe_in_place_of_the_page(workdir, capsys):
    os.mkfifo(workdir / "report.html")
    commands.main(["report", str(workdir)])
    assert (workdir / "report.html").is_file()
    (workdir / "report.html").unlink()
    (workdir / "report.html").mkdir()
    with pytest.raises(SystemExit):
        commands.main(["report", str(workdir)])
    assert "report.html is a folder but should be a file" in capsys.readouterr().err


def test_a_folder_that_shows_no_run_is_refused(tmp_path, capsys):
    assert "is no folder" in refused(tmp_path / "none", capsys)
    assert "holds no run.json" in refused(tmp_path, capsys)
    (tmp_path / "results.json").write_text("[]")
    assert "results.json is damaged" in refused(tmp_path, capsys)
    assert not (tmp_path / "report.html").exists()


def test_a_browser_lays_the_page_out(workdir, capsys, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs chromium on the PATH; the other tests parse the page")
    commands.main(["report", str(workdir)])
    flags = "--headless --no-sandbox --disable-gpu --virtual-time-budget=1000"
    out = subprocess.run(
        [
            browser,
            *flags.split(),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            (workdir / "report.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    laid_out = Reader(out.stdout.strip())
    page = Reader((workdir / "report.html").read_text(encoding="utf-8"))
    # A browser repairs what is wrong: here it had nothing to repair.
    assert laid_out.text == page.text
    assert [tag for tag, _ in laid_out.elements] == [tag for tag, _ in page.elements]
