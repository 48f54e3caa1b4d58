"""A run on a mesh of devices, and one of several processes, is the run of one."""

import json
import os
import signal
import socket
import subprocess
import sys

import chex
import numpy as np
import pytest

import jboltz
from jboltz.experiments import dbn_mnist, finetune_mnist
from tests import xla
from tests.experiments import pretraining

FLAGS = "--layers 64 8 6 --epochs 2 --batch-size 40 --sample-steps 3".split()
PROCESS = (
    "import sys; from jboltz.experiments import dbn_mnist; "
    "from tests.experiments import pretraining; "
    "dbn_mnist.draw_figures = lambda *_: {}; "
    "sys.exit(pretraining.start('dbn_mnist', *sys.argv[1:]))"
)


def losses(workdir):
    layers = json.loads((workdir / "results.json").read_text())["layers"]
    return np.array([layer["losses"] for layer in layers])


def model(workdir):
    return jboltz.load(workdir / "model.safetensors")[1]


def start(workdir, *flags):
    return pretraining.start("dbn_mnist", workdir, *FLAGS, *flags)


@pytest.fixture(autouse=True, scope="module")
def no_figures():
    """Training is what moves between devices; figures are drawn on one."""
    with pytest.MonkeyPatch.context() as patch:
        for program in (dbn_mnist, finetune_mnist):
            patch.setattr(program, "draw_figures", lambda *_: {})
        yield


@pytest.fixture(scope="module")
def losses_of_one_device(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    assert start(workdir) == 0
    return losses(workdir)


def test_a_run_moves_from_mesh_to_mesh(losses_of_one_device, tmp_path, capsys):
    """Begun on eight devices, gone on with on two others, ended on one."""
    for num_saves, size in [(1, (4, 2)), (2, (1, 2))]:
        flags = "--mesh.data", size[0], "--mesh.model", size[1]
        with pretraining.crash_after(num_saves):
            start(tmp_path / "moved", *flags)
    capsys.readouterr()
    assert start(tmp_path / "moved") == 0
    assert "goes on after epoch 1 of 2" in capsys.readouterr().out
    np.testing.assert_allclose(
        losses(tmp_path / "moved"), losses_of_one_device, rtol=1e-3
    )


def test_a_net_with_a_posterior_is_trained_on_a_mesh(tmp_path):
    """Its held-out examples have been through a model out of a checkpoint."""
    pretraining.pretrain("dbm_mnist", tmp_path / "dbm")
    flags = "--epochs 1 --batch-size 40 --held-out 30 --mesh.data 4".split()
    pretrained = "--pretrained", tmp_path / "dbm"
    assert (
        pretraining.start("finetune_mnist", tmp_path / "net", *pretrained, *flags) == 0
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--mesh.data 3", ["3 × 1 = 3", "8 devices"]),
        ("--mesh.data 16", ["16", "8 devices", "divisors"]),
        ("--mesh.data 0", ["mesh.data", "0", "at least 1"]),
        ("--mesh.data 8 --batch-size 36", ["batch_size", "36", "mesh.data", "8"]),
        ("--distributed", ["--distributed", "JAX_COORDINATOR_ADDRESS"]),
    ],
)
def test_devices_that_cannot_be_had_are_refused(flags, words, tmp_path, capsys):
    assert start(tmp_path / "run", *flags.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert all(word in said for word in words), said
    assert not (tmp_path / "run").exists()


def test_units_that_a_mesh_does_not_divide_are_refused(tmp_path, capsys):
    assert start(tmp_path, "--mesh.model", 8, "--layers", 64, 8, 6) == 2
    assert "is 6, which `mesh.model` = 8 does not divide" in capsys.readouterr().err


def spawn(workdir, *flags_of_each):
    """Processes that run one command each, on a device each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    count, processes = len(flags_of_each), []
    for index, flags in enumerate(flags_of_each):
        mesh = "--distributed", "--mesh.data", str(count)
        environment = os.environ | {
            "XLA_FLAGS": xla.FLAGS,
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(count),
            "JAX_PROCESS_ID": str(index),
        }
        command = [sys.executable, "-c", PROCESS, str(workdir), *FLAGS, *mesh, *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, env=environment, **pipes))
    return processes


def finish(processes):
    """Of each, its exit status and what it said."""
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        (process.returncode, out + err)
        for process, (out, err) in zip(processes, said, strict=True)
    ]


def test_two_processes_are_one_run(losses_of_one_device, tmp_path):
    """To rounding that of one process."""
    whole = finish(spawn(tmp_path / "whole", [], []))
    assert [status for status, _ in whole] == [0, 0], whole
    np.testing.assert_allclose(
        losses(tmp_path / "whole"), losses_of_one_device, rtol=1e-3
    )


@pytest.mark.slow
def test_two_processes_go_on_after_the_death_of_one(tmp_path):
    """Bit for bit as two which were left alone."""
    whole = finish(spawn(tmp_path / "whole", [], []))
    assert [status for status, _ in whole] == [0, 0], whole
    first, second = spawn(tmp_path / "killed", [], [])
    lines = iter(first.stdout.readline, "")
    assert any("epoch 1/2" in line for line in lines)
    second.send_signal(signal.SIGKILL)
    (status, said), _ = finish([first, second])
    assert status == 2, said
    assert "Another process of this run is gone" in said
    assert "goes on from the newest checkpoint" in said
    assert not (tmp_path / "killed" / "results.json").exists()
    resumed = finish(spawn(tmp_path / "killed", [], []))
    assert [status for status, _ in resumed] == [0, 0], resumed
    assert "goes on after epoch" in resumed[0][1]
    chex.assert_trees_all_equal(model(tmp_path / "killed"), model(tmp_path / "whole"))


def test_processes_that_disagree_stop_and_name_the_field(tmp_path):
    ended = finish(spawn(tmp_path / "run", [], ["--batch-size", "42"]))
    for status, said in ended:
        assert status == 2
        assert "Process 1 runs another run than process 0" in said
        assert "`config.batch_size` is 42 but 40 in that run" in said
    assert not (tmp_path / "run").exists()
