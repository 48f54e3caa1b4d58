"""Restricted Boltzmann machines of categories, such as ratings, with missing values."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from jboltz.errors import InvalidValue
from jboltz.learning.imputed import MissingDataEstimator
from jboltz.models.rbm import RBM
from jboltz.sklearn import programs
from jboltz.sklearn.rbm import RBMEstimator
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.softmax import Softmax, SoftmaxParams

_FILLING_STEPS = 10
_ABSENT = -30.0
"""The bias of categories that a column lacks: they have a probability of 1e-13."""


@dataclasses.dataclass(frozen=True)
class FromCodes:
    """A `prepare` that turns codes into one-hot sites; a code of −1 becomes zeros."""

    num_categories: int

    def __call__(self, codes, key):
        del key
        return jax.nn.one_hot(codes, self.num_categories)


def filled(model, params, codes):
    """One-hot sites of the codes, with the means of missing sites, by mean field."""
    is_gap = (codes < 0)[:, None]
    known = jax.nn.one_hot(codes, model.visible.num_categories)
    start = jnp.where(is_gap, jax.nn.softmax(params.visible.bias, axis=1), known)
    count = jnp.where(jnp.any(is_gap), _FILLING_STEPS, 0)

    def step(_, v):
        h = model.mean_hidden_state(params, v)
        return jnp.where(is_gap, model.mean_visible_state(params, h), known)

    return jax.lax.fori_loop(0, count, step, start)


def _of_codes(function, model, params, codes, key):
    return function(model, params, filled(model, params, codes), key)


def _pseudo_log_likelihood(model, params, codes, key):
    del key
    v = filled(model, params[0], codes)
    terms = programs.site_log_probabilities(model, params, v)
    return jnp.sum(jnp.where(codes < 0, 0, terms))


class CategoricalRBM(RBMEstimator):
    """An RBM of categories, one of several per column, with binary hidden units.

    A column holds codes 0, 1, …, such as `OrdinalEncoder` makes, and NaN where a value
    is missing. With `encoding="one-hot"` each category has a column, as from
    `OneHotEncoder`, and a missing value is a row of zeros. Training draws missing
    values from the model. Elsewhere they are filled with their means, and a score, the
    pseudo-log-likelihood for every size, sums over the known values.

    The parameters that are not listed here are those of `BernoulliRBM`.

    Parameters
    ----------
    n_categories : int, array of one int per categorical column, or None
        None takes the largest code of the first call plus one, column by column.
    encoding : "codes" or "one-hot"
    """

    _code = staticmethod(partial(_of_codes, programs.mean_hidden))
    _gibbs = staticmethod(partial(_of_codes, programs.gibbs_step))
    _pseudo = staticmethod(_pseudo_log_likelihood)
    _score_kinds = "pseudo-log-likelihood", "pseudo-log-likelihood"
    _accepts_nan = True

    def __init__(
        self,
        n_components=256,
        *,
        n_categories=None,
        encoding="codes",
        learning_rate=0.1,
        batch_size=10,
        n_iter=10,
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            n_components,
            learning_rate=learning_rate,
            batch_size=batch_size,
            n_iter=n_iter,
            verbose=verbose,
            random_state=random_state,
        )
        self.n_categories = n_categories
        self.encoding = encoding

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.positive_only = True
        return tags

    def _make_model(self, X):
        self.n_categories_ = self._count_categories(X)
        most = max(2, int(self.n_categories_.max()))
        return RBM(Softmax(len(self.n_categories_), most), Bernoulli(self.n_components))

    def _count_categories(self, X):
        """The number of categories of each categorical column."""
        if self.encoding not in ("codes", "one-hot"):
            raise InvalidValue(
                f"`encoding` is {self.encoding!r} but needs to be 'codes' or 'one-hot'."
            )
        given, columns = self.n_categories, X.shape[1]
        is_one_hot = self.encoding == "one-hot"
        if given is None and is_one_hot:
            raise InvalidValue(
                "`n_categories` is None but one-hot columns do not say where a group "
                "begins; pass the number of categories of each group."
            )
        if given is None:
            is_sparse = sparse.issparse(X)
            most = X.nanmax(axis=0).toarray() if is_sparse else np.fmax.reduce(X)
            return np.fmax(np.ravel(most), 0).astype(int) + 1
        counts = np.atleast_1d(given)
        if np.ndim(given) == 0:
            sites = columns // given if is_one_hot else columns
            counts = np.full(sites, given)
        total = counts.sum() if is_one_hot else len(counts)
        if total != columns or counts.dtype.kind not in "iu" or counts.min() < 1:
            raise InvalidValue(
                f"`n_categories` is {given!r}, for {total} columns, but `X` has "
                f"{columns} and a count is a whole number from 1; pass one count for "
                "all columns, or one for each."
            )
        return counts

    def _start_params(self, key, X):
        params = super()._start_params(key, X)
        is_absent = (
            np.arange(self._model.visible.num_categories)
            >= (self.n_categories_[:, None])
        )
        bias = jnp.where(is_absent, _ABSENT, params.visible.bias)
        return params.replace(visible=SoftmaxParams(bias=bias))

    def _num_visible(self):
        return self._model.visible.size

    def _rows(self, X):
        """Codes, with −1 where a value is missing."""
        values = X.toarray() if sparse.issparse(X) else X
        if self.encoding == "one-hot":
            return self._codes_of_groups(np.nan_to_num(values))
        is_gap = np.isnan(values)
        codes = np.where(is_gap, 0, values)
        self._refuse(values, codes < 0, "Negative values in data: ")
        self._refuse(values, (codes >= self.n_categories_) | (codes % 1 != 0))
        return np.where(is_gap, -1, codes).astype(np.int32)

    def _refuse(self, values, is_wrong, what=""):
        if not is_wrong.any():
            return
        row, column = np.argwhere(is_wrong)[0]
        names = vars(self).get("feature_names_in_")
        name = column if names is None else repr(names[column])
        raise InvalidValue(
            f"{what}`X` has {values[row, column]} in column {name} but the codes of "
            "this column are the whole numbers from 0 to "
            f"{self.n_categories_[column] - 1}, or NaN for a missing value; encode it "
            "by `OrdinalEncoder`, which can make unknown categories NaN, or raise "
            "`n_categories`."
        )

    def _codes_of_groups(self, values):
        counts = self.n_categories_
        starts = np.cumsum(counts) - counts
        total = np.add.reduceat(values, starts, axis=1)
        is_binary = (values == 0) | (values == 1)
        is_wrong = ~np.minimum.reduceat(is_binary, starts, axis=1) | (total > 1)
        if is_wrong.any():
            row, site = np.argwhere(is_wrong)[0]
            columns = slice(starts[site], starts[site] + counts[site])
            raise InvalidValue(
                f"`X` has {values[row, columns].tolist()} in the columns from "
                f"{columns.start} to {columns.stop - 1} but one-hot columns have a "
                "single 1, or zeros alone for a missing value; encode them by "
                "`OneHotEncoder`, or pass codes."
            )
        places = np.arange(values.shape[1]) - np.repeat(starts, counts)
        codes = np.add.reduceat(values * places, starts, axis=1)
        return np.where(total == 0, -1, codes).astype(np.int32)

    def _mask(self, rows):
        return rows >= 0 if (rows < 0).any() else None

    def _prepare(self):
        return FromCodes(self._model.visible.num_categories)

    def _estimator(self):
        return MissingDataEstimator(super()._estimator())

    def _as_data(self, rows):
        """The most probable codes, or the probabilities of one-hot columns."""
        if self.encoding == "codes":
            return rows.argmax(axis=2)
        parts = [rows[:, i, :count] for i, count in enumerate(self.n_categories_)]
        return np.concatenate(parts, axis=1)
