"""What `main` makes of errors; what a program of one's own is called."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from jboltz.errors import Diverged, InvalidType, InvalidValue, MissingPackage
from jboltz.learning.step import TrainState
from jboltz.runs import sources
from jboltz.runs.program import main
from tests.runs import toy


def failing(error):
    def run(*_):
        raise error

    return toy.make(run=run)


@pytest.mark.parametrize("kind", [InvalidValue, InvalidType, MissingPackage, Diverged])
def test_what_is_raised_on_purpose_is_one_line(kind, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(failing(kind("`size` is 1")), ["--workdir", str(tmp_path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: `size` is 1\n"


STATE = TrainState(step=0, params=(), opt_state=(), estimator_state=())


@pytest.mark.parametrize(
    ("name", "returned", "words"),
    [
        (
            "load",
            np.zeros((4, 4)),
            "`load` returned ndarray but a `jboltz.data.Dataset`",
        ),
        ("run", {"score": 1}, r"`run` returned dict but \(parameters, numbers\)"),
        ("run", (STATE, {"score": 1}), "`run` returned TrainState but .*state.params"),
        ("run", (None, {"score": np.float32(1)}), "`numbers` cannot be .* float32"),
        ("run", (None, 1), "`numbers` cannot be written as JSON"),
        ("run", (None, {"seconds": 1, "commit": 2}), "`numbers` has commit, but"),
        ("draw_figures", None, "`draw_figures` returned NoneType but a dictionary"),
        (
            "draw_figures",
            {"a": np.ones(3)},
            r"`draw_figures\['a'\]` returned ndarray but a matplotlib figure",
        ),
        ("draw_figures", {1: Figure()}, r"`draw_figures\[1\]` returned Figure"),
    ],
)
def test_what_a_function_should_not_return_is_named(
    name, returned, words, tmp_path, capsys
):
    assert toy.main(tmp_path, **{name: lambda *_: returned}) == 2
    assert re.search(words, capsys.readouterr().err)


def test_a_number_that_is_not_finite_is_told_and_kept(tmp_path, capsys):
    """R-hat of frozen chains is one, and no reason to lose a run."""
    functions = {"run": lambda *_: (None, {"epochs": [], "mean": float("nan")})}
    assert toy.main(tmp_path, **functions) == 0
    assert "warning: `numbers` has NaN or an infinity" in capsys.readouterr().out
    assert toy.main(tmp_path, **functions) == 0
    assert "the mean is nan" in capsys.readouterr().out


def test_a_program_without_a_load_needs_a_source(tmp_path, capsys):
    assert toy.main(tmp_path, load=sources.load) == 2
    assert re.search("`config` is .*without data, but", capsys.readouterr().err)


@pytest.mark.parametrize(
    "kind", [ValueError, TypeError, ImportError, FloatingPointError, KeyError]
)
def test_a_bug_keeps_its_traceback(kind, tmp_path):
    with pytest.raises(kind, match="a bug"):
        main(failing(kind("a bug")), ["--workdir", str(tmp_path)])


def test_called_from_python_an_interrupt_is_left_to_the_caller(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        main(failing(KeyboardInterrupt()), ["--workdir", str(tmp_path)])


@pytest.mark.parametrize("name", ["bytes \udcff", "two\nlines", "\x7f"])
def test_a_folder_that_cannot_be_printed_is_refused(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(toy.make(), ["--workdir", str(tmp_path / name)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not list(tmp_path.iterdir())


OWN = """
from jboltz.runs.program import main
from tests.runs.toy import make
if __name__ == "__main__":
    main(make())
"""


@pytest.mark.slow
def test_a_program_of_ones_own_says_its_own_command(tmp_path):
    script = tmp_path / "my_program.py"
    script.write_text(OWN)

    def start(*flags, **options):
        command = [sys.executable, str(script), *flags]
        paths = os.pathsep.join(sys.path)
        environment = os.environ | {"PYTHONPATH": paths} | options
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path
        )

    python = pathlib.Path(sys.executable).name
    assert f"usage: {python} {script}" in start("--help").stdout
    workdir = os.fsdecode(b"r\xc3\xbcn \xe2\x80\x93")
    found = start("--workdir", workdir, PYTHONIOENCODING="ascii")
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    assert "the mean is" in found.stdout
    assert "r\\xfcn \\u2013" in found.stdout
    assert (tmp_path / workdir / "results.json").exists()
