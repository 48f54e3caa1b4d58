"""Numbers in the guide are those of the records in `experiments/`."""

import json
import tomllib

import pytest

from tests import pages

GUIDE, RECORDS = pages.ROOT / "jboltz" / "guide", pages.ROOT / "experiments"


def words(page):
    return " ".join((GUIDE / page).read_text(encoding="utf-8").split())


def shown(x):
    return f"{x:.2f}".replace("-", "−")


def test_recorded_likelihoods_are_those_in_the_guide():
    text = words("likelihood.md")
    run = json.loads((RECORDS / "rbm_mnist" / "results.json").read_text())
    assert "reverse AIS" in run["log_likelihood"]
    for name in ("AIS", "AIS, longer ladder"):
        found = run["log_likelihood"][name]
        mean, lower, upper = (shown(found[k]) for k in ("mean", "lower", "upper"))
        assert f"{mean} nats ({lower} to {upper})" in text or (
            f"{mean} ({lower} to {upper})" in text
        )
    text = words("sampling.md")
    best = run["log_likelihood"]["AIS, longer ladder"]["mean"]
    assert f"{shown(best)} nats" in text
    assert "visible_mean_1 is 647 steps" in run["verdict"]
    assert "about 650 steps" in text


@pytest.mark.parametrize(
    "program", ["dbn_mnist", "rbm_mnist", "dbm_mnist", "grbm_mnist"]
)
def test_recorded_settings_are_those_in_the_guide(program):
    config = tomllib.loads((RECORDS / program / "config.toml").read_text())
    text = (GUIDE / "training.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{program}` |")]
    _, _, rule, batch, rate, chains, epochs, _ = (x.strip() for x in row.split("|"))
    assert f"CD-{config['num_steps']}" in rule
    assert int(batch) == config["batch_size"]
    assert float(rate.split(",")[0]) == config["learning_rate"]
    assert chains == str(config.get("num_chains", "–"))
    assert int(epochs.split()[0]) == config["epochs"]
