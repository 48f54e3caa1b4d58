"""Restricted Boltzmann machines of categories, such as ratings, with missing values."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from jboltz.base import Batch
from jboltz.errors import InvalidValue
from jboltz.learning.imputed import MissingDataEstimator
from jboltz.models.rbm import RBM
from jboltz.sklearn import programs
from jboltz.sklearn.base import estimator
from jboltz.sklearn.rbm import RBMEstimator, site_terms
from jboltz.units.softmax import Softmax, SoftmaxParams

_FILLING_STEPS = 10
_MOST_CATEGORIES = 2**16
"""A column of more has 64 MB of weights, for 256 hidden units."""
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

    def step(_, v):
        h = model.mean_hidden_state(params, v)
        return jnp.where(is_gap, model.mean_visible_state(params, h), known)

    start = jnp.where(is_gap, jax.nn.softmax(params.visible.bias, axis=1), known)
    count = jnp.where(jnp.any(is_gap), _FILLING_STEPS, 0)
    return jax.lax.fori_loop(0, count, step, start)


def mean_hidden(model, params, codes):
    return model.mean_hidden_state(params, filled(model, params, codes))


def gibbs_step(model, params, codes, seed):
    return programs.gibbs_step(model, params, filled(model, params, codes), seed)


def pseudo_log_likelihood(model, params, codes):
    """The sum over known sites."""
    terms = site_terms(model, params, filled(model, params[0], codes))
    return jnp.sum(jnp.where(codes < 0, 0, terms))


@estimator
class CategoricalRBM(RBMEstimator):
    """An RBM of categories, one of several per column, with binary hidden units.

    A column holds codes 0, 1, …, such as `OrdinalEncoder` makes, and NaN where a value
    is missing; or each category has a column, as from `OneHotEncoder`, and a missing
    value is zeros alone. Training draws missing values from the model. Elsewhere they
    are filled with their means, and a score, the pseudo-log-likelihood for every size,
    sums over the known values.

    The parameters that are not listed here are those of `BernoulliRBM`.

    Parameters
    ----------
    n_categories : list of int or None
        The number of categories of each variable. Data with as many columns as
        variables are codes, and data with a column for each category are one-hot. None
        is for codes, and counts from 0 to the largest code of the first call.
    """

    _: dataclasses.KW_ONLY
    n_categories: Any = None

    _encode = staticmethod(mean_hidden)
    _gibbs = staticmethod(gibbs_step)
    _pseudo = staticmethod(pseudo_log_likelihood)
    _accepts_nan = True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.positive_only = True
        return tags

    def _make_model(self, X):
        self.n_categories_ = self._count_categories(X)
        self._is_one_hot = X.shape[1] != len(self.n_categories_)
        blocks = (self._rows(X[i : i + 512]) for i in range(0, X.shape[0], 512))
        if not any((codes >= 0).any() for codes in blocks):
            raise InvalidValue(
                f"`X` has {X.shape[0]} rows without a known value but training needs "
                "some; see whether the encoder knows these categories."
            )
        most = max(2, int(self.n_categories_.max()))
        return RBM(Softmax(len(self.n_categories_), most), self._hidden)

    def _count_categories(self, X):
        """The number of categories of each variable."""
        given, columns = self.n_categories, X.shape[1]
        if given is None:
            is_sparse = sparse.issparse(X)
            most = X.nanmax(axis=0).toarray() if is_sparse else np.fmax.reduce(X)
            counts = np.fmax(np.ravel(most), 0) + 1
            self._check_most("X", counts.max())
            return counts.astype(int)
        counts = np.atleast_1d(given)
        is_count = counts.dtype.kind in "iu" and counts.min() > 0
        if not is_count or columns not in (len(counts), counts.sum()):
            raise InvalidValue(
                f"`n_categories` is {given!r} and `X` has {columns} columns, but a "
                "variable has at least 1 category, and a column for its code or a "
                "column for each category; pass one count for each variable."
            )
        self._check_most("n_categories", counts.max())
        return counts

    def _check_most(self, name, most):
        if most > _MOST_CATEGORIES:
            raise InvalidValue(
                f"`{name}` makes {most:.0f} categories of a column but at most "
                f"{_MOST_CATEGORIES} have room in memory; make codes 0, 1, … by "
                "`OrdinalEncoder`, and bins of measurements by `KBinsDiscretizer`."
            )

    @property
    def score_kind_(self):
        return "pseudo-log-likelihood"

    def _parts(self):
        (part,) = super()._parts()
        estimator = MissingDataEstimator(part.estimator)
        return [dataclasses.replace(part, estimator=estimator)]

    def _prepare(self, below):
        return FromCodes(self.model_.visible.num_categories)

    def _start_params(self, part, key, X):
        params = super()._start_params(part, key, X)
        bias: Any = np.array(params.visible.bias)
        bias[np.arange(bias.shape[1]) >= self.n_categories_[:, None]] = _ABSENT
        return params.replace(visible=SoftmaxParams(bias=bias))

    def _batch(self, X, y):
        codes = self._rows(X)
        mask = codes >= 0
        return Batch(values=codes, mask=None if mask.all() else mask)

    def _rows(self, X) -> Any:
        """Codes, with −1 where a value is missing."""
        values = X.toarray() if sparse.issparse(X) else X
        counts = self.n_categories_
        if self._is_one_hot:
            return self._codes_of_groups(np.nan_to_num(values))
        is_gap = np.isnan(values)
        codes = np.where(is_gap, 0, values)
        is_negative = codes < 0
        is_other = (codes >= counts) | (codes % 1 != 0)
        is_wrong = is_negative if is_negative.any() else is_other
        if is_wrong.any():
            row, column = np.argwhere(is_wrong)[0]
            names = vars(self).get("feature_names_in_", np.arange(len(counts)))
            what = "Negative values in data: " if is_negative.any() else ""
            raise InvalidValue(
                f"{what}`X` has {values[row, column]} in column {names[column]} but "
                f"the codes of this column are 0 to {counts[column] - 1}, or NaN for a "
                "missing value; encode it by `OrdinalEncoder`, which can make unknown "
                "categories NaN, or raise `n_categories`."
            )
        return np.where(is_gap, -1, codes).astype(np.int32)

    def _codes_of_groups(self, values):
        counts = self.n_categories_
        starts = np.cumsum(counts) - counts
        total = np.add.reduceat(values, starts, axis=1)
        is_binary = np.logical_and.reduceat((values == 0) | (values == 1), starts, 1)
        is_one_hot = is_binary & (total <= 1)
        if not is_one_hot.all():
            row, site = np.argwhere(~is_one_hot)[0]
            first, stop = starts[site], starts[site] + counts[site]
            raise InvalidValue(
                f"`X` has {values[row, first:stop].tolist()} in the columns from "
                f"{first} to {stop - 1} but one-hot columns have a single 1, or zeros "
                "alone for a missing value; encode them by `OneHotEncoder`."
            )
        places = np.arange(values.shape[1]) - np.repeat(starts, counts)
        codes = np.add.reduceat(values * places, starts, axis=1)
        return np.where(total == 0, -1, codes).astype(np.int32)

    def _as_data(self, rows):
        """The most probable codes, or the probabilities of one-hot columns."""
        if not self._is_one_hot:
            return rows.argmax(axis=2)
        is_present = np.arange(rows.shape[2]) < self.n_categories_[:, None]
        return rows[:, is_present]
