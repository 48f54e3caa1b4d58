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
from jboltz.base import Batch, Estimator, Params, State
from jboltz.checks import check_count
from jboltz.errors import Diverged, InvalidValue
from jboltz.learning.contrastive import PersistentContrastiveDivergence
from jboltz.learning.loop import as_pytree
from jboltz.learning.rows import unchanged
from jboltz.learning.step import TrainState, TrainStep, make_train_step
from jboltz.learning.stream import run_stack
from jboltz.samplers.draw import sample
from jboltz.samplers.gibbs import Gibbs
from jboltz.sklearn import programs
from jboltz.sklearn.attributes import attributes_of, record_from

FLOATS: Any = (np.float64, np.float32)
MOST_STATES = 2**14
"""log Z is exact if a layer has at most this many states."""

_MOST_STEPS = 64
_STACK_SIZE = 2**21  # numbers in a stack of batches: 8 MB
_BLOCK_SIZE = 2**20  # numbers in the rows of another program
_SHOWN_ROWS = 1000  # `verbose` measures the first rows


class BoltzmannEstimator(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, abc.ABC
):
    """A Boltzmann machine with scikit-learn's methods, trained by persistent chains.

    Batches are taken in the order of the rows, so shuffle sorted data first. A batch at
    the end of a call may be shorter. `partial_fit` is one pass over its rows: a loop
    over pieces of `batch_size` rows gives what one call on all rows gives. `fit` gives
    what `n_iter` calls give. Sparse matrices become dense one stack of batches at a
    time. Computation is in float32, and results have the dtype of the data.

    A subclass names its model and the function of a row (`programs.RowFunction`) that
    each method computes. Parameters are in the fitted attributes and may be set there.
    """

    _code: ClassVar[programs.RowFunction]
    _picture: ClassVar[programs.RowFunction]
    _gibbs: ClassVar[programs.RowFunction]
    _score_kinds: ClassVar[tuple[str, str]]  # with log Z exact, and for larger layers
    _accepts_nan: ClassVar[bool] = False

    components_: Any
    n_features_in_: int

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
    def _num_states(self) -> int | float:
        """The number of states that a sum for log Z has."""

    @abc.abstractmethod
    def score_samples(self, X) -> Any:
        """A number of each row: the better the model explains the row, the higher."""

    def fit(self, X, y=None):
        """Trains a new model with `n_iter` passes over the rows."""
        X = self._validated(X, reset=True)
        self._begin(X)
        self._run_passes(X)
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
        codes: Any = check_array(X, dtype=FLOATS, input_name="X")
        if codes.shape[1] != self._n_features_out:
            raise InvalidValue(
                f"`X` has {codes.shape[1]} columns but the model has "
                f"{self._n_features_out} hidden units; pass what `transform` returns."
            )
        rows = self._map(type(self)._picture, codes, rows_of=to_dense)
        return self._as_data(rows).astype(codes.dtype)

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
        return self._as_samples(np.asarray(rows[:, 0]), self._dtype)

    def score(self, X, y=None):
        """The mean of `score_samples`."""
        return float(np.mean(self.score_samples(X)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self._accepts_nan
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    # Data.

    def _validated(self, X, reset=False) -> Any:
        return validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=FLOATS,
            ensure_all_finite="allow-nan" if self._accepts_nan else True,
        )

    def _rows(self, X) -> Any:
        """Rows of data as the row functions and `_prepare` take them."""
        return to_dense(X)

    def _num_visible(self) -> int:
        """How many numbers a visible state has."""
        return self.n_features_in_

    def _mask(self, rows: Any) -> Any:
        """True at the values of training rows that are known; None if all are."""
        del rows

    def _prepare(self) -> Any:
        """The function that makes the values of a batch of rows, on the device."""
        return unchanged

    def _as_data(self, rows: np.ndarray) -> np.ndarray:
        """Visible states in the form of the data."""
        return rows

    def _as_samples(self, rows: np.ndarray, dtype: Any) -> np.ndarray:
        """Drawn visible states in the form and type of the data."""
        return self._as_data(rows).astype(dtype)

    def _map(self, function, X, *, rows_of=None, key=None, params=None, model=None):
        """`function` of each row, in blocks of one length, so that it compiles once."""
        rows_of = self._rows if rows_of is None else rows_of
        params = self._params() if params is None else params
        model = self._model if model is None else model
        key = jax.random.key(0) if key is None else key
        widest = max(X.shape[1], self._num_visible())
        size, parts = int(np.clip(_BLOCK_SIZE // widest, 8, 512)), []
        for first in range(0, X.shape[0], size):
            rows = rows_of(X[first : first + size])
            filled = jax.tree.map(lambda x: _fill(x, size), rows)
            found = programs.each_row(function, model, params, filled, key, first)
            parts.append(np.asarray(found)[: len(rows)])
        return np.concatenate(parts)

    def _stacks(self, X, rows_of) -> Iterator[tuple[Batch, int]]:
        """Stacks of batches, (steps, batch, …), of one shape; and how many to take.

        Args:
          rows_of: (slice) -> the training rows of this piece of `X`.
        """
        size = self.batch_size
        most = _STACK_SIZE // (size * self._num_visible())
        length = size * int(np.clip(most, 1, _MOST_STEPS))
        for first in range(0, X.shape[0], length):
            count = min(length, X.shape[0] - first)
            rows = rows_of(slice(first, first + count))
            # A short batch is filled with rows of weight 0, to compile nothing else.
            is_row = (np.arange(length) < count).reshape(-1, size)
            weights = is_row * (size / np.maximum(is_row.sum(1, keepdims=True), 1))
            batch = Batch(
                values=rows,
                weights=weights.ravel().astype(np.float32),
                mask=self._mask(rows),
            )
            stack = jax.tree.map(
                lambda x: _fill(x, length).reshape(-1, size, *x.shape[1:]), batch
            )
            yield stack, -(-count // size)

    # Training.

    def _check(self) -> None:
        """Refuses parameters of the constructor that cannot be used."""
        check_count("batch_size", self.batch_size, at_least=1)
        check_count("n_iter", self.n_iter, at_least=0)
        check_rate("learning_rate", self.learning_rate)

    def _begin(self, X) -> None:
        """A new model, with chains, before the first update."""
        self._check()
        self.random_state_ = check_random_state(self.random_state)
        self._seed = int(self.random_state_.randint(np.iinfo(np.int32).max))
        self._dtype = X.dtype
        self._model = self._make_model(X)
        self.score_kind_ = self._score_kinds[self._num_states() > MOST_STATES]
        key_params, key_chains, _ = random.split(jax.random.key(self._seed), 3)
        params = self._start_params(key_params, X)
        chains = programs.start_chains(self._estimator(), params, key_chains)
        self._store(params, chains)
        self.n_updates_ = 0

    def _start_params(self, key, X) -> Params:
        del X
        return programs.start_params(self._model, key, None)

    def _estimator(self) -> Estimator:
        model = self._model
        return PersistentContrastiveDivergence(model, Gibbs(model), self.batch_size)

    def _params(self) -> Params:
        """The record of parameters, from the fitted attributes."""
        return record_from(programs.params_like(self._model), vars(self))

    def _store(self, params: Params, chains: State) -> None:
        vars(self).update(attributes_of(params, self._dtype))
        self._chains = programs.to_host(chains)

    def _run_passes(self, X) -> None:
        for iteration in range(1, self.n_iter + 1):
            begin = time.perf_counter()
            self._pass(X)
            if self.verbose:
                name, value = self._progress(X[:_SHOWN_ROWS])
                print(
                    f"[{type(self).__name__}] Iteration {iteration}, {name} = "
                    f"{value:.2f}, time = {time.perf_counter() - begin:.2f}s"
                )

    def _progress(self, X) -> tuple[str, float]:
        """The name and the value that `verbose` prints."""
        error = (to_dense(X) - self.inverse_transform(self.transform(X))) ** 2
        return "reconstruction error", float(np.mean(error))

    def _pass(self, X) -> None:
        """Trains on each row once."""
        self._check()
        state = programs.start_state(
            programs.SGD,
            self._params(),
            self._chains,
            self.n_updates_,
            float(self.learning_rate),
        )
        _, _, key = random.split(jax.random.key(self._seed), 3)
        step = make_train_step(self._estimator(), programs.SGD)
        stacks = self._stacks(X, lambda piece: self._rows(X[piece]))
        state = train(step, state, stacks, self._prepare(), key)
        self._store(state.params, state.estimator_state)
        self.n_updates_ = int(state.step)

    def _next_key(self):
        return jax.random.key(int(self.random_state_.randint(np.iinfo(np.int32).max)))


class RealEstimator(BoltzmannEstimator):
    """An estimator for real features, whose learning rate has to be smaller.

    Means and variances of the visible units start at those of the first batch.
    """

    def __init__(
        self,
        n_components=256,
        *,
        learning_rate=0.01,
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

    def _start_params(self, key, X):
        rows = self._rows(X[: self.batch_size])
        return programs.start_params(self._model, key, rows)


def train(
    step: TrainStep, state: TrainState, stacks: Any, prepare: Any, key: Any
) -> TrainState:
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
            "finite ones; lower `learning_rate`, or scale the features, by "
            "`StandardScaler` for real units and by `MinMaxScaler` for binary ones."
        )
    return state


def check_rate(name: str, value: Any) -> None:
    """Refuses what is no positive number."""
    if not isinstance(value, int | float | np.number) or not 0 < value < np.inf:
        raise InvalidValue(
            f"`{name}` is {value!r} but needs to be a number above 0, such as 0.1."
        )


def to_dense(X: Any) -> np.ndarray:
    return np.asarray(X.toarray() if sparse.issparse(X) else X, np.float32)


def _fill(x: np.ndarray, length: int) -> np.ndarray:
    """`x` with rows of zeros after it."""
    if len(x) == length:
        return x
    filled = np.zeros((length, *x.shape[1:]), x.dtype)
    filled[: len(x)] = x
    return filled
