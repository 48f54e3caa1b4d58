"""What the guide says of adding things: one file, one line of cases, green suites."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "jboltz" / "guide" / "contributing.md"

# kind: (room, the table of its cases, the new line, the name in it, and the suites that
# run on it with how many tests they have for it at least)
ADDED = {
    "unit": (
        "units",
        "UNITS = [",
        "Toy(2),",
        "Toy",
        {
            "units/test_conformance.py": 40,
            "models/test_enumeration.py": 10,
            "samplers/test_stationarity.py": 2,
        },
    ),
    "model": (
        "models",
        "MODELS = {",
        '"toy": Cooled(RBM),',
        "Cooled",
        {"models/test_model_conformance.py": 4},
    ),
    "sampler": (
        "samplers",
        "SAMPLERS = {",
        '"toy": TwoSweeps(RBM),',
        "TwoSweeps",
        {"samplers/test_sampler_conformance.py": 2, "test_types.py": 1},
    ),
    "rule": (
        "learning",
        "ESTIMATORS = {",
        '"toy": Halved(PCD),',
        "Halved",
        {"learning/test_estimator_conformance.py": 3, "test_types.py": 1},
    ),
}


@pytest.mark.parametrize("kind", ADDED)
def test_a_new_thing_is_one_file_and_one_line_of_cases(kind, tmp_path):
    room, table, line, name, suites = ADDED[kind]
    source = (ROOT / "tests" / "toys" / f"{kind}.py").read_text(encoding="utf-8")
    assert len([x for x in source.splitlines() if x.strip()]) <= 70
    for folder in ("jboltz", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "digits")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    (tmp_path / "jboltz" / room / "toy.py").write_text(source, encoding="utf-8")
    cases = tmp_path / "tests" / room / "cases.py"
    assert f"`tests/{room}/cases.py`" in PAGE.read_text(encoding="utf-8")
    text = cases.read_text(encoding="utf-8")
    assert text.count(f"\n{table}") == 1
    text = text.replace(f"\n{table}", f"\n{table}\n    {line}")
    first = text.index("\n\nimport ") + 2
    text = f"{text[:first]}from jboltz.{room}.toy import {name}\n{text[first:]}"
    cases.write_text(text, encoding="utf-8")
    options = "-q -n 0 -p no:cacheprovider -rA -k".split()
    files = ["test_architecture.py", *suites]
    command = [sys.executable, "-m", "pytest", *options, "toy or every"]
    command += ["-m", "slow or not slow", *(f"tests/{file}" for file in files)]
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    passed = re.findall(r"PASSED tests/(\S+?)::\S+\[.*(?:toy|Toy).*\]", run.stdout)
    for suite, least in suites.items():
        assert passed.count(suite) >= least, (suite, passed.count(suite))
