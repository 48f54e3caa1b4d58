"""Categories: codes and one-hot columns, missing values, and what is refused."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder

from jboltz.errors import InvalidValue
from jboltz.sklearn import CategoricalRBM

COUNTS = [2, 3, 4]
OPTIONS = {"n_categories": COUNTS, "batch_size": 4, "n_iter": 2, "random_state": 0}


def codes(with_gaps=True):
    rng = np.random.default_rng(0)
    X = rng.integers(0, COUNTS, (18, 3)).astype(float)
    if with_gaps:
        X[rng.uniform(size=X.shape) < 0.2] = np.nan
    return X


def one_hot(X):
    encoder = OneHotEncoder(
        categories=[np.arange(count) for count in COUNTS], handle_unknown="ignore"
    )
    return encoder.fit(np.zeros((1, 3))).transform(X)


def test_codes_and_one_hot_columns_are_the_same_data():
    X = codes()
    by_code = CategoricalRBM(3, **OPTIONS).fit(X)
    by_column = CategoricalRBM(3, **OPTIONS).fit(one_hot(X))
    np.testing.assert_array_equal(by_code.components_, by_column.components_)
    H = by_code.transform(X)
    np.testing.assert_array_equal(H, by_column.transform(one_hot(X)))
    means = by_column.inverse_transform(H)
    assert means.shape == (18, 9)
    np.testing.assert_allclose(means[:, :2].sum(axis=1), 1, rtol=1e-5)
    best = means[:, 5:].argmax(axis=1)
    np.testing.assert_array_equal(by_code.inverse_transform(H)[:, 2], best)


def test_gaps_are_filled_by_what_the_model_expects():
    X = np.tile([[0.0, 0.0], [1.0, 1.0]], (50, 1))
    model = CategoricalRBM(4, n_iter=100, random_state=0).fit(X)
    known = np.array([[0.0, np.nan], [1.0, np.nan]])
    filled = model.inverse_transform(model.transform(known))
    np.testing.assert_array_equal(filled, [[0, 0], [1, 1]])


def test_a_score_sums_over_known_values():
    model = CategoricalRBM(15, **OPTIONS).fit(codes())
    gaps = np.full((1, 3), np.nan)
    assert model.pseudo_log_likelihood(gaps) == 0


def test_complete_rows_train_as_without_the_mask():
    X = codes(with_gaps=False)
    one = CategoricalRBM(3, **OPTIONS).fit(X)
    other = CategoricalRBM(3, **OPTIONS)
    # The second half has gaps, so that the first stack alone is equal.
    other.partial_fit(X).partial_fit(codes())
    assert (one.components_ != other.components_).any()
    assert np.isfinite(other.components_).all()


@pytest.mark.parametrize("as_sparse", [sparse.csr_array, sparse.csc_array])
def test_sparse_codes_are_counted(as_sparse):
    model = CategoricalRBM(3, n_iter=0).fit(as_sparse(codes(with_gaps=False)))
    assert model.n_categories_.tolist() == COUNTS


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "Negative values in data: `X` has -1.0 in column 1"),
        (3, "`X` has 3.0 in column 1 but .* 0 to 2, or NaN"),
        (0.5, "`X` has 0.5 in column 1"),
    ],
)
def test_other_codes_are_refused(value, message):
    model = CategoricalRBM(3, **OPTIONS).fit(codes())
    X = codes()
    X[7, 1] = value
    with pytest.raises(InvalidValue, match=message):
        model.transform(X)
    with pytest.raises(InvalidValue, match=message):
        CategoricalRBM(3, **OPTIONS).fit(X)


@pytest.mark.parametrize(
    ("X", "counts", "message"),
    [
        (np.full((20, 3), np.nan), None, "20 rows without a known value"),
        (np.full((20, 3), np.nan), COUNTS, "20 rows without a known value"),
        (sparse.csr_array((20, 9)), COUNTS, "20 rows without a known value"),
        (1e9 * codes(), None, "`X` makes 3000000001 categories of a column"),
        (1e300 * codes(), None, "categories of a column but at most 65536"),
    ],
)
def test_data_without_values_or_with_too_many_are_refused(X, counts, message):
    with pytest.raises(InvalidValue, match=message):
        CategoricalRBM(3, n_categories=counts).fit(X)


@pytest.mark.parametrize("value", [0.5, -1, 2])
def test_other_one_hot_columns_are_refused(value):
    X = one_hot(codes(with_gaps=False)).toarray()
    X[4, 2:5] = [value, 0, 1]
    with pytest.raises(InvalidValue, match="in the columns from 2 to 4"):
        CategoricalRBM(3, **OPTIONS).fit(X)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([2, 3], r"`n_categories` is \[2, 3\] and `X` has 3 columns"),
        ([2, 3, 0], "at least 1 category"),
        (["two", "three", "four"], "one count for each variable"),
        ([10**9] * 3, "makes 1000000000 categories of a column but"),
    ],
)
def test_bad_counts_of_categories_are_refused(counts, message):
    with pytest.raises(InvalidValue, match=message):
        CategoricalRBM(3, n_categories=counts).fit(codes())
