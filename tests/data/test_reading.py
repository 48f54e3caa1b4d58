"""From data of every kind to a trained model, in a few lines and without surprises."""

import jax
import numpy as np
import optax
import pandas
import pytest

import jboltz
from jboltz import Bernoulli, Binomial, Gaussian, Softmax, Spin
from jboltz.data import batches, read
from jboltz.data.readers import Batches, Tables
from jboltz.errors import InvalidValue
from jboltz.units.composite import Joined
from tests.data import cases

KEY = jax.random.key(0)

# What a user writes after the imports, the key and the data.
IN_MEMORY = """
examples = read(source)
rbm = jboltz.RBM(examples.unit, jboltz.Bernoulli(8))
cd = jboltz.ContrastiveDivergence(rbm, jboltz.Gibbs(rbm))
estimator, optimizer = jboltz.MissingDataEstimator(cd, 2), optax.sgd(0.01)
params = rbm.init(key, data=examples.data)
state = jboltz.init_train_state(params, estimator, optimizer, key)
step = jboltz.make_train_step(estimator, optimizer)
state, _ = jboltz.fit(step, state, examples.data, key, batch_size=10, num_epochs=1)
"""
STREAMED = """
examples = read(source, most_bytes=0)
rbm = jboltz.RBM(examples.unit, jboltz.Bernoulli(8))
cd = jboltz.ContrastiveDivergence(rbm, jboltz.Gibbs(rbm))
estimator, optimizer = jboltz.MissingDataEstimator(cd, 2), optax.sgd(0.01)
params = rbm.init(key, data=examples.sample)
state = jboltz.init_train_state(params, estimator, optimizer, key)
step = jboltz.make_train_step(estimator, optimizer)
state, _ = jboltz.fit_stream(step, state, batches(examples, 10), key, chunk_size=2)
"""


def programs():
    """The usual program of each kind; the other one takes as long and is slow."""
    for case in cases.SOURCES:
        is_streamed = case in cases.LARGE
        for program in (IN_MEMORY, STREAMED):
            is_usual = is_streamed == (program is STREAMED)
            yield pytest.param(
                case,
                program,
                id=f"{case.__name__}-{'fit_stream' if program is STREAMED else 'fit'}",
                marks=() if is_usual else pytest.mark.slow,
            )


@pytest.mark.parametrize(("case", "program"), [*programs()])
def test_a_model_is_trained_in_eight_lines(case, program, tmp_path):
    assert len(program.strip().splitlines()) <= 8
    names = {"source": case(tmp_path), "key": KEY, "jboltz": jboltz, "optax": optax}
    names |= {"read": read, "batches": batches}
    exec(program, names)
    assert names["state"].step > 0
    before, after = names["params"], names["state"].params
    changed = jax.tree.map(lambda x, y: bool((x != y).any()), before, after)
    assert changed.weights


@pytest.mark.parametrize(
    ("values", "unit", "first"),
    [
        ([[0, 1], [1, 1]], Bernoulli(2), [False, True]),
        ([[-1, 1], [1, 1]], Spin(2), [-1, 1]),
        ([[0.0, 0.25], [1.0, 0.5]], Bernoulli(2), [0, 0.25]),
        (np.array([[0, 51], [255, 3]], np.uint8), Bernoulli(2), [0, 0.2]),
        ([[0, 7], [3, 2]], Binomial(2, trials=7), [0, 7]),
        ([[0.0, 1.5], [2.0, -0.5]], Gaussian(2), [-1, 1]),
        ([[0, 3000], [2, 1000]], Gaussian(2), [-1, 1]),
        (np.array([["a", "b"], ["c", "a"]]), Softmax(2, 3), np.eye(3)[[0, 1]]),
        (np.eye(3)[[[0, 2], [1, 1]]], Softmax(2, 3), np.eye(3)[[0, 2]]),
        (np.zeros((2, 3, 4), bool), Bernoulli(12), [False] * 12),
    ],
)
def test_the_unit_follows_from_the_values(values, unit, first):
    examples = read(values)
    assert examples.unit == unit
    assert examples.is_whole
    assert examples.data.mask is None
    np.testing.assert_allclose(examples.data.values[0], first, rtol=1e-6)
    assert str(unit) in examples.note


def test_the_kind_can_be_given_and_other_kinds_are_named():
    ratings = np.array([[1, 5, 3], [2, 2, 4]])
    assert (
        "also possible by `kinds`: gray, reals, positive, categories"
        in read(ratings).note
    )
    assert read(ratings, kinds="categories").unit == Softmax(3, 5)
    assert read(ratings, kinds="reals").unit == Gaussian(3)


def test_a_table_becomes_units_side_by_side(tmp_path):
    examples = read(cases.frame(tmp_path))
    real, counts, binary = Gaussian(1), Binomial(1, trials=4), Bernoulli(1)
    ends = Joined(binary, Joined(Softmax(1, 3), Softmax(1, 3)))
    towns = Joined(binary, Softmax(2, 3))
    assert examples.unit in (Joined(real, Joined(counts, x)) for x in (ends, towns))
    age, _ = examples.data.values
    seen, _ = examples.data.mask
    assert not seen[[0, 7]].any()
    np.testing.assert_allclose(age[seen].mean(), 0, atol=1e-6)
    assert "values are missing" in examples.note


def test_test_data_are_read_like_the_training_data():
    examples = read(np.array([[1.0, 7.5], [3.0, 9.5]]))
    again = read(np.array([[5.0, 8.5]]), like=examples)
    np.testing.assert_allclose(again.data.values, [[3, 0]])
    letters = read(np.array([["a"], ["b"]]))
    with pytest.raises(ValueError, match=r"'z' in row 1, .*'categories'"):
        read(np.array([["a"], ["z"]]), like=letters)
    with pytest.raises(ValueError, match="`values` has 1 features in a row but it had"):
        read(np.array([[0.5]]), like=examples)


def test_columns_of_test_data_are_those_of_the_training_data(tmp_path):
    table = cases.frame(tmp_path)
    with pytest.raises(InvalidValue, match=r"\['town'\] are new and \[\] are missing"):
        read(table, like=read(table, Tables(without=("town",))))
    with pytest.raises(InvalidValue, match=r"lacks \['city'\] and has the columns"):
        read(table, Tables(only=("town", "city")))


def test_columns_of_a_wide_table_are_matched_by_name(tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 70))
    names = [f"q{i}" for i in range(70)]
    table = pandas.DataFrame(x, columns=names)
    examples = read(table)
    assert examples.unit == Gaussian(70)
    for like in (examples, examples.encoding.as_json()):
        again = read(table[names[::-1]], like=like)
        np.testing.assert_array_equal(again.data.values, examples.data.values)
    decoded = again.encoding.decode(again.data.values)
    assert [*decoded] == names
    np.testing.assert_allclose(decoded["q3"][:, 0], x[:, 3], rtol=1e-4)
    with pytest.raises(InvalidValue, match=r"'other'.* are new and \['q3'\]"):
        read(table.rename(columns={"q3": "other"}), like=examples)
    with pytest.raises(InvalidValue, match=r"\['q3', .* are missing"):
        read(table[[x for x in names[:40] if x != "q3"]], like=examples)
    with pytest.raises(InvalidValue, match="not all numbers, as those of the training"):
        read(table.assign(q3="a"), like=examples)
    read(x, like=examples)  # An array has no names.
    with pytest.raises(InvalidValue, match="70 columns of numbers have one kind"):
        read(table, kinds={"q3": "reals"})


def test_a_mark_is_a_gap_in_columns_of_numbers_and_of_text():
    text = np.array([["x", "99"], ["y", "x"]])
    for mark in (99, "99"):
        expected = [[True, False], [True, True]]
        np.testing.assert_array_equal(read(text, missing=(mark,)).data.mask, expected)
        numbers = read(np.array([[1.5, 99.0], [2.5, 3.5]]), missing=(mark,))
        np.testing.assert_array_equal(numbers.data.mask, expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n0,0,0\n1,1,2\n", "more fields than its first row has names"),
        ("day,b\n2024-01-02,0\n2024-02-03,1\n", "the date '2024-01-02'"),
        ("age,b,age\n1,2,3\n4,5,6\n", r"the columns \['age'\] twice"),
        ("a,a,c\na,c,c\nc,c,a\n", r"the columns \['a'\] twice"),
        ("2,0,1\n3,4,5\n6,7,8\n", r"\[2, 0, 1\], may be names of columns"),
        ("0,1,2,7\n3,4,5,1\n6,7,8,2\n", "may be names of columns"),
    ],
)
def test_a_file_that_would_be_misread_is_refused(tmp_path, text, words):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InvalidValue, match=words):
        read(tmp_path / "table.csv")


def test_a_matrix_too_large_for_the_memory_is_refused_by_its_head(tmp_path):
    head = "%%MatrixMarket matrix coordinate real general\n1000000000 1000000000 1\n"
    (tmp_path / "large.mtx").write_text(head + "1 1 1\n")
    with pytest.raises(InvalidValue, match=r"shape \(1000000000, 1000000000\)"):
        read(tmp_path / "large.mtx")


def test_gaps_are_nan_masked_or_marked():
    x = np.array([[1.0, np.nan], [0.5, 2.5]])
    expected = [[True, False], [True, True]]
    np.testing.assert_array_equal(read(x).data.mask, expected)
    masked = np.ma.MaskedArray(np.array([[0, 9], [1, 1]]), ~np.array(expected))
    np.testing.assert_array_equal(read(masked).data.mask, expected)
    assert read(masked).unit == Bernoulli(2)
    marked = read([[3, -1], [0, 2]], missing=(-1,))
    np.testing.assert_array_equal(marked.data.mask, expected)
    assert marked.unit == Binomial(2, trials=3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: read([[3, -1], [0, 2]]), ValueError, r"-1 .*`missing=\(-1,\)`"),
        (
            lambda: read([[0, 5], [2, -3]], kinds="counts"),
            ValueError,
            "has -3 in row 1, feature 1, .*whole number from 0",
        ),
        (lambda: read([[1.0, np.inf]]), ValueError, "inf in row 0, .*finite"),
        (lambda: read([[1.5, 1e200]]), ValueError, "1e.200 in row 0, .*1e150"),
        (lambda: read([[np.nan, np.nan]]), ValueError, "nothing but gaps"),
        (lambda: read(np.zeros((0, 3))), ValueError, r"shape \(0, 3\)"),
        (lambda: read(np.zeros(3)), ValueError, r"shape \(3,\)"),
        (lambda: read([[1, 2], [3]]), ValueError, "same number of features"),
        (lambda: read(np.array([[None, 1]])), TypeError, "dtype object"),
        (lambda: read(np.zeros((2, 2)) * 1j), TypeError, "complex"),
        (lambda: read([[0.0]], kinds="colours"), ValueError, "kinds are binary, "),
        (lambda: read([[0.0]], kinds={"x": "reals"}), ValueError, r"\['values'\]"),
        (
            lambda: read(np.array([["a"], ["b"]]), kinds="reals"),
            ValueError,
            "holds cat",
        ),
        (lambda: read(np.array([["a"]])), ValueError, "1 different values"),
        (lambda: read([[1], [2]], like=read([[1.5]]), kinds="reals"), ValueError, "`l"),
        (lambda: read([[1], [2]], like={}), ValueError, "cannot be read"),
        (lambda: read(iter([])), ValueError, "is empty"),
        (lambda: read([1.5, 2.5], Batches()), ValueError, "one row for each"),
        (
            lambda: read([{"x": np.zeros((3, 2)), "y": np.zeros(4)}], Batches()),
            ValueError,
            r"'x': \(3, 2\), 'y': \(4,\)",
        ),
        (lambda: batches(read([[1.0]]), 1, num_epochs=-1), ValueError, "`num_epochs`"),
        (lambda: read("/dev/null"), ValueError, "a pipe or a device"),
        (lambda: read(5), TypeError, "of type int but a path"),
        (lambda: read([[1]], Tables), TypeError, r"`reader` is the class .*`Tables\("),
        (lambda: batches(read([[1.0]])), ValueError, "`batch_size` is None"),
        (lambda: batches(read([[1.0]]), 0), ValueError, "`batch_size` is 0"),
        (lambda: read([[1.5]], most_bytes=0).data, ValueError, "`fit_stream`"),
        (
            lambda: read(
                [[np.zeros((2, 3))], [np.zeros((2, 4))]], Batches(is_batched=False)
            ),
            ValueError,
            "examples differ",
        ),
        (lambda: read([(np.zeros((2, 3)),)], Batches(1)), ValueError, r"entries \[0\]"),
        (
            lambda: read([{"x": np.zeros((2, 3))}], Batches("y")),
            ValueError,
            r"entries \['x'\]",
        ),
    ],
)
def test_bad_values_are_refused_by_name(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_stream_takes_its_batches_as_they_come():
    x = np.arange(12.0).reshape(6, 2)
    once = read(x[i : i + 3] for i in (0, 3))
    assert [len(b.values) for b in batches(once)] == [3, 3]
    single = read(list(x), Batches(is_batched=False))
    assert [len(b.values) for b in batches(single, 4, num_epochs=2)] == [4, 2, 4, 2]


def test_a_late_gap_makes_a_mask_and_a_late_value_is_named():
    early, late = np.zeros((10_000, 1)), np.array([[np.nan], [1.0]])
    masks = [b.mask for b in batches(read([early, late], Batches()))]
    assert masks[0] is None
    np.testing.assert_array_equal(masks[1], [[False], [True]])
    examples = read([early, np.array([[0.0], [3.0]])], Batches())
    with pytest.raises(ValueError, match=r"3\.0 in row 1, .*'binary'"):
        list(batches(examples))


def test_numbers_beside_a_text_are_refused_until_the_text_is_a_gap():
    ages = np.array([*map(str, range(20, 40)), "?"])[:, None]
    with pytest.raises(ValueError, match=r"text '\?' beside numbers.*missing=\('\?'"):
        read(ages)
    assert read(ages, missing=("?",)).unit == Gaussian(1)
    found = read(ages, missing=("?",), kinds="counts")
    assert found.unit == Binomial(1, trials=39)
    assert found.data.mask is not None
    assert found.data.mask.sum() == 20
    np.testing.assert_array_equal(found.data.values[:20, 0], np.arange(20, 40))
    assert read(ages[-3:], like=found).data.mask.sum() == 2
    assert read(ages, kinds="categories").unit == Softmax(1, 21)
    # A few numbers beside a text may be the names of categories.
    assert read(np.array([["2"], ["4"], ["more"]])).unit == Softmax(1, 3)
    with pytest.raises(ValueError, match="'0,5', with a decimal comma"):
        read(np.array([["0,5"], ["1,25"], ["3"]]))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.tsv", "a\tone, two, three\n1\t2\n4\t5\n"),
        ("x.csv", "a,x;y;z\n1,2\n4,5\n"),
        ("x.csv", '"a\nb";c\np,q;r,s\nr,s;p,q\n'),
        ("x.csv", "5.5,6\n1,2\n4,5\n"),
        ("x.csv", "a,b\n1,2\n\n4,5"),
    ],
)
def test_the_separator_is_found_from_the_first_lines(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert len(read(tmp_path / name).encoding.names) == 2
