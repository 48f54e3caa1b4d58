"""A program that is killed at any moment goes on to the same bits."""

import pytest

from jboltz.experiments import dbn_mnist
from tests.runs.kills import COMMANDS, survive


def name_of(program):
    return program.__name__.rpartition(".")[-1]


@pytest.mark.slow
def test_kills_lose_nothing(tmp_path):
    assert survive(dbn_mnist, 3, tmp_path)[0] == 3


@pytest.mark.by_hand
@pytest.mark.parametrize("program", COMMANDS, ids=name_of)
def test_twenty_kills_lose_nothing(program, tmp_path):
    killed, runs, length = survive(program, 20, tmp_path)
    print(f"{name_of(program)}: {killed} kills, {runs} runs of {length:.1f} s")
