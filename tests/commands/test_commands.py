"""The command `jboltz`, by the functions that it calls."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest

import jboltz
from jboltz import commands, io
from jboltz.commands import likelihoods, training
from jboltz.commands.rows import Table, drawn
from jboltz.commands.train import as_flags
from jboltz.data import read
from jboltz.evaluation import log_estimate
from jboltz.learning.rows import take_rows

RNG = np.random.default_rng(0)
COIN = RNG.random((300, 1)) < 0.5
BITS = np.concatenate([COIN, COIN, ~COIN, RNG.random((300, 3)) < 0.3], axis=1)
QUICK = ("--epochs", "2", "--hidden", "6")


def jboltz_(*arguments):
    """The exit status of one command."""
    try:
        commands.main([str(x) for x in arguments])
    except SystemExit as stop:
        return stop.code or 0
    return 0


def table(file):
    with file.open() as lines:
        head, *rows = csv.reader(lines)
    return head, np.array(rows, float)


def data():
    """Rows of several kinds."""
    rng = np.random.default_rng(2)
    gaps = BITS.astype(float)
    gaps[::7, 0] = np.nan
    return {
        "bits": BITS,
        "reals": rng.normal(70, 12, (200, 1)),
        "gaps": gaps,
        "images": rng.integers(0, 256, (60, 4, 4)).astype(np.uint8),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of binary data, and a finished run of the same name."""
    return trained(tmp_path_factory.mktemp("commands"), "bits")


def trained(folder, name, *flags):
    np.save(folder / f"{name}.npy", data()[name])
    out = ("--out", folder / name)
    assert jboltz_("train", folder / f"{name}.npy", *out, *QUICK, *flags) == 0
    return folder


def test_a_run_leaves_a_model_numbers_and_a_page(folder):
    results = json.loads((folder / "bits" / "results.json").read_text())
    assert results["chosen"] == {
        "hidden": 6,
        "num_steps": 5,
        "batch_size": 10,
        "learning_rate": 0.05,
        "epochs": 2,
    }
    assert results["data"]["num_test"] == 30
    assert "overfit" in results["judgement"]
    gained = results["nats_gained_over_independent_columns"]
    assert np.isfinite([*gained.values()]).all()
    assert results["judged_by"] == {"rows": 30, "of": 30}
    page = (folder / "bits" / "report.html").read_text()
    assert "held_out" in page
    assert results["verdict"][:20] in page
    model, _ = jboltz.load(folder / "bits" / "model.safetensors")
    assert model == jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(6))


def test_the_same_command_shows_a_finished_run(folder, capsys):
    model = (folder / "bits" / "model.safetensors").read_bytes()
    out = ("--out", folder / "bits")
    assert jboltz_("train", folder / "bits.npy", *out, *QUICK) == 0
    assert "holds a finished run" in capsys.readouterr().out
    assert (folder / "bits" / "model.safetensors").read_bytes() == model


def test_probabilities_of_all_rows_sum_to_one(folder):
    rows = (np.arange(64)[:, None] >> np.arange(6)) % 2
    np.save(folder / "all.npy", rows)
    out = folder / "all.csv"
    assert jboltz_("score", folder / "bits", folder / "all.npy", "--out", out) == 0
    head, scores = table(out)
    assert head == ["free_energy", "log_likelihood"]
    np.testing.assert_allclose(np.exp(scores[:, 1]).sum(), 1, rtol=1e-4)


def test_a_score_names_the_oddest_row(folder, capsys):
    model, params = jboltz.load(folder / "bits" / "model.safetensors")
    energies = jax.vmap(model.free_energy, (None, 0))(params, BITS.astype(np.float32))
    assert jboltz_("score", folder / "bits", folder / "bits.npy") == 0
    said = capsys.readouterr().out
    assert "mean log-likelihood of 300 rows without gaps" in said
    assert f"row {np.argmax(energies)}: {energies.max():.2f}" in said


def test_a_model_saved_in_python_with_its_columns_scores_rows(folder, capsys):
    run, rows = folder / "bits", folder / "bits.npy"
    model, params = jboltz.load(run / "model.safetensors")
    columns = io.load_notes(run / "model.safetensors")["columns"]
    file = folder / "mine.safetensors"
    jboltz.save(file, model, params, notes={"columns": columns})
    for trained in (run, file):
        assert jboltz_("score", trained, rows, "--out", folder / "scores.csv") == 0
        assert jboltz_("sample", trained, "--out", folder / "new.csv") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[: len(said) // 2] == said[len(said) // 2 :]
    jboltz.save(file, model, params)
    assert jboltz_("score", file, rows) == 2
    assert "note `columns`" in capsys.readouterr().err


def test_samples_are_rows_of_the_table(folder):
    out = folder / "new.csv"
    assert jboltz_("sample", folder / "bits", "--steps", 20, "--out", out) == 0
    _, rows = table(out)
    assert rows.shape == (64, 6)
    assert {*np.unique(rows)} <= {0, 1}


def test_codes_are_the_means_of_the_hidden_units(folder):
    model, params = jboltz.load(folder / "bits" / "model.safetensors")
    data = BITS.astype(np.float32)
    expected = jax.vmap(model.mean_hidden_state, (None, 0))(params, data)
    file, out = folder / "bits" / "model.safetensors", folder / "codes.csv"
    assert jboltz_("encode", file, folder / "bits.npy", "--out", out) == 0
    np.testing.assert_allclose(table(out)[1], expected, rtol=1e-5)


@pytest.mark.slow
def test_real_rows_keep_the_units_of_the_data(tmp_path, capsys):
    """A density that integrates to one, and samples near the data."""
    trained(tmp_path, "reals", "--rule", "cd", "--hidden-unit", "spin")
    grid = np.linspace(-50, 190, 2000)
    np.save(tmp_path / "grid.npy", grid[:, None])
    run, out = tmp_path / "reals", tmp_path / "grid.csv"
    assert jboltz_("score", run, tmp_path / "grid.npy", "--out", out) == 0
    density = np.exp(table(out)[1][:, 1])
    np.testing.assert_allclose(density.sum() * (grid[1] - grid[0]), 1, rtol=1e-3)
    capsys.readouterr()
    assert jboltz_("sample", run, "-n", 50, "--steps", 20) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head == "values"
    assert len(rows) == 50
    assert 50 < np.array(rows, float).mean() < 90


@pytest.mark.slow
def test_rows_with_gaps_train_and_are_scored(tmp_path, capsys):
    trained(tmp_path, "gaps")
    notes = io.load_notes(tmp_path / "gaps" / "model.safetensors")
    assert notes["columns"]["has_gaps"]
    file, out = tmp_path / "gaps.npy", tmp_path / "gaps.csv"
    assert jboltz_("score", tmp_path / "gaps", file, "--out", out) == 0
    assert "257 rows without gaps" in capsys.readouterr().out
    energies, likelihoods_of_rows = table(out)[1].T
    assert np.isfinite(energies).all()
    np.testing.assert_array_equal(
        np.isnan(likelihoods_of_rows), np.isnan(data()["gaps"]).any(axis=1)
    )
    assert jboltz_("encode", tmp_path / "gaps", file) == 0


def test_the_learning_rate_is_set_by_the_largest_variance_of_what_was_observed():
    draws = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "height": draws.normal(170, 10, 300),
            "income": draws.lognormal(10, 0.5, 300),
            "visits": draws.poisson(2, 300).astype(float),
            "town": draws.choice(["Bern", "Chur"], 300),
        }
    )
    frame[draws.random(frame.shape) < 0.2] = None
    kinds = {"income": "positive"}
    # A gap counts as the mean, so it takes its share off the variance. Two columns,
    # one of each category, vary along their difference.
    for name, variance in {
        "height": 1,
        "income": 1,
        "visits": frame["visits"].var(ddof=0),
        "town": 2 * frame["town"].dropna().eq("Bern").var(ddof=0),
    }.items():
        column = frame[[name]]
        rows = read(column, kinds=kinds if name in kinds else None).data
        assert rows.mask is not None
        expected = variance * column.notna().to_numpy().mean()
        assert training.largest_variance(rows) == pytest.approx(expected, rel=1e-5)
    whole = frame.dropna()
    rows = read(whole[["height", "visits"]]).data
    height = (whole["height"] - whole["height"].mean()) / whole["height"].std(ddof=0)
    covariance = np.cov(height, whole["visits"], ddof=0)
    expected = np.linalg.eigvalsh(covariance).max()
    assert training.largest_variance(rows) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_images_have_figures_and_samples_in_gray(tmp_path):
    trained(tmp_path, "images")
    run, out = tmp_path / "images", tmp_path / "new.csv"
    figures = {x.stem for x in (run / "figures").glob("*.png")}
    assert figures == {"contrast", "samples", "filters"}
    assert jboltz_("sample", run, "-n", 20, "--steps", 20, "--out", out) == 0
    _, pixels = table(out)
    assert pixels.shape == (20, 16)
    assert pixels.min() >= 0
    assert 60 < pixels.mean() < 195
    assert jboltz_("score", run, tmp_path / "images.npy") == 0


@pytest.mark.slow
def test_without_an_interval_there_is_a_pseudo_likelihood(tmp_path, monkeypatch):
    monkeypatch.setattr(likelihoods, "MOST_STATES", 0)
    monkeypatch.setattr(log_estimate, "LEAST_EFFECTIVE_SAMPLES", 1000)
    run = trained(tmp_path, "bits") / "bits"
    held_out = json.loads((run / "results.json").read_text())["held_out"]
    assert held_out["log_likelihood"]["lower"] is None
    model, params = jboltz.load(run / "model.safetensors")
    test = BITS[np.sort(np.random.default_rng(0).permutation(300)[:30])]
    expected = jboltz.pseudo_log_likelihood(model, params, test)
    found = held_out["pseudo_log_likelihood"]
    np.testing.assert_allclose(found["mean"], expected.mean, rtol=1e-5)


def test_a_report_of_a_run(folder, capsys):
    (folder / "bits" / "report.html").unlink()
    assert jboltz_("report", folder / "bits") == 0
    assert "The page is" in capsys.readouterr().out
    assert (folder / "bits" / "report.html").is_file()


def test_data_are_described(folder, capsys):
    assert jboltz_("data", folder / "bits.npy") == 0
    assert "Bernoulli(size=6)" in capsys.readouterr().out


def test_columns_are_left_out_of_a_description(tmp_path, capsys):
    lines = ["id,smokes", *(f"P{i},{i % 2}" for i in range(300))]
    (tmp_path / "people.csv").write_text("\n".join(lines))
    assert jboltz_("data", tmp_path / "people.csv") == 2
    assert "`id` has 300 different values" in capsys.readouterr().err
    assert jboltz_("data", tmp_path / "people.csv", "--without", "id") == 0
    assert "Bernoulli(size=1)" in capsys.readouterr().out
    of_kind = ("--kinds", "smokes=categories", "--without", "id")
    assert jboltz_("data", tmp_path / "people.csv", *of_kind) == 0
    assert "Softmax(sites=1" in capsys.readouterr().out


def test_new_rows_need_no_column_that_training_left_out(tmp_path, capsys):
    lines = ["id,smokes,age", *(f"P{i},{i % 2},{20 + i % 7}.5" for i in range(300))]
    people, run = tmp_path / "people.csv", tmp_path / "run"
    people.write_text("\n".join(lines))
    of_kind = ("--without", "id", "--kinds", "age=positive")
    assert jboltz_("train", people, "--out", run, *QUICK, *of_kind) == 0
    assert jboltz_("sample", run, "-n", 20, "--out", tmp_path / "new.csv") == 0
    head, rows = table(tmp_path / "new.csv")
    assert head == ["smokes", "age"]
    assert (rows[:, 1] > 0).all()
    capsys.readouterr()
    frame = pandas.read_csv(people).assign(day=pandas.Timestamp(0))
    frame[["day", "age", "id", "smokes"]].to_parquet(tmp_path / "dated.parquet")
    for name, count in (("new.csv", 20), ("people.csv", 300), ("dated.parquet", 300)):
        assert jboltz_("score", run, tmp_path / name) == 0
        assert f"{count} rows without gaps" in capsys.readouterr().out
    frame[["day", "age", "id"]].to_parquet(tmp_path / "dated.parquet")
    assert jboltz_("score", run, tmp_path / "dated.parquet") == 2
    assert "the table lacks ['smokes']" in capsys.readouterr().err


GAIN = "nats_gained_over_independent_columns"


@pytest.mark.parametrize(
    ("train", "test", "found"),
    [
        (
            [[0, 1], [1, 0]],
            [[0, 1], [1, 1]],
            {"held_out", "judged_by", GAIN, "judgement"},
        ),
        ([[0, None], [None, 1]], [[0, 1], [1, 1]], {"held_out", "judged_by", GAIN}),
        ([[0, 1], [1, 0]], [[0, 1]], {"held_out", "judged_by"}),
        ([[0, 1], [1, 0]], [[0, None]], set()),
    ],
)
def test_what_the_rows_cannot_say_is_left_out(train, test, found):
    examples = read(pandas.DataFrame([*train, *test], columns=["a", "b"]))
    parts = slice(2), slice(2, None)
    rows = [take_rows(drawn(examples.unit, examples.data, 0), part) for part in parts]
    table = Table("", "", "", examples.encoding, None, *rows)
    rbm = jboltz.RBM(examples.unit, jboltz.Bernoulli(2))
    key = jax.random.key(0)
    evaluated = likelihoods.evaluate(rbm, rbm.init(key), table, 1, key)
    assert {*evaluated} == found | {"log_partition", "verdict"}


def test_many_columns_of_numbers_may_stand_among_others(tmp_path, capsys):
    names = [f"x{i}" for i in range(70)]
    frame = pandas.DataFrame(np.random.default_rng(0).integers(0, 2, (100, 70)))
    frame.columns = names
    frame.to_csv(tmp_path / "bits.csv", index=False)
    assert (
        jboltz_("train", tmp_path / "bits.csv", "--out", tmp_path / "run", *QUICK) == 0
    )
    frame["id"], frame["more"] = [f"P{i}" for i in range(100)], 1.5
    frame[["id", *names[::-1], "more"]].to_csv(tmp_path / "new.csv", index=False)
    codes = []
    capsys.readouterr()
    for name in ("bits", "new"):
        assert jboltz_("encode", tmp_path / "run", tmp_path / f"{name}.csv") == 0
        codes.append(capsys.readouterr().out)
    assert codes[0] == codes[1]
    for kept, missing in ((["id", *names[:-1]], "['x69']"), (names[40:], "'x0', 'x1'")):
        frame[kept].to_csv(tmp_path / "few.csv", index=False)
        assert jboltz_("encode", tmp_path / "run", tmp_path / "few.csv") == 2
        assert missing in capsys.readouterr().err


def test_a_gain_is_a_difference_of_likelihoods():
    rbm = jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(4))
    params = jax.tree.map(jnp.asarray, rbm.init(jax.random.key(0)))
    params = params.replace(weights=jax.random.normal(jax.random.key(1), (6, 4)))
    rows, test = BITS[:200].astype(np.float32), BITS[200:].astype(np.float32)
    base = jboltz.Annealed(rbm).fit_base(rows)
    alone = params.replace(visible=base[0], weights=jnp.zeros((6, 4)))
    z = [float(jboltz.model_log_partition(rbm, x)) for x in (params, alone)]
    pairs = zip((params, alone), z, strict=True)
    ours, theirs = (
        jboltz.log_likelihood(rbm, x, test, log_z).mean for x, log_z in pairs
    )
    train, test = jboltz.Batch(values=rows), jboltz.Batch(values=test)
    found = likelihoods.gain(rbm, params, train, test, z[0])
    np.testing.assert_allclose(found["mean"], ours - theirs, atol=1e-4)
    assert likelihoods.gain(rbm, alone, train, test, z[1]) == pytest.approx(
        {"mean": 0, "standard_error": 0}, abs=1e-5
    )


def test_the_first_argument_is_the_data_and_names_the_run():
    flags = as_flags(["a/survey.csv.gz", "--epochs", "3"])
    start = ["--data", "a/survey.csv.gz", "--workdir", "runs/survey"]
    assert flags == [*start, "--epochs", "3"]
    assert as_flags(["--out=x", "--seed", "1"]) == ["--workdir=x", "--seed", "1"]
    assert as_flags(["x.npy", "--out", "y"])[-2:] == ["--workdir", "y"]


def test_help_names_all_commands(capsys):
    for arguments in ([], ["--help"]):
        assert jboltz_(*arguments) == 0
        said = capsys.readouterr().out
        assert all(name in said for name in ("train", *commands.COMMANDS))
