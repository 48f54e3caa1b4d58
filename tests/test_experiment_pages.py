"""The pages of `experiments/` are true: their numbers and figures were recorded."""

import json
import pathlib
import re

import numpy as np
import pytest

from jboltz.experiments.benchmark.show import record_name
from tests import pages

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"
FOLDERS = pages.RESULTS


def page(program):
    return (EXPERIMENTS / program / "README.md").read_text(encoding="utf-8")


def words(program):
    """The page on one line: a sentence may be broken anywhere."""
    return " ".join(page(program).split())


def results(name):
    return json.loads((EXPERIMENTS / name).read_text(encoding="utf-8"))


def shown(x):
    return f"{x:.2f}".replace("-", "−")


def interval(found):
    mean, lower, upper = (shown(found[k]) for k in ("mean", "lower", "upper"))
    return f"{mean} ({lower} to {upper})"


# Each page is whole.


def test_the_index_names_every_folder():
    index = (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`(\w+)`\]\((\w+)/README\.md\)", index, re.MULTILINE)
    assert sorted(rows) == [(name, name) for name in FOLDERS]


def test_the_numbers_of_the_index_are_those_of_the_pages():
    index = (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
    for name, row in re.findall(r"^\| \[`(\w+)`\](.*)$", index, re.MULTILINE):
        for number in re.findall(r"\d*\.\d+", row):
            assert number in page(name), f"{name}: {number}"


@pytest.mark.parametrize("program", FOLDERS)
def test_a_page_says_what_it_has_to(program):
    for title in ("Question", "Command", "Result", "Figures", "What it means"):
        assert f"\n## {title}" in page(program), title
    assert "\n## What was tried, and what falls short\n" in page(program)


@pytest.mark.parametrize("program", FOLDERS)
def test_a_page_shows_and_describes_every_figure(program):
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", page(program))
    shown_figures = sorted(file for _, file in pictures)
    folder = EXPERIMENTS / program
    figures = (path.relative_to(folder) for path in folder.glob("figures/*.png"))
    assert shown_figures == sorted(path.as_posix() for path in figures)
    for text, file in pictures:
        assert len(text.split()) >= 8, f"{file}: {text}"


@pytest.mark.parametrize("program", FOLDERS)
def test_a_page_names_every_record(program):
    for file in (EXPERIMENTS / program).glob("*.json"):
        assert f"`{file.name}`" in page(program), file.name


@pytest.mark.parametrize("file", [*FOLDERS, "."])
def test_links_between_pages_lead_somewhere(file):
    folder = EXPERIMENTS / file
    text = (folder / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (folder / link).is_file(), link


# The numbers of each page.


def test_recorded_losses_are_those_of_the_page():
    text = words("dbn_mnist")
    seeds = [
        results(f"dbn_mnist/results{suffix}.json")
        for suffix in ("", "-seed-1", "-seed-2")
    ]
    losses = np.array([[layer["losses"] for layer in run["layers"]] for run in seeds])
    for rows in (losses[0], losses.mean(0)):
        for layer in rows:
            row = " ".join(f"{loss:.4f}"[1:] for loss in layer)
            assert f"| {row} |" in text, row
    for error in seeds[0]["test"]["reconstruction_errors"]:
        assert f"{error:.4f}" in text
    blog = results("dbn_mnist/results-blog.json")["layers"][0]["losses"]
    row = " | ".join(f"{blog[epoch - 1]:.3f}" for epoch in (1, 10, 30))
    assert f"| {row} |" in text


def test_recorded_likelihoods_of_patches_are_those_of_the_pages():
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
        row = f"| {seed} | {' | '.join(map(shown, numbers))} |"
        assert row in words("grbm_cifar10")
        assert row in words("ssrbm_cifar10")


@pytest.mark.parametrize(
    ("program", "record", "digits"),
    [
        ("grbm_cifar10", "likelihood-fixed", 2),
        ("grbm_cifar10", "likelihood-learned", 2),
        ("ssrbm_cifar10", "likelihood", 1),
    ],
)
def test_recorded_gains_over_a_gaussian_are_those_of_the_page(program, record, digits):
    tests = [
        results(f"{program}/results-{record}-{seed}.json")["test"] for seed in range(3)
    ]
    gains = [found["log_likelihood"] - found["gaussian"] for found in tests]
    least, most = (f"{gain:.{digits}f}" for gain in (min(gains), max(gains)))
    assert f"{least} to {most} " in words(program)


def test_recorded_errors_of_gray_digits_are_those_of_the_page():
    text = words("grbm_mnist")
    for name in ("results", "results-fixed"):
        error = results(f"grbm_mnist/{name}.json")["test"]["reconstruction_error"]
        assert f"| {error:.4f} |" in text
    deviation = results("grbm_mnist/results.json")["standard_deviation"]
    smallest, median, largest = (
        f"{deviation[k]:.2f}" for k in ("smallest", "median", "largest")
    )
    assert f"| {smallest} to {largest}, median {median} |" in text
    # The epochs of the spikes, which the page names.
    losses = [epoch["loss"] for epoch in results("grbm_mnist/results.json")["epochs"]]
    spikes = [epoch for epoch, loss in enumerate(losses, start=1) if loss > 0]
    assert f"epochs {', '.join(map(str, spikes[:-1]))} and {spikes[-1]} " in text


def test_recorded_bounds_are_those_of_the_page():
    text = words("dbm_mnist")
    run = results("dbm_mnist/results.json")
    for found in run["bound"].values():
        assert f"| {interval(found)} |" in text
    assert f"{run['gap']['mean']:.2f} nats below" in text
    assert f"{run['reconstruction_error']:.4f} a pixel" in text
    earlier = results("dbm_mnist/results-shorter-ladders.json")["bound"]
    assert interval(earlier["AIS, longer ladder"]) in text
    assert shown(earlier["AIS"]["mean"]) in text


def test_recorded_likelihoods_of_rbms_are_those_of_the_page():
    text = words("rbm_mnist")
    run = results("rbm_mnist/results.json")
    for found in run["log_likelihood"].values():
        assert f"| {interval(found)} |" in text
    assert shown(run["raise"]["mean"]) in text
    assert shown(run["raise"]["mean_by_ais"]) in text
    assert shown(run["pseudo_log_likelihood"]["mean"]) in text
    assert f"{run['tempered_chains']['round_trips']} round trips" in text
    for name in ("short", "short-bfloat16"):
        short = results(f"rbm_mnist/results-{name}.json")["log_likelihood"]
        assert f"| {interval(short['AIS, longer ladder'])} |" in text


def test_recorded_estimates_by_raise_are_those_of_the_page():
    text = words("rbm_mnist")
    found = results("rbm_mnist/results-raise.json")["raise"]
    for one in (found, *found["by_rungs"].values()):
        row = f"| {shown(one['mean'])} | {one['least_effective_samples']:.1f} |"
        assert row in text, row
    assert f"Annealing says {shown(found['mean_by_ais'])}" in text


def test_recorded_exact_likelihoods_are_those_of_the_page():
    for seed in range(3):
        found = results(f"rbm_mnist/results-exact-{seed}.json")["log_likelihood"]
        numbers = [shown(found[name]["mean"]) for name in ("enumeration", "AIS")]
        rounded = f"rbm_mnist/results-exact-bfloat16-{seed}.json"
        numbers += [
            shown(results(rounded)["log_likelihood"]["enumeration"]["mean"])
            if (EXPERIMENTS / rounded).is_file()
            else "–"
        ]
        assert f"| {seed} | {' | '.join(numbers)} |" in words("rbm_mnist")


def percent(values):
    """Mean and standard deviation of three seeds."""
    assert len(values) == 3
    mean, sd = 100 * np.mean(values), 100 * np.std(values, ddof=1)
    return f"{mean:.2f} ± {sd:.2f}"


MANY_LABELS = ("results", "results-1", "results-2")


def test_recorded_errors_of_classifiers_are_those_of_the_page():
    text = words("finetune_mnist")
    wide = [
        results(f"finetune_mnist/results-rbm-1024-{seed}.json") for seed in range(3)
    ]
    deep = [
        results(f"few_labels_mnist/{name}.json")["num_labels"]["60000"]
        for name in MANY_LABELS
    ]
    for seeds in ([run["nets"] for run in wide], deep):
        tuned, control = (
            percent([nets[net]["test"]["error"] for nets in seeds])
            for net in ("pretrained", "control")
        )
        assert f"| **{tuned}** | {control} |" in text
    for name in ("results", "results-rbm-500"):
        nets = results(f"finetune_mnist/{name}.json")["nets"]
        (tuned, tuned_error), (control, control_error) = (
            [f"{100 * nets[net]['test'][k]:.2f}" for k in ("error", "standard_error")]
            for net in ("pretrained", "control")
        )
        row = f"| **{tuned}** ± {tuned_error} | {control} ± {control_error} |"
        assert row in text
    for name in ("dbm-rate-0.003", "rbm-1024-15-epochs", "dbn-12-epochs"):
        for net in results(f"finetune_mnist/results-{name}.json")["nets"].values():
            assert f"{100 * net['test']['error']:.2f} %" in text


def test_recorded_accuracies_with_few_labels_are_those_of_the_page():
    few = [results(f"few_labels_mnist/results-few-{seed}.json") for seed in range(3)]
    many = [results(f"few_labels_mnist/{name}.json") for name in MANY_LABELS]
    for net in ("pretrained", "control"):
        found = [
            percent([1 - run["num_labels"][n][net]["test"]["error"] for run in runs])
            for runs, numbers in ((few, ("100", "1000")), (many, ("10000", "60000")))
            for n in numbers
        ]
        assert f"| {net} | {' | '.join(found)} |" in words("few_labels_mnist")


@pytest.mark.parametrize("name", ["12-epochs", "40-epochs", "dbm", "dbm-dropout"])
def test_what_was_tried_with_few_labels_is_what_was_recorded(name):
    run = results(f"few_labels_mnist/results-{name}.json")["num_labels"]
    for net in ("pretrained", "control"):
        errors = [f"{100 * nets[net]['test']['error']:.2f}" for nets in run.values()]
        assert f"{net} | {' | '.join(errors)} |" in words("few_labels_mnist")


@pytest.mark.parametrize("name", ["results", "results-sixth"])
def test_recorded_errors_of_label_units_are_those_of_the_page(name):
    found = results(f"labels_mnist/{name}.json")
    cells = [
        f"{100 * stage['error']:.2f} % ± {100 * stage['standard_error']:.2f}"
        for stage in (found["greedy"], found["up_down"])
    ]
    assert f"| `{name}.json` | {' | '.join(cells)} |" in words("labels_mnist")


def test_recorded_errors_of_hybrids_are_those_of_the_page():
    for net in results("hybrid_mnist/results.json")["nets"].values():
        error, deviation = (100 * net["test"][k] for k in ("error", "standard_error"))
        assert f"| {error:.2f} % ± {deviation:.2f} |" in words("hybrid_mnist")


def test_recorded_numbers_of_the_autoencoder_are_those_of_the_page():
    text = words("vae_mnist")
    found = results("vae_mnist/results.json")["test"]
    errors, models = found["reconstruction"], found["bounds"]["models"]
    for name in ("DBN", "VAE", "mean training image"):
        assert (
            f"| {errors[name]['squared_error']['mean']:.5f}".replace("0.", ".") in text
        )
        assert f"{errors[name]['cross_entropy']['mean']:.4f}"[1:] in text
    for model in ("DBN by AIS, longer ladder", "VAE"):
        for bound in models[model].values():
            assert f"| {bound['mean']:.1f}".replace("-", "−") in text
    for score in ("precision", "recall"):
        cells = [
            f"{found['quality'][name][score]:.2f}".replace("0.", ".")
            for name in ("DBN", "VAE", "test images")
        ]
        assert f"| {score} | {' | '.join(cells)} |" in text


def test_recorded_forms_of_units_are_those_of_the_page():
    text = words("dbn_cifar10")
    run = results("dbn_cifar10/results.json")
    extents = [layer["learnt"]["exciting_extent"] for layer in run["forms"]]
    cells = [
        f"{100 * x['mean']:.0f} ± {100 * x['standard_error']:.1f} %" for x in extents
    ]
    assert f"| {' | '.join(cells)} |" in text
    for units in ("learnt", "control"):
        shares = [layer[units]["edge_or_blob_share"] for layer in run["forms"]]
        assert f"| {' | '.join(f'{100 * share:g} %' for share in shares)} |" in text
    pixels, *layers = run["class_errors"]
    tuned = [pixels["patches"], *(layer["learnt"] for layer in layers)]
    for row in (tuned, [layer["control"] for layer in layers]):
        cells = [
            f"{100 * x['mean']:.1f} ± {100 * x['standard_error']:.1f}" for x in row
        ]
        assert f"| {' | '.join(cells)} |" in text, cells
    for error in run["reconstruction_errors"]:
        assert f"{error:.2f}" in text


def test_recorded_speeds_are_those_of_the_page():
    text = words("benchmark")
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
            assert f"| {value} |" in text, value
    assert f"{run['start']['warm_seconds']['median']:.1f} s after it" in text


def test_the_targets_of_each_processor_are_those_of_the_page():
    records = {}
    for file in (EXPERIMENTS / "benchmark").glob("results-*.json"):
        record = json.loads(file.read_text())
        if record.get("form") == 2:  # Each contestant in a process of its own.
            processor = record["device"]["processor"]
            assert file.name == record_name(processor)
            assert record["tasks_left_out"] == []
            records[processor] = record["targets"]

    def shown(target):
        if "at_most" in target:
            return f"{target['value']:.3g} s"
        return "{:.2f} [{:.2f}, {:.2f}]".format(target["value"], *target["interval"])

    assert f"| | {' | '.join(records)} |" in page("benchmark")
    for name in next(iter(records.values())):
        cells = [shown(found[name]) for found in records.values()]
        assert f"| {name} | {' | '.join(cells)} |" in page("benchmark")


def test_what_jobs_cost_is_what_was_recorded():
    for job, seconds in results("benchmark/cost.json")["jobs_seconds"].items():
        assert f"| {job} | {seconds:.3g} s |" in words("benchmark")


def test_what_the_width_of_vectors_is_worth_is_what_was_recorded():
    for name, task in (("CD-1 runs", "cd_epoch"), ("Gibbs sampling", "gibbs")):
        wide, half = (
            results(f"benchmark/results{suffix}.json")[task]["contestants"]["products"]
            for suffix in ("", "-256-bit")
        )
        shares = [100 * x["time_over_jboltz"]["median"] for x in (wide, half)]
        assert f"{name} at {shares[0]:.0f} % in place of {shares[1]:.0f} %" in words(
            "benchmark"
        )
