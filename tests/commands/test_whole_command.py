"""The command as users give it: a table, one line, a page; stopped and given again."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import jboltz

pytestmark = pytest.mark.slow

# The processes run in other folders.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(pathlib.Path(jboltz.__file__).parents[1])}
HEAVY = {"jax", "flax", "optax", "orbax", "matplotlib", "pandas"}


def jboltz_(*arguments, **options):
    command = [sys.executable, "-m", "jboltz", *map(str, arguments)]
    options |= {"capture_output": True, "text": True, "env": ENVIRONMENT}
    return subprocess.run(command, **options)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["--version"], ["train", "--help"], ["train", "--epohcs"]]
    + [[name, "--help"] for name in ("sample", "score", "encode", "report", "data")],
    ids=" ".join,
)
def test_a_command_line_is_answered_without_jax(arguments):
    code = (
        "import sys\nfrom jboltz import commands\n"
        "sys.argv = ['jboltz', *sys.argv[1:]]\n"
        "try: commands.main()\n"
        "except SystemExit: pass\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    start = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.perf_counter() - start < 5  # a second on a quiet machine
    assert HEAVY.isdisjoint(run.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("tyro", ["train", "x.csv"], "jboltz[experiments,readers]"),
        ("jinja2", ["report", "."], "jboltz[experiments,readers]"),
        ("pandas", ["data", "x.csv"], "jboltz[readers]"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(tmp_path, package, arguments, extra):
    (tmp_path / "x.csv").write_text("a\n1\n")
    code = (
        "import sys\nsys.modules[sys.argv[1]] = None\nfrom jboltz import commands\n"
        "commands.main(sys.argv[2:])"
    )
    command = [sys.executable, "-c", code, package, *arguments]
    options = {"cwd": tmp_path, "env": ENVIRONMENT, "text": True}
    run = subprocess.run(command, capture_output=True, **options)
    assert run.returncode == 2
    assert f"needs {package}" in run.stderr
    assert f"pip install '{extra}'" in run.stderr
    assert run.stderr.count("\n") == 1


def survey(rows):
    """30 columns of several kinds, which two hidden causes move together."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    cause, other = rng.normal(size=(2, rows, 1))
    signs = rng.choice([-1, 1], (2, 10))
    moved = signs[0] * cause + signs[1] * other + rng.normal(size=(rows, 10))
    columns = {f"income_{i}": 30 + 10 * x for i, x in enumerate(moved.T)}
    moved = signs[1] * cause + rng.normal(size=(rows, 10))
    columns |= {f"owns_{i}": (x > 0.3).astype(int) for i, x in enumerate(moved.T)}
    moved = signs[0, :5] * other + rng.normal(size=(rows, 5))
    columns |= {f"visits_{i}": (2 * x).clip(0, 9) // 1 for i, x in enumerate(moved.T)}
    towns = np.array(["Lima", "Oslo", "Rome"])
    moved = signs[1, :5] * cause + rng.normal(size=(rows, 5))
    places = np.digitize(moved, [-0.7, 0.7]).T
    columns |= {f"town_{i}": towns[x] for i, x in enumerate(places)}
    return pandas.DataFrame(columns)


def test_a_table_becomes_a_model_a_likelihood_and_a_page(tmp_path):
    frame = survey(10_000)
    frame.insert(0, "name", [f"person {i}" for i in range(len(frame))])
    frame.to_csv(tmp_path / "survey.csv", index=False)
    before = os.times()
    run = jboltz_("train", "survey.csv", "--without", "name", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    after = os.times()
    # A minute of two cores, however busy they are; 47 with nothing compiled before.
    assert after.children_user - before.children_user < 120
    folder = tmp_path / "runs" / "survey"
    held_out = json.loads((folder / "results.json").read_text())["held_out"]
    found = held_out["log_likelihood"]
    assert found["lower"] <= found["mean"] <= found["upper"]
    # The columns alone, without the two causes, have −63.
    assert found["mean"] > -58
    assert "held_out" in (folder / "report.html").read_text()

    new = jboltz_("sample", folder, "-n", 50, "--out", "new.csv", cwd=tmp_path)
    assert new.returncode == 0, new.stderr
    head, *rows = (tmp_path / "new.csv").read_text().splitlines()
    assert head.split(",") == [x for x in frame.columns if x != "name"]
    assert len(rows) == 50
    scored = jboltz_("score", folder, "survey.csv", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    frame.rename(columns={"town_0": "city"}).to_csv(tmp_path / "x.csv", index=False)
    refused = jboltz_("score", folder, "x.csv", cwd=tmp_path)
    assert refused.returncode == 2
    assert "'city'" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.random((2000, 20)) < 0.3)
    flags = ("--hidden", 10, "--epochs", 30)
    whole = jboltz_("train", "x.npy", "--out", "whole", *flags, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", "jboltz", "train", "x.npy", "--out", "cut"]
    command += map(str, flags)
    options = {"cwd": tmp_path, "text": True, "env": ENVIRONMENT}
    stopped = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
    assert any("epoch 3/" in line for line in stopped.stdout)
    os.kill(stopped.pid, signal.SIGINT)
    rest, _ = stopped.communicate()
    assert stopped.returncode == 130
    assert "The same command goes on" in rest
    again = jboltz_("train", "x.npy", "--out", "cut", *flags, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "goes on after epoch" in again.stdout
    first, second = (
        jboltz.load(tmp_path / name / "model.safetensors") for name in ("whole", "cut")
    )
    assert first[0] == second[0]
    for x, y in zip(*(jax.tree.leaves(p) for _, p in (first, second)), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
