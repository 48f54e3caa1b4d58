"""What the estimators share: the protocol of scikit-learn, batches, and training."""

import abc
import dataclasses
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jboltz import random
from jboltz.base import Batch, Params
from jboltz.checks import check_count, check_number, check_params
from jboltz.errors import InvalidValue
from jboltz.learning.contrastive import PersistentContrastiveDivergence
from jboltz.learning.rows import unchanged
from jboltz.learning.step import Prepare
from jboltz.samplers.draw import sample
from jboltz.samplers.gibbs import Gibbs
from jboltz.sklearn import programs
from jboltz.sklearn.programs import Part, RowFunction
from jboltz.sklearn.rows import blocks, is_binary, is_outside, to_dense

_Class = TypeVar("_Class")

FLOATS: Any = (np.float64, np.float32)

_MOST_SEED = np.iinfo(np.int32).max
_MOST_STEPS = 64
_STACK_SIZE = 2**21  # numbers in a stack of batches: 8 MB
_BLOCK_SIZE = 2**20  # numbers in the rows of another program
_MOST_ROWS = 2**16
"""A batch of `partial_fit` has at most so many rows, or as many as its first call."""
_SHOWN_ROWS = 1000  # `verbose` measures the first rows


@dataclass_transform(eq_default=False)
def estimator(cls: type[_Class]) -> type[_Class]:
    """Makes a class whose fields are the parameters of its constructor.

    They are of any type, since scikit-learn asks `fit`, not the constructor, to check
    them.
    """
    return dataclasses.dataclass(eq=False, repr=False)(cls)


@estimator
class BoltzmannEstimator(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, abc.ABC
):
    """A Boltzmann machine with scikit-learn's methods, trained by persistent chains.

    Batches are taken in the order of the rows, so shuffle sorted data first. A batch at
    the end of a call may be shorter, and in `fit` none is larger than all rows.
    `partial_fit` is one pass over its rows: a loop over pieces of `batch_size` rows
    gives what one call on all rows gives. `fit` makes `n_iter` passes. Sparse matrices
    become dense one stack of batches at a time. Computation is in float32, and results
    have the dtype of the data.

    A fitted estimator has its spec in `model_` and its parameters in `params_`, for all
    functions of jboltz, such as `jboltz.save(path, rbm.model_, rbm.params_)`.

    A subclass names its model and what `transform` and `inverse_transform` compute.
    """

    _encode: ClassVar[RowFunction]
    _decode: ClassVar[RowFunction]
    _gibbs: ClassVar[RowFunction] = staticmethod(programs.gibbs_step)
    _accepts_nan: ClassVar[bool] = False

    _: dataclasses.KW_ONLY
    learning_rate: Any = 0.1
    batch_size: Any = 10
    n_iter: Any = 10
    verbose: Any = 0
    random_state: Any = None

    @abc.abstractmethod
    def _make_model(self, X: Any) -> Any:
        """The spec of the model, for data that have been validated."""

    @property
    @abc.abstractmethod
    def _n_features_out(self) -> int:
        """The number of hidden units that `transform` returns."""

    @abc.abstractmethod
    def score_samples(self, X) -> Any:
        """A number of each row: the better the model explains the row, the higher."""

    def fit(self, X, y=None):
        """Trains a new model with `n_iter` passes over the rows."""
        return self._fit(self._validated(X, reset=True), None)

    def partial_fit(self, X, y=None):
        """Trains with one pass over the rows; the first call makes the model."""
        return self._partial_fit(self._validated(X, reset=self._is_new), None)

    def transform(self, X):
        """The mean of the hidden units given each row."""
        check_is_fitted(self)
        X = self._validated(X)
        return self._map(self._encode, X).astype(X.dtype)

    def inverse_transform(self, X):
        """The mean of the visible units given each row of hidden units."""
        check_is_fitted(self)
        codes: Any = check_array(X, dtype=FLOATS, input_name="X")
        if codes.shape[1] != self._n_features_out:
            raise InvalidValue(
                f"`X` has {codes.shape[1]} columns but the model has "
                f"{self._n_features_out} hidden units; pass what `transform` returns."
            )
        return self._as_data(self._pictures(codes)).astype(codes.dtype)

    def gibbs(self, v):
        """The rows after one step of Gibbs sampling; another call draws anew."""
        check_is_fitted(self)
        X = self._validated(v)
        seeds = self.random_state_.randint(_MOST_SEED, size=X.shape[0], dtype=np.int32)
        rows = self._map(self._gibbs, X, seeds)
        return self._as_data(rows).astype(X.dtype)

    def sample(self, n_samples=1, *, n_steps=1000):
        """Rows drawn from the model, each by a chain of `n_steps` Gibbs steps."""
        check_is_fitted(self)
        _, rows, _ = sample(
            self.model_,
            jax.tree.map(jnp.asarray, self.params_),
            jax.random.key(self.random_state_.randint(_MOST_SEED)),
            warm_up=jnp.asarray(check_count("n_steps", n_steps, at_least=1) - 1),
            num_chains=check_count("n_samples", n_samples, at_least=1),
        )
        return self._as_data(np.asarray(rows[:, 0])).astype(self._dtype)

    def score(self, X, y=None):
        """The mean of `score_samples`."""
        return float(np.mean(self.score_samples(X)))

    @property
    def params_(self) -> Params:
        """The parameters, a record of jboltz with arrays of NumPy; it can be set."""
        return self._params

    @params_.setter
    def params_(self, params: Params) -> None:
        check_is_fitted(self)
        check_params(self.model_, params)
        for index, own in enumerate(self._layers(params)):
            own = jax.tree.map(lambda x: np.asarray(x, np.float32), own)
            self._states[index] = dataclasses.replace(self._states[index], params=own)

    @property
    def _params(self) -> Params:
        return self._states[0].params

    def _layers(self, params: Params) -> Sequence[Params]:
        """The parameters of each part, of all of them."""
        return (params,)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self._accepts_nan
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # Data.

    def _scored(self, scores, X) -> np.ndarray:
        """`scores` in the dtype of `X`, NaN for rows that binary units cannot have."""
        if is_binary(self.model_):
            scores = np.where(is_outside(X), np.nan, scores)
        return scores.astype(X.dtype)

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
        """Rows of data as the row functions take them."""
        return to_dense(X)

    def _batch(self, X, y) -> Batch:
        """Rows to train on."""
        return Batch(values=self._rows(X))

    def _as_data(self, rows: np.ndarray) -> np.ndarray:
        """Visible states in the form of the data."""
        return rows

    def _map(
        self, function: RowFunction, X, *more, model=None, params=None, rows_of=None
    ) -> np.ndarray:
        """`function` of each row, and of the entry of each of `more` beside it.

        Rows go in blocks of one length, so that the function compiles once.
        """
        model = self.model_ if model is None else model
        params = self.params_ if params is None else params
        length = int(np.clip(_BLOCK_SIZE // X.shape[1], 8, 512))

        def given(piece):
            return ((rows_of or self._rows)(X[piece]), *(x[piece] for x in more))

        found = [
            np.asarray(programs.each_row(function, model, params, *rows))[:count]
            for rows, count in blocks(X.shape[0], length, given)
        ]
        return np.concatenate(found)

    def _pictures(self, codes) -> np.ndarray:
        """The visible means of each row of hidden units."""
        return self._map(self._decode, codes, rows_of=to_dense)

    # Training.

    @property
    def _is_new(self) -> bool:
        return not vars(self).get("_states")

    def _parts(self) -> list[Part]:
        """What is trained, bottom first."""
        return [self._part(self.model_)]

    def _part(self, model) -> Part:
        """An RBM that is trained by persistent chains, with the usual parameters."""
        pcd = PersistentContrastiveDivergence(model, Gibbs(model), self._batch_size)
        return Part(
            estimator=pcd,
            learning_rate=check_rate("learning_rate", self.learning_rate),
            num_passes=check_count("n_iter", self.n_iter, at_least=0),
        )

    def _prepare(self, below: list[Params]) -> Prepare:
        """The function that makes the values of a batch of rows, on the device.

        Args:
          below: the parameters of the parts below the one that is trained.
        """
        return unchanged

    def _start_params(self, part: Part, key: jax.Array, X) -> Params:
        """The parameters of the next part before its first update."""
        return programs.start_params(part.estimator.model, key)

    def _fit(self, X, y):
        """Trains the parts one after the other."""
        self._begin(X, most=X.shape[0])
        for index, part in enumerate(self._parts()):
            self._start(part, X)
            for iteration in range(1, part.num_passes + 1):
                begin = time.perf_counter()
                self._train([index], X, y)
                if self.verbose:
                    name, value = self._progress(X[:_SHOWN_ROWS])
                    print(
                        f"[{type(self).__name__}] Iteration {iteration}, {name} = "
                        f"{value:.2f}, time = {time.perf_counter() - begin:.2f}s"
                    )
        return self

    def _partial_fit(self, X, y):
        """Trains all parts on each batch, the lower ones first."""
        if self._is_new:
            self._begin(X, most=max(X.shape[0], _MOST_ROWS))
            for part in self._parts():
                self._start(part, X)
        self._train(range(len(self._states)), X, y)
        return self

    def _begin(self, X, most: int) -> None:
        """Makes a new model, whose batches have at most `most` rows."""
        size = check_count("batch_size", self.batch_size, at_least=1)
        self._batch_size = min(size, most)
        self.random_state_ = check_random_state(self.random_state)
        self._seed = int(self.random_state_.randint(_MOST_SEED))
        self._dtype = X.dtype
        self.model_ = self._make_model(X)
        self._states = []
        if is_binary(self.model_) and is_outside(X).any():
            warnings.warn(
                f"`X` has values from {X.min()} to {X.max()} but binary units take "
                "values in [0, 1]: training goes on, and the score of a row outside is "
                "NaN; put `MinMaxScaler(clip=True)` in front, or take "
                "`GaussianBernoulliRBM` for real features.",
                stacklevel=4,
            )

    def _start(self, part: Part, X) -> None:
        """Adds the state of the next part before its first update."""
        key_params, key_chains, _ = self._keys(len(self._states))
        params = self._start_params(part, key_params, X)
        state = programs.start_state(params, part.estimator, part.optimizer, key_chains)
        self._states.append(programs.to_host(state))

    def _train(self, indices: Sequence[int], X, y) -> None:
        """Trains these parts on each row once."""
        states = [
            programs.continue_state(state, part.learning_rate)
            for state, part in zip(self._states, self._parts(), strict=False)
        ]
        most_steps = _MOST_STEPS if len(indices) == 1 else 1
        for stack, count in self._stacks(X, y, most_steps):
            for i in indices:
                prepare = self._prepare([state.params for state in states[:i]])
                part, (_, _, key) = self._parts()[i], self._keys(i)
                states[i] = programs.train(part, states[i], stack, count, prepare, key)
        self._states = programs.to_host(states)

    def _stacks(self, X, y, most_steps: int) -> Iterator[tuple[Batch, int]]:
        """Stacks of batches, (steps, batch, …), of one shape; and how many to take."""
        size = self._batch_size
        steps = int(np.clip(_STACK_SIZE // (size * X.shape[1]), 1, most_steps))

        def rows_of(piece):
            return self._batch(X[piece], None if y is None else y[piece])

        for rows, count in blocks(X.shape[0], steps * size, rows_of):
            # A short batch is filled with rows of weight 0, to compile nothing else.
            is_row = (np.arange(steps * size) < count).reshape(steps, size)
            weights = is_row * (size / np.maximum(is_row.sum(1, keepdims=True), 1))
            weights = weights.ravel().astype(np.float32)
            batch = Batch(values=rows.values, weights=weights, mask=rows.mask)
            stack = jax.tree.map(lambda x: x.reshape(steps, size, *x.shape[1:]), batch)
            yield stack, -(-count // size)

    def _progress(self, X) -> tuple[str, float]:
        """The name and the value that `verbose` prints."""
        error = (self._rows(X) - self._pictures(self._map(self._encode, X))) ** 2
        return "reconstruction error", float(np.mean(error))

    def _keys(self, index: int) -> jax.Array:
        """The keys of the parameters, the chains and the updates of a part."""
        return random.split(random.fold_in(jax.random.key(self._seed), index), 3)


@estimator
class RealEstimator(BoltzmannEstimator):
    """An estimator for real features, whose learning rate has to be smaller.

    Means and variances of the visible units start at those of the first batch.
    """

    _: dataclasses.KW_ONLY
    learning_rate: Any = 0.01

    def _start_params(self, part, key, X):
        return programs.start_params(
            self.model_, key, self._rows(X[: self._batch_size])
        )


def check_rate(name: str, value: Any) -> float:
    check_number(name, value, 1e-9, 1e3)
    return float(value)
