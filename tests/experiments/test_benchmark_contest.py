"""A contest is fair, and what is made of its seconds is right."""

import dataclasses
import json
import math
import os
import pathlib
from functools import partial

import numpy as np
import pytest
import scipy.stats

import jboltz
from jboltz.experiments.benchmark import (
    contest,
    floors,
    peers,
    quiet,
    show,
    targets,
    worker,
    works,
)
from jboltz.experiments.benchmark.sizes import Sizes

RESULTS = {"two chains": [1.0, 1.0], "one chain": [2.0]}


def build(name, job) -> works.Work | None:
    """Stands for `peers.build`, in the processes of contestants."""
    if name == "nothing":  # It cannot take part.
        return None
    if name not in RESULTS:
        raise RuntimeError(f"invalid literal {name}")
    return lambda: (np.array(RESULTS[name]),)


def compare(job, contestant, outcome, ours):
    return {"what": "distance", "value": abs(outcome[0] - ours[0]).max(), "limit": 0.5}


@pytest.mark.slow
def test_a_contest_is_not_held_where_one_does_something_else(monkeypatch):
    monkeypatch.setattr(peers, "build", build)
    contestants = {
        "jboltz": "two chains",
        "torch_compiled": "nothing",
        "sklearn": "x",
        "threefry_13": "one chain",
    }
    floor = floors.Floor(floors.sweep, (2, 2), 1, 1)
    fair = contest.Task("title: size", contestants, lambda sizes: [floor])
    unfair = dataclasses.replace(fair, check=compare)
    broken = dataclasses.replace(fair, contestants={"jboltz": "y"})
    job = fair.job(np.zeros((1, 4)), Sizes(num_examples=1), 0)
    with worker.Processes(contestants) as processes:
        pids = {name: process.pid for name, process in processes._processes.items()}
        assert len({os.getpid(), *pids.values()}) == 1 + len(pids)
        hold = partial(
            contest.hold, job=job, processes=processes, rounds=2, seconds=0.0
        )
        record = hold(fair)
        found = record["contestants"]
        assert record["left_out"].keys() <= {"sklearn"}  # If it is installed.
        assert found.keys() == {"jboltz", "threefry_13"}
        assert found["threefry_13"]["measured_share"] == 0.5
        assert found["jboltz"]["affinity"] is None or found["jboltz"]["affinity"]
        with pytest.raises(ValueError, match="title: jboltz, THREEFRY_13 does not do"):
            hold(unfair)
        with pytest.raises(ChildProcessError, match=r"jboltz: (?s:.*)invalid literal"):
            hold(broken)
    assert not any(one.is_alive() for one in processes._processes.values())


def test_rounds_take_turns():
    calls, names = [], ("jboltz", "products", "torch")
    turns = {name: lambda name=name: calls.append(name) or 1.0 for name in names}
    seconds, _ = contest.take_turns("task", turns, 4, seed=0, end=math.inf)
    assert [len(x) for x in seconds.values()] == [4, 4, 4]
    rounds = {tuple(calls[i : i + 3]) for i in range(0, 12, 3)}
    assert len(rounds) > 1
    assert all(set(one) == set(names) for one in rounds)


def test_no_round_but_six_begins_when_the_time_is_over():
    turns = {"jboltz": lambda: 1.0}
    seconds, _ = contest.take_turns("task", turns, 9, seed=0, end=-math.inf)
    assert len(seconds["jboltz"]) == contest.FEWEST_ROUNDS


@pytest.mark.parametrize(("rounds", "k"), [(6, 1), (9, 2), (15, 4), (64, 24)])
def test_the_interval_of_a_ratio_holds_it_as_often_as_it_says(rounds, k):
    rng, trials = np.random.default_rng(0), 2000
    disturbed = np.exp(rng.normal(size=(trials, rounds, 1)))  # Both in a round.
    noise = np.exp(rng.standard_cauchy(size=(trials, rounds, 2)).clip(-9, 9) / 10)
    seconds = noise * disturbed * [1.0, 1.5]
    hits = 0
    for ours, theirs in seconds.transpose(0, 2, 1):
        low, high = contest.ratio(theirs.tolist(), ours.tolist())["interval"]
        hits += low <= 1.5 <= high
    share = 1 - 2 * scipy.stats.binom.cdf(k - 1, rounds, 0.5)
    assert share >= 0.95 > 1 - 2 * scipy.stats.binom.cdf(k, rounds, 0.5)
    assert abs(hits / trials - share) < 5 * np.sqrt(share * (1 - share) / trials)


def test_many_rounds_have_a_narrow_interval():
    ratios = np.arange(1.0, 1025.0).tolist()
    assert contest.ratio(ratios, [1.0] * 1024)["interval"] == [481, 544]


def test_five_rounds_have_no_interval():
    assert contest.ratio([2.0] * 5, [1.0] * 5)["interval"] is None


def test_two_times_that_stand_end_the_warm_up(monkeypatch):
    seconds = iter([9.0, 1.0, 0.5, 0.52, 0.5])
    monkeypatch.setattr(worker, "_seconds", lambda work, calls: next(seconds))
    assert worker.warm_up(lambda: ()) == [9.0, 1.0, 0.5, 0.52]
    seconds = iter([2.0, 1.0] * 10)
    assert len(worker.warm_up(lambda: ())) == worker.MOST_CALLS


def test_a_round_that_others_disturb_is_said():
    observer = quiet.Observer()
    observer.loads, observer.speeds = [0.0, 0.2, 0.0], [100.0, 100.0, 80.0]
    assert observer.disturbed() == [
        "round 2: others took 20% of the cores",
        "round 3: a core ran at 80% of its speed",
    ]


def test_what_openmp_is_told_is_recorded(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert quiet.settings()["openmp"]["OMP_WAIT_POLICY"] == "not set"
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert quiet.settings()["openmp"]["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.slow
def test_an_unknown_flag_of_xla_is_named(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_no_such_flag=1")
    with pytest.raises(ValueError, match="not know --xla_cpu_no_such_flag"):
        quiet.require_known_flags()


def test_a_peer_of_another_version_is_named(monkeypatch):
    versions = {"torch": "2.9", "scikit-learn": "0.9", "rbms": None, "thrml": "0.1.4"}
    monkeypatch.setattr(peers, "installed", lambda: versions)
    assert peers.left_out() == {
        "scikit-learn": "is of version 0.9, where 1.* is needed",
        "rbms": "is not installed",
    }
    assert peers.takes_part("torch_loader")
    assert not peers.takes_part("sklearn")


def test_records_are_named_by_the_family_of_processors():
    name = show.record_name("Intel(R) Xeon(R) Processor, cpu family 6, model 207")
    assert name == "results-intel-xeon-processor-cpu-family-6-model-207.json"


RECORDED = json.loads((targets.FILE.parent / "results.json").read_text())
TASKS = {name: RECORDED[name] for name in RECORDED["config"]["tasks"]}


def test_a_record_is_compared_with_the_targets():
    found = targets.compare(TASKS, "AMD EPYC")
    before = RECORDED["targets"]
    for name in found.keys() & before.keys():
        assert found[name]["value"] == pytest.approx(before[name]["value"])
    name = "CD-1, batch 64: speed over the fastest PyTorch"
    assert found[name]["at_least"] == 2.0
    assert targets.compare(TASKS, "Intel")[name]["at_least"] == 1.2
    assert targets.compare(TASKS, "another")[name]["at_least"] == 1.2
    lines = list(targets.describe(before))
    assert "Start, seconds 3.92, at most 8: met" in lines
    assert len(lines) == len(before)


def test_an_installed_package_has_no_targets(monkeypatch):
    library = pathlib.Path(jboltz.__file__).parent
    assert library not in targets.FILE.parents
    monkeypatch.setattr(targets, "FILE", targets.FILE / "missing")
    assert targets.compare({}, "") == {}
