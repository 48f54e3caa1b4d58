"""A workdir is one run's, and makes anew what was lost or changed."""

import json
import os
import shutil

import numpy as np
import pytest
from matplotlib.figure import Figure

from jboltz import seals
from jboltz.checkpoint import Checkpoints
from jboltz.errors import InvalidType, InvalidValue
from jboltz.runs.workdir import Workdir
from tests.runs import toy
from tests.runs.events import read_events

RUN = {"program": "toy", "config": {"seed": 3}, "data": {"name": "mnist"}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("toy")
    assert toy.main(workdir) == 0
    return workdir


@pytest.fixture
def workdir(finished, tmp_path):
    toy.copy(finished, tmp_path / "run")
    return tmp_path / "run"


def test_a_finished_run_is_shown_and_nothing_is_written(workdir, monkeypatch, capsys):
    monkeypatch.setattr(toy, "run", lambda *_: pytest.fail("it ran again"))
    (workdir / ".lock").unlink()
    before = {file: file.stat().st_mtime_ns for file in workdir.rglob("*")}
    assert toy.main(workdir) == 0
    out = capsys.readouterr().out
    assert "holds a finished run" in out
    assert "warning" not in out
    assert {file: file.stat().st_mtime_ns for file in workdir.rglob("*")} == before


def test_a_finished_run_gets_events_when_they_are_asked_for(workdir, monkeypatch):
    monkeypatch.setattr(toy, "run", lambda *_: pytest.fail("it ran again"))
    assert toy.main(workdir, "--tensorboard") == 0
    assert len(read_events(workdir)[0]) == toy.EPOCHS


@pytest.mark.parametrize(
    "name",
    [
        *("model.safetensors", "figures", "parts"),
        *("results.json", "metrics.jsonl", "run.json"),
    ],
)
def test_what_is_missing_is_named_and_made_anew(
    name, finished, workdir, monkeypatch, capsys
):
    """From the checkpoints: nothing is trained again."""
    target = workdir / name
    toy.remove(target)
    monkeypatch.setattr(Checkpoints, "save", lambda *_: pytest.fail("trained again"))
    assert toy.main(workdir) == 0
    assert name in capsys.readouterr().out.split(" is missing")[0]
    assert target.exists()
    assert toy.numbers(workdir) == toy.numbers(finished)
    assert toy.main(workdir) == 0
    assert "warning" not in capsys.readouterr().out


def test_a_finished_run_needs_its_checkpoints_no_more(workdir, monkeypatch, capsys):
    shutil.rmtree(workdir / "checkpoints")
    monkeypatch.setattr(toy, "run", lambda *_: pytest.fail("it ran again"))
    assert toy.main(workdir) == 0
    assert "holds a finished run" in capsys.readouterr().out


def test_what_a_run_cost_stays_where_its_results_are_sound(workdir):
    before = (workdir / "results.json").read_bytes()
    shutil.rmtree(workdir / "figures")
    assert toy.main(workdir) == 0
    assert (workdir / "results.json").read_bytes() == before


def test_what_no_run_writes_any_more_is_missed_once(workdir, capsys):
    seals.write(workdir, "figures/old.png", b"a picture")
    (workdir / "figures" / "old.png").unlink()
    assert toy.main(workdir) == 0
    assert "figures/old.png is missing" in capsys.readouterr().out
    assert toy.main(workdir) == 0
    assert "holds a finished run" in capsys.readouterr().out


def test_a_run_of_before_there_were_checksums_is_made_anew(workdir, finished, capsys):
    (workdir / "checksums.json").unlink()
    assert toy.main(workdir) == 0
    out = capsys.readouterr().out
    assert "checksums.json is missing" in out
    assert "holds a finished run" not in out
    assert toy.numbers(workdir) == toy.numbers(finished)
    assert toy.main(workdir) == 0
    assert "holds a finished run" in capsys.readouterr().out


def test_a_damaged_record_of_another_run_is_refused_by_name(workdir, capsys):
    record = workdir / "run.json"
    record.write_text(record.read_text().replace("2.0", "3.0"))
    # Its text is now that of the other run: but that is not what was sealed.
    before = (workdir / "results.json").read_bytes()
    assert toy.main(workdir, "--rate", 4) == 2
    error = capsys.readouterr().err
    assert "no sound run.json" in error
    assert "the command that began it" in error
    assert (workdir / "results.json").read_bytes() == before
    assert toy.main(workdir) == 0
    assert "run.json changed since it was written" in capsys.readouterr().out


def test_a_flipped_bit_in_the_record_is_no_other_run(workdir, capsys):
    record = workdir / "run.json"
    record.write_text(record.read_text().replace("2.0", "3.0"))
    assert toy.main(workdir, "--rate", 3) == 2
    assert "no sound run.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["results.json", "metrics.jsonl", "run.json", "figures"]
)
@pytest.mark.parametrize("kind", ["pipe", "other"])
def test_what_is_no_file_or_no_folder_is_refused_at_once(kind, name, workdir, capsys):
    there = workdir / name
    is_file = there.is_file()
    toy.remove(there)
    if kind == "pipe":
        os.mkfifo(there)
    elif is_file:
        there.mkdir()
    else:
        there.touch()
    assert toy.main(workdir) == 2
    assert f"{there} is no {'file' if is_file else 'folder'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("figures/losses.png", "file"),
        ("figures/of_another_version.png", "file"),
        ("parts/mean.json", "file"),
        ("checkpoints/doubling", "folder"),
        ("checkpoints/doubling/3", "folder"),
    ],
)
def test_inside_of_a_run_too(name, kind, workdir, capsys):
    there = workdir / name
    toy.remove(there)
    there.mkdir() if kind == "file" else os.mkfifo(there)
    (workdir / "results.json").unlink()
    assert toy.main(workdir) == 2
    assert f"{there} is no {kind}, so no run" in capsys.readouterr().err


def test_a_pipe_as_the_seal_of_a_checkpoint_does_not_stop_a_run(workdir, finished):
    toy.remove(workdir / "model.safetensors")
    seal = workdir / "checkpoints" / "doubling" / "3" / seals.NAME
    toy.remove(seal)
    os.mkfifo(seal)
    assert toy.main(workdir) == 0
    assert toy.numbers(workdir) == toy.numbers(finished)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"/dev/zero": [1]}', "{}"])
def test_a_seal_of_nonsense_is_named_and_replaced(text, finished, workdir, capsys):
    (workdir / "checksums.json").write_text(text)
    assert toy.main(workdir) == 0
    assert "warning: " in capsys.readouterr().out
    assert toy.numbers(workdir) == toy.numbers(finished)


@pytest.mark.parametrize("name", ["", "..", "a/b", "../../a", "a\0b"])
def test_a_part_is_named_within_the_workdir(name, tmp_path):
    with Workdir(tmp_path, RUN) as workdir:
        for write in (
            workdir.checkpoints,
            lambda name: workdir.part(name, dict),
            lambda name: workdir.write_figures({name: Figure()}),
        ):
            with pytest.raises(InvalidValue, match="without slashes"):
                write(name)


def test_a_part_that_is_no_json_is_named_where_it_is_measured(tmp_path):
    with Workdir(tmp_path, RUN) as workdir:
        for measured in ([1], {"x": np.float32(1)}, None):
            with pytest.raises(InvalidType, match=r"`parts/x.json` cannot be written"):
                workdir.part("x", lambda measured=measured: measured)
        assert workdir.part("x", lambda: {"x": 1}) == {"x": 1}


def test_another_run_is_refused_by_what_differs(workdir, capsys):
    assert toy.main(workdir, "--rate", 4) == 2
    assert "`config.rate` is 4.0 but 2.0 in that run" in capsys.readouterr().err


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_crash_between_a_file_and_its_seal_leaves_both_sound(
    moment, tmp_path, monkeypatch
):
    """Moments: the file is drafted, the seals are, the seals are in place."""
    with Workdir(tmp_path, RUN) as workdir:
        workdir.write_metrics("train", [{"epoch": 1}])
    draft, replace, calls = seals._draft, type(tmp_path).replace, []

    def crash(original):
        def act(*arguments):
            result = original(*arguments)
            calls.append(result)
            if len(calls) == moment:
                raise KeyboardInterrupt
            return result

        return act

    content = b'{"stage": "train", "epoch": 2}\n'
    with monkeypatch.context() as patch:
        patch.setattr(seals, "_draft", crash(draft))
        patch.setattr(type(tmp_path), "replace", crash(replace))
        with pytest.raises(KeyboardInterrupt):
            seals.write(tmp_path, "metrics.jsonl", content)
    assert seals.damage(tmp_path) == []
    with Workdir(tmp_path, RUN) as workdir:
        workdir.write_metrics("other", [{"epoch": 1}])
    assert seals.damage(tmp_path) == []
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_crash_before_a_first_file_leaves_a_folder_that_goes_on(
    tmp_path, monkeypatch
):
    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            Workdir(tmp_path, RUN)
    with Workdir(tmp_path, RUN):
        assert json.loads((tmp_path / "run.json").read_text()) == RUN


def test_a_workdir_is_held_by_one_at_a_time(tmp_path):
    assert not seals.is_locked(tmp_path)
    with Workdir(tmp_path, RUN):
        assert seals.is_locked(tmp_path)
        with pytest.raises(OSError, match="Another process is running in"):
            Workdir(tmp_path, RUN)
    assert not seals.is_locked(tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "figures").mkdir()
    with pytest.raises(InvalidValue, match=r"holds figures but no sound run\.json"):
        Workdir(tmp_path, RUN)
    assert not seals.is_locked(tmp_path)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_without_a_run_is_refused_unless_it_is_empty(overwrite, tmp_path):
    (tmp_path / "thesis.tex").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / "slurm-17.out").touch()
    with pytest.raises(InvalidValue, match=r"holds thesis\.tex, which no run made"):
        Workdir(tmp_path, RUN, overwrite=overwrite)
    assert not (tmp_path / "run.json").exists()
    assert not seals.is_locked(tmp_path)
    (tmp_path / "thesis.tex").unlink()
    with Workdir(tmp_path, RUN, overwrite=overwrite):
        pass
    (tmp_path / "notes.txt").touch()  # What is put beside a run later, may stay.
    with Workdir(tmp_path, RUN, overwrite=overwrite):
        assert (tmp_path / "notes.txt").exists()
