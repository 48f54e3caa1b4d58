"""What a command cannot do is one line on stderr, status 2, and nothing is written."""

import jax
import numpy as np
import pytest

import jboltz
from jboltz import commands
from jboltz.data import read
from jboltz.runs.workdir import Workdir
from tests.test_io import content_of

RNG = np.random.default_rng(0)
LETTERS = RNG.choice([*"abc"], (100, 2))
ARRAYS = {
    "letters": LETTERS,
    "reals": RNG.normal(size=(20, 2)),
    "more": np.concatenate([LETTERS, LETTERS], axis=1),
    "unknown": np.array([["a", "z"]]),
    "labels": np.arange(20),
    "empty": np.zeros((0, 3)),
    "one": np.ones((1, 3)),
    "infinite": np.array([[1.5, np.inf], [0.5, 2.5]]),
    "names": np.array([[f"person {i}"] for i in range(300)]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    for name, array in ARRAYS.items():
        np.save(folder / f"{name}.npy", array)
    np.savez(folder / "two.npz", a=np.eye(3), b=np.eye(3))
    np.savetxt(folder / "reals.csv", ARRAYS["reals"], delimiter=",")
    (folder / "text").write_text("no model")
    (folder / "data.pickle").write_bytes(b"\x80\x04N.")
    rbm = jboltz.RBM(jboltz.Bernoulli(2), jboltz.Bernoulli(2))
    jboltz.save(folder / "plain", rbm, rbm.init(jax.random.key(0)))
    alien = content_of({"Alien": {"size": 3}}, {"x": np.zeros(3, np.float32)})
    (folder / "alien").write_bytes(alien)
    for name in ("letters", "reals"):
        encoding = read(ARRAYS[name]).encoding
        rbm = jboltz.RBM(encoding.unit, jboltz.Bernoulli(2))
        log_z = {"by": "annealing", "value": 0.0, "lower": None, "upper": None}
        notes = {"columns": encoding.as_json(), "log_partition": log_z}
        with Workdir(folder / name, {"program": "another"}) as workdir:
            workdir.write_model(rbm, rbm.init(jax.random.key(0)), notes)
    return folder


def files_in(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def train(data, *flags):
    return ["train", f"@/{data}", "--out", "@/new", "--epochs", "1", *flags]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample", "@/letters", "-n", "0"], "`n` is 0"),
        (["sample", "@/letters", "--seed", str(10**20)], "`seed` is 1000000"),
        (["score", "@/letters", "@/letters.npy", "--seed", "-5"], "`seed` is -5"),
        (["score", "@/reals", "@/reals.csv", "--out", "@/reals.csv"], "themselves"),
        (["data", ""], "the name of a file or a folder"),
        (["sample", "@/letters", "--out", "@/x.npy"], "written as CSV"),
        (["sample", "@/letters", "--out", "@/none/x.csv"], "is not there"),
        (["sample", "@/letters", "--out", "~nouser/x.csv"], "no such user"),
        (["sample", "@/none"], "there is no file"),
        (["sample", "@"], "has no model yet"),
        (["sample", "~nouser/x"], "no such user"),
        (["sample", "@/text"], "no safetensors file"),
        (["sample", "@/alien"], "class Alien, which is not known here"),
        (["sample", "@/plain"], "note `columns`, as `jboltz train` does"),
        (["score", "@/letters", "@/more.npy"], "has 4 features in a row but it had 2"),
        (["score", "@/letters", "@/unknown.npy"], "has 'z' in row 0"),
        (["score", "@/letters", "@/reals.npy"], "holds numbers but"),
        (["score", "@/reals", "@/letters.npy"], "holds text but"),
        (["encode", "@/reals", "@/infinite.npy"], "has inf in row 0"),
        (["score", "@/reals", "@/none.npy"], "none.npy"),
        (["encode", "@/reals", "~nouser/x.npy"], "no such user"),
        (["report", "@/none"], "no folder"),
        (["report", "~nouser"], "no such user"),
        (["data", "@/empty.npy"], "at least one row"),
        (["data", "@/data.pickle"], "A pickle could run code"),
        (["train"], "`data` is not named"),
        (train("none.npy"), "none.npy"),
        (train("labels.npy"), "shape (20,)"),
        (train("empty.npy"), "at least one row"),
        (train("one.npy"), "has 1 row but"),
        (train("infinite.npy"), "has inf in row 0"),
        (train("names.npy"), "300 different values"),
        (train("two.npz"), "`select` is None"),
        (train("reals.npy", "--kinds", "counts"), "'counts' is a whole number"),
        (train("reals.npy", "--kinds", "age=reals"), "`kinds` names ['age']"),
        (train("reals.npy", "--hidden", "0"), "`hidden` is 0"),
        (train("reals.npy", "--hidden-unit", "relu"), "relu"),
        (train("reals.npy", "--hidden", "1e2"), "--hidden: invalid literal"),
        (train("reals.npy", "--preset", "small"), "there is none"),
        (train("reals.npy", "--rule", "magic"), "magic"),
        (train("reals.npy", "--epohcs", "3"), "the nearest are --epochs"),
        (train("reals.npy", "--out", "@/text/new"), "cannot be written"),
        (train("reals.npy", "--out", "@/letters"), "holds another run"),
        (train("reals.npy", "--out", "~nouser/x"), "no such user"),
        (["train", "~nouser/x.npy", "--out", "@/new"], "no such user"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_it_is_refused(folder, capsys, arguments, words):
    before = files_in(folder)
    with pytest.raises(SystemExit) as stop:
        commands.main([x.replace("@", str(folder)) for x in arguments])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert words in said
    assert said.count("\n") == 1
    changed = files_in(folder).items() ^ before.items()
    # A folder of a run is locked while it is looked at.
    assert not {path for path, _ in changed if path.is_file() and path.name != ".lock"}
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["trian"], "trian"), (["sample"], "model"), (["sample", "x", "-n", "y"], "-n")],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_a_wrong_argument_shows_the_usage(capsys, arguments, words):
    with pytest.raises(SystemExit) as stop:
        commands.main(arguments)
    assert stop.value.code == 2
    usage, *_, last = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: jboltz")
    assert words in last


def test_columns_are_left_out_of_tables_only(folder, capsys):
    pytest.importorskip("pandas")
    arguments = train("reals.npy", "--without", "age")
    with pytest.raises(SystemExit):
        commands.main([x.replace("@", str(folder)) for x in arguments])
    assert "cannot be read by `Tables" in capsys.readouterr().err
