"""A program answers --help and a wrong flag before it imports what takes a second."""

import subprocess
import sys

import pytest

from tests.test_architecture import programs

HEAVY = {"jax", "flax", "optax", "orbax", "matplotlib", "tensorflow"}

CODE = """
import runpy, sys
program, flag = sys.argv[1:]
sys.argv = ["-m", flag]
try:
    name = f"jboltz.experiments.{program}"
    runpy.run_module(name, run_name="__main__", alter_sys=True)
except SystemExit as stop:
    print(stop.code, *{name.split(".")[0] for name in sys.modules})
"""


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--help", "--epohcs"])
@pytest.mark.parametrize("program", programs())
def test_a_command_line_is_answered_without_jax(program, flag):
    command = [sys.executable, "-c", CODE, program, flag]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    status, *modules = run.stdout.splitlines()[-1].split()
    assert status == ("0" if flag == "--help" else "2"), run.stderr
    assert HEAVY.isdisjoint(modules)
    assert "tyro" in modules
