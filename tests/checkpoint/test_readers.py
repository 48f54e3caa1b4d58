"""Others read checkpoints while a process writes them."""

import contextlib
import multiprocessing
import time

import jax.numpy as jnp
import pytest

from jboltz import seals
from jboltz.checkpoint import Checkpoints

STATE = {"x": jnp.arange(3.0)}


def test_a_step_that_was_mended_is_not_deleted(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, STATE, {})
        seal = tmp_path / "1" / seals.NAME
        text = seal.read_text()
        seal.unlink()
        assert checkpoints.restore(STATE)[0] is None
        seal.write_text(text)
        assert checkpoints.restore(STATE)[0].step == 1
        with pytest.raises(ValueError, match=r"holds steps \[1\]"):
            checkpoints.save(1, STATE, {})


def write(folder, seconds):
    deadline, step = time.monotonic() + seconds, 0
    with Checkpoints(folder, keep=2) as checkpoints:
        while time.monotonic() < deadline:
            step += 1
            checkpoints.save(step, STATE, {})


@pytest.mark.slow
def test_a_step_in_flight_is_not_damaged(tmp_path):
    writer = multiprocessing.get_context("spawn").Process(
        target=write, args=(tmp_path, 8)
    )
    writer.start()
    steps, lines = [], []
    with Checkpoints(tmp_path) as checkpoints:
        while writer.is_alive():
            with contextlib.suppress(ValueError):  # before the first
                found, damaged = checkpoints.restore(STATE)
                steps += [found.step] if found else []
                lines += damaged
    writer.join()
    assert lines == []
    assert len(set(steps)) > 3
    assert steps == sorted(steps)
