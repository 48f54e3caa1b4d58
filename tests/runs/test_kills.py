"""A program that is killed at any moment goes on to the same bits."""

import pytest

from tests.runs.kills import COMMANDS, survive


@pytest.mark.slow
@pytest.mark.parametrize("program", COMMANDS, ids=lambda x: x.__name__.split(".")[-1])
def test_kills_lose_nothing(program, tmp_path):
    assert survive(program, 3, tmp_path)[0] == 3
