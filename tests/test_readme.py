"""The README is true: its programs run, and its numbers were recorded."""

import json
import pathlib
import re

import jax
import numpy as np

from jboltz.experiments.benchmark import targets
from jboltz.experiments.benchmark.show import record_name
from tests import pages

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_examples_run(capsys):
    # As written but for the length of the ladder, which takes most of the time.
    namespace, left_out = pages.run(
        ROOT / "README.md", ladder=("ladder(0.1)", "ladder(0.01)")
    )
    assert not left_out
    assert namespace["history"][1]["reconstruction_error"].size == 16
    held = namespace["completed"][:, 0, :392]
    np.testing.assert_array_equal(held, namespace["data"][:8, :392])
    for leaf in jax.tree.leaves(namespace["gradient"]):
        assert np.isfinite(leaf).all()
        assert np.any(leaf)


def test_the_embedding_example_is_short():
    example = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15


def test_pictures_exist():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / picture).is_file(), picture


def test_recorded_losses_are_those_in_the_readme():
    results = json.loads((ROOT / "experiments/dbn_mnist/results.json").read_text())
    for layer in results["layers"]:
        row = " ".join(f"{loss:.4f}"[1:] for loss in layer["losses"])
        assert row in README, row
    for error in results["test"]["reconstruction_errors"]:
        assert f"{error:.4f}" in README


def results(name):
    return json.loads((ROOT / "experiments" / name).read_text())


def test_recorded_likelihoods_are_those_in_the_readme():
    for seed in range(3):
        runs = [
            results(f"grbm_cifar10/results-likelihood-fixed-{seed}.json"),
            results(f"grbm_cifar10/results-likelihood-learned-{seed}.json"),
            results(f"ssrbm_cifar10/results-likelihood-{seed}.json"),
        ]
        assert {run["config"]["seed"] for run in runs} == {seed}
        # The same patches for all three.
        (gaussian,) = {run["test"]["gaussian"] for run in runs}
        numbers = [gaussian, *(run["test"]["log_likelihood"] for run in runs)]
        row = " | ".join(f"{x:.2f}".replace("-", "−") for x in numbers)
        assert f"| {seed} | {row} |" in README


def test_recorded_errors_are_those_in_the_readme():
    for name in ("grbm_mnist/results.json", "grbm_mnist/results-fixed.json"):
        assert f"{results(name)['test']['reconstruction_error']:.4f}" in README


def shown(x):
    return f"{x:.2f}".replace("-", "−")


def test_recorded_bounds_are_those_in_the_readme():
    run = results("dbm_mnist/results.json")
    for found in run["bound"].values():
        mean, lower, upper = (shown(found[k]) for k in ("mean", "lower", "upper"))
        assert f"| {mean} ({lower} to {upper}) |" in README
    assert f"{run['gap']['mean']:.2f} nats below" in README
    assert f"{run['reconstruction_error']:.4f} a pixel" in README


def test_recorded_likelihoods_of_rbms_are_those_in_the_readme():
    run = results("rbm_mnist/results.json")
    for found in run["log_likelihood"].values():
        mean, lower, upper = (shown(found[k]) for k in ("mean", "lower", "upper"))
        assert f"| {mean} ({lower} to {upper}) |" in README
    assert shown(run["raise"]["mean"]) in README
    assert shown(run["pseudo_log_likelihood"]["mean"]) in README
    for name in ("short", "short-bfloat16"):
        short = results(f"rbm_mnist/results-{name}.json")["log_likelihood"]
        found = short["AIS, longer ladder"]
        mean, lower, upper = (shown(found[k]) for k in ("mean", "lower", "upper"))
        assert f"{mean} ({lower} to {upper}" in README
    found = results("rbm_mnist/results-raise.json")["raise"]
    for one in (found, *found["by_rungs"].values()):
        assert shown(one["mean"]) in README
        assert f"{one['least_effective_samples']:.1f}" in README
    assert shown(found["mean_by_ais"]) in README
    for seed in range(2):
        found = results(f"rbm_mnist/results-exact-bfloat16-{seed}.json")
        assert shown(found["log_likelihood"]["enumeration"]["mean"]) in README
    for seed in range(3):
        found = results(f"rbm_mnist/results-exact-{seed}.json")["log_likelihood"]
        assert shown(found["enumeration"]["mean"]) in README
        assert shown(found["AIS"]["mean"]) in README


def percent(values):
    """Mean and standard deviation of three seeds."""
    assert len(values) == 3
    mean, sd = 100 * np.mean(values), 100 * np.std(values, ddof=1)
    return f"{mean:.2f} ± {sd:.2f}"


def test_recorded_errors_of_classifiers_are_those_in_the_readme():
    wide = [
        results(f"finetune_mnist/results-rbm-1024-{seed}.json") for seed in range(3)
    ]
    deep = [
        results(f"few_labels_mnist/{name}.json")["num_labels"]["60000"]
        for name in ("results", "results-1", "results-2")
    ]
    for seeds in ([run["nets"] for run in wide], deep):
        tuned, control = (
            percent([nets[net]["test"]["error"] for nets in seeds])
            for net in ("pretrained", "control")
        )
        assert f"| **{tuned}** | {control} |" in README
    for name in ("results", "results-rbm-500"):
        nets = results(f"finetune_mnist/{name}.json")["nets"]
        (tuned, tuned_error), (control, control_error) = (
            [f"{100 * nets[net]['test'][k]:.2f}" for k in ("error", "standard_error")]
            for net in ("pretrained", "control")
        )
        row = f"| **{tuned}** ± {tuned_error} | {control} ± {control_error} |"
        assert row in README


def test_recorded_accuracies_with_few_labels_are_those_in_the_readme():
    few = [results(f"few_labels_mnist/results-few-{seed}.json") for seed in range(3)]
    many = [
        results(f"few_labels_mnist/{name}.json")
        for name in ("results", "results-1", "results-2")
    ]
    for net in ("pretrained", "control"):
        found = [
            percent([1 - run["num_labels"][n][net]["test"]["error"] for run in runs])
            for runs, numbers in ((few, ("100", "1000")), (many, ("10000", "60000")))
            for n in numbers
        ]
        assert f"| {net} | {' | '.join(found)} |" in README


def test_recorded_errors_of_label_units_are_those_in_the_readme():
    found = results("labels_mnist/results.json")
    for stage in ("greedy", "up_down"):
        assert f"{100 * found[stage]['error']:.2f} %" in README


def test_recorded_errors_of_hybrids_are_those_in_the_readme():
    for found in results("hybrid_mnist/results.json")["nets"].values():
        assert f"{100 * found['test']['error']:.2f} %" in README


def test_recorded_numbers_of_the_autoencoder_are_those_in_the_readme():
    found = results("vae_mnist/results.json")["test"]
    errors, models = found["reconstruction"], found["bounds"]["models"]
    for name in ("DBN", "VAE", "mean training image"):
        assert f"{errors[name]['squared_error']['mean']:.5f}"[1:] in README
        assert f"{errors[name]['cross_entropy']['mean']:.4f}"[1:] in README
    for model in ("DBN by AIS, longer ladder", "VAE"):
        for bound in models[model].values():
            assert f"{bound['mean']:.1f}".replace("-", "−") in README


def test_recorded_speeds_are_those_in_the_readme():
    run = results("benchmark/results.json")
    shown_as = {
        **dict.fromkeys(
            ("cd_epoch", "cd_epoch_large_batch", "pcd_epoch", "dbn_epoch"),
            lambda record: f"{record['seconds']['median']:.2f} s",
        ),
        **dict.fromkeys(
            ("gibbs", "gibbs_small_model"),
            lambda record: f"{record['sweeps_per_second']:.3g} sweeps/s",
        ),
        **{
            task: lambda record, part=part: f"{record[f'milliseconds_a_{part}']:.3g} ms"
            for task, part in (
                ("tempering", "step"),
                ("mean_field", "sweep"),
                ("dbm_step", "step"),
                ("ais", "rung"),
                ("finetune", "step"),
            )
        },
    }
    for task, show in shown_as.items():
        for name, record in run[task]["contestants"].items():
            ratio = f" ({record['time_over_jboltz']['median']:.2f}×)"
            value = show(record) + ("" if name == "jboltz" else ratio)
            assert f"| {value} |" in README, value
    assert f"{run['start']['warm_seconds']['median']:.1f} s after it" in README


def test_the_targets_of_each_processor_are_those_in_the_readme():
    records = {}
    for file in (ROOT / "experiments/benchmark").glob("results-*.json"):
        record = json.loads(file.read_text())
        if record.get("form") == 2:  # Each contestant in a process of its own.
            processor = record["device"]["processor"]
            assert file.name == record_name(processor)
            assert record["tasks_left_out"] == []
            records[processor] = record["targets"]
    if records:
        table = "\n".join(targets.table(records))
        assert table in README, f"The table of the records is:\n{table}"


def test_what_jobs_cost_is_what_was_recorded():
    for job, seconds in results("benchmark/cost.json")["jobs_seconds"].items():
        assert f"| {job} | {seconds:.3g} s |" in README


def test_what_the_width_of_vectors_is_worth_is_what_was_recorded():
    for name, task in (("CD-1 runs", "cd_epoch"), ("Gibbs sampling", "gibbs")):
        wide, half = (
            results(f"benchmark/results{suffix}.json")[task]["contestants"]["products"]
            for suffix in ("", "-256-bit")
        )
        shares = [100 * x["time_over_jboltz"]["median"] for x in (wide, half)]
        words = " ".join(README.split())
        assert f"{name} at {shares[0]:.0f} % in place of {shares[1]:.0f} %" in words
