"""What --overwrite deletes, and what it goes on with."""

import pytest

from jboltz import seals
from jboltz.errors import InvalidValue
from jboltz.runs.workdir import Workdir

RUN = {"program": "toy", "config": {"epochs": 2}, "data": {"sha256": "0"}}
OTHER = {**RUN, "config": {"epochs": 3}}


def begin(path, run=RUN, *, overwrite, finish=False):
    """One process of a run; whether it found what an earlier one measured."""
    again = []
    with Workdir(path, run, overwrite=overwrite) as workdir:
        workdir.part("measured", lambda: {"again": again.append(1)})
        if finish:
            workdir.write_results({})
    return not again


@pytest.mark.parametrize("was_there", [True, False])
def test_what_it_began_goes_on_until_it_is_finished(was_there, tmp_path, capsys):
    if was_there:
        begin(tmp_path, overwrite=False, finish=True)
    assert not begin(tmp_path, overwrite=True)
    assert begin(tmp_path, overwrite=True)
    assert "goes on; to begin once more, delete that folder" in capsys.readouterr().out
    assert begin(tmp_path, overwrite=False)
    assert begin(tmp_path, overwrite=True, finish=True)
    assert not begin(tmp_path, overwrite=True)


def test_what_began_without_it_is_deleted(tmp_path):
    begin(tmp_path, overwrite=False)
    assert not begin(tmp_path, overwrite=True)


def test_another_run_is_deleted(tmp_path):
    begin(tmp_path, overwrite=True)
    assert not begin(tmp_path, OTHER, overwrite=True)
    assert begin(tmp_path, OTHER, overwrite=True)


def test_a_run_is_known_by_its_seal_and_deleted_without_one(tmp_path):
    begin(tmp_path, overwrite=True)
    (tmp_path / "run.json").write_text("{")
    assert begin(tmp_path, overwrite=True)
    (tmp_path / "run.json").unlink()
    assert begin(tmp_path, overwrite=True)
    (tmp_path / seals.NAME).unlink()
    assert not begin(tmp_path, overwrite=True)


def test_a_folder_that_no_run_made_is_left_alone(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidValue, match="no run made it"):
        begin(tmp_path, overwrite=True)
    assert (tmp_path / "figures" / "thesis.txt").read_text() == "mine"
