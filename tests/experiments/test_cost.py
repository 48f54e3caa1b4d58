"""How cost grows: slopes, the memory of data, simulated devices, the price of jobs."""

import json

import pytest

from jboltz.experiments.benchmark import accelerator, cost


def test_the_slope_is_the_exponent_of_a_power_law():
    points = [(n, 3.0 * n**1.5) for n in (10, 20, 80)]
    assert cost.slope(points) == pytest.approx(1.5)


def test_a_job_costs_its_steps(monkeypatch):
    monkeypatch.setattr(cost, "milliseconds", lambda row, rate, seconds: 2.0)
    found = cost.price(1e9, 0.1)
    epoch = found["RBM 784-500, CD-1, batch 64: an epoch of MNIST"]
    assert epoch == pytest.approx(938 * 2e-3)
    assert found.keys() == cost.JOBS.keys()


def test_every_growth_has_a_panel_with_its_slope():
    growth = {"cost": "ms", "points": [(1, 2.0), (2, 4.0)], "slope": 1.0}
    drawn = cost.figure({"chains": growth, "devices": growth})
    titles = [axis.get_title() for axis in drawn.axes if axis.get_title()]
    assert titles == ["ms\nby chains: slope 1.00", "ms\nby devices: slope 1.00"]
    assert drawn.axes[0].get_yscale() == "log"


@pytest.mark.slow
def test_memory_grows_by_the_data_alone():
    """A pixel is one byte, and the order of the rows takes a few integers per row."""
    small, large = cost.epoch_memory(2000), cost.epoch_memory(6000)
    assert 4000 * 784 <= large - small <= 4000 * (784 + 40)


@pytest.mark.slow
def test_devices_share_the_work():
    work = cost.devices()
    assert [n for n, _, _ in work] == [1, 2, 4, 8]
    assert cost.slope([(n, flops) for n, flops, _ in work]) == pytest.approx(
        -1, abs=0.05
    )


@pytest.mark.slow
def test_a_small_run_leaves_numbers_and_a_figure(tmp_path):
    cost.main([str(tmp_path), "--small"])
    found = json.loads((tmp_path / "cost.json").read_text(encoding="utf-8"))
    assert len(found["growths"]) == 6
    assert (tmp_path / "figures" / "cost.png").stat().st_size > 1000


@pytest.mark.parametrize("program", [cost, accelerator])
def test_a_folder_that_cannot_be_made_is_refused_at_once(program, tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="2"):
        program.main([str(tmp_path / "file")])
    assert "error: " in capsys.readouterr().err
