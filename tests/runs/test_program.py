"""What `main` makes of errors; what a program of one's own is called."""

import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from jboltz.data import from_arrays
from jboltz.errors import Diverged, InvalidType, InvalidValue, MissingPackage
from jboltz.learning.step import TrainState
from jboltz.runs import sources
from jboltz.runs.config import RunConfig
from jboltz.runs.program import Program, main

IMAGES = np.zeros((4, 4), np.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """A program for tests."""

    size: int = 1
    """A number."""


def toy(**functions):
    own = {
        "load": lambda config: from_arrays(IMAGES, IMAGES, image_shape=(2, 2)),
        "run": lambda *_: (None, {"score": 1}),
        "report": lambda results: print("score", results["score"]),
    }
    return Program(name="toy", config=Config, **own | functions)


def failing(error):
    def run(*_):
        raise error

    return toy(run=run)


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
        ("load", IMAGES, "`load` returned ndarray but a `jboltz.data.Dataset`"),
        ("run", {"score": 1}, r"`run` returned dict but \(parameters, numbers\)"),
        ("run", (STATE, {"score": 1}), "`run` returned TrainState but .*state.params"),
        ("run", (None, {"score": np.float32(1)}), "`numbers` cannot be .* float32"),
        ("run", (None, 1), "`numbers` cannot be written as JSON"),
        ("draw_figures", None, "`draw_figures` returned NoneType but a dictionary"),
    ],
)
def test_what_a_function_should_not_return_is_named(
    name, returned, words, tmp_path, capsys
):
    with pytest.raises(SystemExit):
        main(toy(**{name: lambda *_: returned}), ["--workdir", str(tmp_path)])
    assert re.search(words, capsys.readouterr().err)


def test_a_program_without_a_load_needs_a_source(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(toy(load=sources.load), ["--workdir", str(tmp_path)])
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
        main(toy(), ["--workdir", str(tmp_path / name)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not list(tmp_path.iterdir())


OWN = """
from tests.runs.test_program import main, toy
if __name__ == "__main__":
    main(toy())
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

    assert f"usage: {sys.executable} {script}" in start("--help").stdout
    workdir = os.fsdecode(b"r\xc3\xbcn \xe2\x80\x93")
    found = start("--workdir", workdir, PYTHONIOENCODING="ascii")
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    assert "score 1" in found.stdout
    assert "r\\xfcn \\u2013" in found.stdout
    assert (tmp_path / workdir / "results.json").exists()
