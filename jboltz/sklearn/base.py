"""What the estimators share: the protocol of scikit-learn, batches, and training."""

import abc
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jboltz import random
from jboltz.base import Batch, Estimator, Params
from jboltz.checks import check_count
from jboltz.errors import Diverged, InvalidValue
from jboltz.learning.contrastive import PersistentContrastiveDivergence
from jboltz.learning.loop import as_pytree
from jboltz.learning.rows import unchanged
from jboltz.learning.step import make_train_step
from jboltz.learning.stream import run_stack
from jboltz.samplers.draw import sample
from jboltz.samplers.gibbs import Gibbs
from jboltz.sklearn import programs

_MOST_STEPS = 64
_STACK_NUMBERS = 2**21  # numbers of a stack of batches, 8 MB in float32
_ROWS_NUMBERS = 2**20  # numbers of the rows of other programs
_SHOWN_ROWS = 1000  # `verbose` measures the first rows

FLOATS = (np.float64, np.float32)


class BoltzmannEstimator(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, abc.ABC
):
    """A Boltzmann machine with scikit-learn's methods, trained by persistent chains.

    Batches are taken in the order of the rows, and a batch at the end of a call may be
    shorter. A call of `partial_fit` is one pass over its rows; so a loop over pieces of
    `batch_size` rows gives what one call on all rows gives, and `fit` gives what
    `n_iter` calls give. Sparse matrices become dense one stack of batches at a time.
    Computation is in float32, and results have the dtype of the data.

    Subclasses say what the model is, where its parameters are kept, and which function
    of a row (`programs.RowFunction`) each method computes.
    """

    _code: ClassVar[programs.RowFunction]
    _picture: ClassVar[programs.RowFunction]
    _gibbs: ClassVar[programs.RowFunction]
    _accepts_nan: ClassVar[bool] = False

    def __init__(
        self,
        n_components=256,
        *,
        learning_rate=0.1,
        batch_size=10,
        n_iter=10,
        verbose=0,
        random_state=None,
    ):
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.verbose = verbose
        self.random_state = random_state

    @abc.abstractmethod
    def _make_model(self, X: Any) -> Any:
        """The spec of the model, for data that have been validated."""

    @abc.abstractmethod
    def _params(self) -> Params:
        """The record of parameters, from the fitted attributes."""

    @abc.abstractmethod
    def _set_params(self, params: Params) -> None:
        """Sets the fitted attributes, as arrays of NumPy in `self._dtype`."""

    @abc.abstractmethod
    def score_samples(self, X):
        """A number of each row: the better the model explains the row, the higher."""

    def _progress(self, X) -> tuple[str, float]:
        """The name and the value that `verbose` prints."""
        found = self.inverse_transform(self.transform(X))
        rows = X.toarray() if sparse.issparse(X) else X
        return "reconstruction error", float(np.mean((rows - found) ** 2))

    def fit(self, X, y=None):
        """Trains a new model with `n_iter` passes over the rows."""
        X = self._validated(X, reset=True)
        self._begin(X)
        self._run_passes(X, self.n_iter)
        return self

    def partial_fit(self, X, y=None):
        """Trains with one pass over the rows; the first call makes the model."""
        is_new = "n_updates_" not in vars(self)
        X = self._validated(X, reset=is_new)
        if is_new:
            self._begin(X)
        self._pass(X)
        return self

    def transform(self, X):
        """The mean of the hidden units given each row."""
        check_is_fitted(self)
        X = self._validated(X)
        return self._map(type(self)._code, X).astype(X.dtype)

    def inverse_transform(self, X):
        """The mean of the visible units given each row of hidden units."""
        check_is_fitted(self)
        X = check_array(X, dtype=FLOATS, input_name="X")
        if X.shape[1] != self._n_features_out:
            raise InvalidValue(
                f"`X` has {X.shape[1]} columns but there are {self._n_features_out} "
                "hidden units; pass what `transform` returns."
            )
        rows = self._map(type(self)._picture, X, self._dense)
        return self._as_data(rows).astype(X.dtype)

    def gibbs(self, v):
        """The rows after one step of Gibbs sampling; another call draws anew."""
        check_is_fitted(self)
        X = self._validated(v)
        rows = self._map(type(self)._gibbs, X, key=self._next_key())
        return self._as_samples(rows, X.dtype)

    def sample(self, n_samples=1, *, n_steps=1000):
        """Rows drawn from the model, each by a chain of `n_steps` Gibbs steps."""
        check_is_fitted(self)
        _, rows, _ = sample(
            self._model,
            self._params(),
            self._next_key(),
            warm_up=jnp.asarray(check_count("n_steps", n_steps, at_least=1) - 1),
            num_chains=check_count("n_samples", n_samples, at_least=1),
        )
        return self._as_samples(np.asarray(rows[0]), self._dtype)

    def score(self, X, y=None):
        """The mean of `score_samples`."""
        return float(np.mean(self.score_samples(X)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self._accepts_nan
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # Data.

    def _validated(self, X, reset=False):
        finite = "allow-nan" if self._accepts_nan else True
        options = {"accept_sparse": "csr", "dtype": FLOATS, "ensure_all_finite": finite}
        return validate_data(self, X, reset=reset, **options)

    def _rows(self, X) -> Any:
        """Rows of data as the row functions and `_prepare` take them."""
        return self._dense(X)

    def _dense(self, X) -> np.ndarray:
        rows = X.toarray() if sparse.issparse(X) else X
        return np.asarray(rows, np.float32)

    def _num_visible(self) -> int:
        """How many numbers a visible state has."""
        return self.n_features_in_

    def _mask(self, rows: Any) -> Any:
        """True at the values of training rows that are known; None if all are."""
        del rows

    def _as_data(self, rows: np.ndarray) -> np.ndarray:
        """Visible states in the form of the data."""
        return rows

    def _as_samples(self, rows: np.ndarray, dtype: Any) -> np.ndarray:
        """Drawn visible states in the form and type of the data."""
        return self._as_data(rows).astype(dtype)

    def _map(
        self, function, X, rows_of=None, key=None, params=None, model=None
    ) -> np.ndarray:
        """`function` of each row, in blocks of one length, so that it compiles once."""
        model = self._model if model is None else model
        rows_of = self._rows if rows_of is None else rows_of
        params = self._params() if params is None else params
        key = jax.random.key(0) if key is None else key
        widest = max(X.shape[1], self._num_visible())
        size = int(np.clip(_ROWS_NUMBERS // widest, 8, 512))
        parts = []
        for first in range(0, X.shape[0], size):
            rows = rows_of(X[first : first + size])
            padded = jax.tree.map(lambda x: _pad(x, size), rows)
            found = programs.each_row(function, model, params, padded, key, first)
            parts.append(np.asarray(found)[: len(jax.tree.leaves(rows)[0])])
        return np.concatenate(parts)

    def _stacks(self, X, rows_of=None) -> Iterator[tuple[Batch, int]]:
        """Stacks of batches, (steps, batch, …), of one shape; and how many are full.

        A short batch is filled with rows of weight 0.

        Args:
          rows_of: a function of a slice, by default `_rows` of this piece of `X`.
        """
        size = self.batch_size
        most = _STACK_NUMBERS // (size * self._num_visible())
        length = size * int(np.clip(most, 1, _MOST_STEPS))
        for first in range(0, X.shape[0], length):
            piece = slice(first, first + length)
            rows = self._rows(X[piece]) if rows_of is None else rows_of(piece)
            count = len(jax.tree.leaves(rows)[0])
            is_row = (np.arange(length) < count).reshape(-1, size)
            share = size / np.maximum(is_row.sum(1, keepdims=True), 1)
            stack = Batch(values=rows, mask=self._mask(rows))
            stack = jax.tree.map(
                lambda x: _pad(x, length).reshape(-1, size, *x.shape[1:]), stack
            )
            weights = (is_row * share).astype(np.float32)
            batches = Batch(values=stack.values, weights=weights, mask=stack.mask)
            yield batches, -(-count // size)

    # Training.

    def _check(self) -> None:
        """Refuses parameters of the constructor that cannot be used."""
        for name, least in (("batch_size", 1), ("n_iter", 0)):
            check_count(name, getattr(self, name), at_least=least)
        check_rate("learning_rate", self.learning_rate)

    def _begin(self, X) -> None:
        """A new model, with chains, before the first update."""
        self._check()
        self.random_state_ = check_random_state(self.random_state)
        self._seed = int(self.random_state_.randint(np.iinfo(np.int32).max))
        self._dtype = X.dtype
        self._model = self._make_model(X)
        key_params, key_chains, _ = random.split(jax.random.key(self._seed), 3)
        params = self._start_params(key_params)
        chains = programs.start_chains(self._estimator(), params, key_chains)
        self._store(params, chains)
        self.n_updates_ = 0

    def _start_params(self, key) -> Params:
        return programs.start_params(self._model, key)

    def _estimator(self) -> Estimator:
        model = self._model
        return PersistentContrastiveDivergence(model, Gibbs(model), self.batch_size)

    def _prepare(self) -> Any:
        """The function of rows, on the device, that makes the values of a batch."""
        return unchanged

    def _store(self, params, chains) -> None:
        self._set_params(params)
        self._chains = programs.to_host(chains)

    def _run_passes(self, X, count) -> None:
        for iteration in range(1, count + 1):
            begin = time.perf_counter()
            self._pass(X)
            if self.verbose:
                name, value = self._progress(X[:_SHOWN_ROWS])
                print(
                    f"[{type(self).__name__}] Iteration {iteration}, {name} = "
                    f"{value:.2f}, time = {time.perf_counter() - begin:.2f}s"
                )

    def _pass(self, X) -> None:
        """Trains on each row once."""
        self._check()
        params = self._params()
        state = programs.start_state(
            params,
            programs.start_optimizer(programs.SGD, params),
            self._chains,
            self.n_updates_,
            float(self.learning_rate),
        )
        _, _, key = random.split(jax.random.key(self._seed), 3)
        step = make_train_step(self._estimator(), programs.SGD)
        state = train(step, state, self._stacks(X), self._prepare(), key)
        self._store(state.params, state.estimator_state)
        self.n_updates_ = int(state.step)

    def _next_key(self):
        return jax.random.key(int(self.random_state_.randint(np.iinfo(np.int32).max)))


def train(step, state, stacks, prepare, key):
    """The state after the batches of all stacks; update t draws from fold_in(key, t).

    Raises:
      FloatingPointError: a parameter is NaN or infinite.
    """
    step, prepare = as_pytree(step), as_pytree(prepare)
    first, is_finite = int(state.step), []
    for stack, count in stacks:
        state, _, finite = run_stack(step, state, stack, prepare, key, first, count)
        first += count
        is_finite.append(finite)
    if not all(map(bool, is_finite)):
        raise Diverged(
            f"Parameters are NaN or infinite after {first} updates, but training needs "
            "finite ones; lower `learning_rate`, or scale the features, such as by "
            "`StandardScaler` in front of real units and `MinMaxScaler` of binary ones."
        )
    return state


def check_rate(name: str, value: Any) -> None:
    """Refuses what is no positive number."""
    if not isinstance(value, int | float | np.number) or not 0 < value < np.inf:
        raise InvalidValue(
            f"`{name}` is {value!r} but needs to be a number above 0, such as 0.1."
        )


def device(x: Any) -> Any:
    """`x` on the device, in the float type that JAX computes in."""
    return jnp.asarray(x, jnp.result_type(float))


def _pad(x: np.ndarray, length: int) -> np.ndarray:
    """`x` with rows of zeros after it."""
    if len(x) == length:
        return x
    padded = np.zeros((length, *x.shape[1:]), x.dtype)
    padded[: len(x)] = x
    return padded
