"""A signal at any moment stops a program, which loses nothing by it."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.runs.kills import numbers

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
each_signal = pytest.mark.parametrize("number", ENDING, ids=lambda x: x.name)

OWNED = "import time; from jboltz.runs import terminal; terminal.take_over(); "
TRAINING = ["-m", "jboltz.experiments.dbn_mnist", "--data.source", "embedded"]
TRAINING += ["--layers", "784", "30", "20", "--epochs", "2", "--sample-steps", "20"]


def begin(*arguments, stdout=subprocess.PIPE, **options):
    command = [sys.executable, *arguments]
    # Every start compiles, so that all take as long as the first and signals meet that.
    options.setdefault("env", os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "0"})
    return subprocess.Popen(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.mark.slow
@each_signal
def test_a_signal_ends_it_with_its_status_and_the_command(number):
    with begin("-c", f"{OWNED} print('ready'); time.sleep(60)", "--seed 3") as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert out.startswith("Stopped. The same command goes on: ")
    assert out.endswith(" '--seed 3'\n")
    assert err == ""


@pytest.mark.slow
@each_signal
def test_a_signal_that_is_ignored_stays_ignored(number):
    code = f"{OWNED} print('ready'); time.sleep(1); print('done')"
    before = f"import signal; signal.signal({int(number)}, signal.SIG_IGN); "
    with begin("-c", before + code) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.communicate(timeout=10)[0] == "done\n"
    assert process.returncode == 0


@pytest.mark.slow
def test_output_that_nobody_reads_does_not_keep_it():
    code = f"{OWNED} print('ready')\nwhile True: print('x' * 1000)"
    with begin("-c", code) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(1)
        process.terminate()
        assert process.wait(timeout=10) == 128 + signal.SIGTERM
        process.stdout.close()


@pytest.mark.slow
def test_a_forked_child_that_is_stopped_leaves_it_alone():
    code = f"{OWNED} import os, signal; child = os.fork()\n" + (
        "if not child: time.sleep(60)\n"
        "time.sleep(.2); os.kill(child, signal.SIGTERM); _, status = os.wait()\n"
        "time.sleep(.5); print(os.waitstatus_to_exitcode(status))"
    )
    with begin("-c", code) as process:
        assert process.communicate(timeout=10)[0] == f"{-signal.SIGTERM}\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(5, marks=pytest.mark.slow),
        pytest.param(50, marks=pytest.mark.by_hand),
    ],
    ids=str,
)
def test_signals_at_random_moments(count, tmp_path):
    draw = random.Random(0)
    whole = tmp_path / "whole"
    started = time.monotonic()
    with begin(*TRAINING, "--workdir", str(whole)) as process:
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    longest, expected = time.monotonic() - started, numbers(whole)
    seen, folder = [], 0
    for index, number in zip(range(count), itertools.cycle(ENDING), strict=False):
        workdir = tmp_path / f"run_{folder}"
        delay = draw.uniform(0.3, longest)  # Before that Python itself starts.
        with begin(*TRAINING, "--workdir", str(workdir)) as process:
            time.sleep(delay)
            process.send_signal(number)
            out, err = process.communicate(timeout=600)
        status = process.returncode
        seen.append((number.name, round(delay, 2), status))
        print(*seen[-1], file=sys.__stderr__, flush=True)
        assert "Traceback" not in err, err
        if status != 0:
            assert status == 128 + number, (seen, out, err)
            assert out.splitlines()[-1].startswith("Stopped. The same command")
            if index % 5 < 4:
                continue
            with begin(*TRAINING, "--workdir", str(workdir)) as process:
                out, err = process.communicate(timeout=600)
            assert process.returncode == 0, err
        assert numbers(workdir) == expected
        folder += 1
    assert sum(status != 0 for _, _, status in seen) > 0.6 * count


@pytest.mark.slow
def test_what_overwrite_began_is_gone_on_with(tmp_path):
    command = [*TRAINING, "--workdir", str(tmp_path), "--overwrite"]
    with begin(*command) as process:
        for line in process.stdout:
            if "epoch 1/2" in line:
                break
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=10)
    assert out.endswith(" --overwrite\n")
    with begin(*command) as process:
        out, _ = process.communicate(timeout=600)
    assert "layer_1: goes on after epoch 1 of 2" in out
    with begin(*command) as process:  # It is finished: now it is begun anew.
        out, _ = process.communicate(timeout=600)
    assert "layer_1  epoch 1/2" in out


# Standard output.

PRINTING = f"{OWNED} print('σ', flush=True); time.sleep(.5)\n" + (
    "for _ in range(3): print('σ'); time.sleep(.1)\nopen({done!r}, 'w').close()"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shell",
    [
        "{command} > /dev/full",
        "{command} >&-",
        "{command} >&- 2>&- <&-",
        "{command} 2>/dev/full >/dev/full",
        "{command} | head -1 | cat; exit ${{PIPESTATUS[0]}}",
        "PYTHONIOENCODING=ascii {command}",
        "LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 {command}",
        "LC_ALL=POSIX {command}",
    ],
)
def test_output_that_cannot_be_written_ends_nothing(shell, tmp_path):
    script = tmp_path / "program.py"
    done = tmp_path / "done"
    script.write_text(PRINTING.format(done=str(done)), encoding="utf-8")
    command = shell.format(command=f"{sys.executable} {script}")
    found = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=os.environ
    )
    assert found.returncode == 0, found.stderr
    assert done.exists()
    assert "Traceback" not in found.stderr
    assert "Exception" not in found.stderr
    assert len(found.stderr.splitlines()) <= 1
