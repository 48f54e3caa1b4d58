"""Kinds of columns, such as counts or categories, each with the unit that fits.

A kind says which values it takes, what it has to learn from training data, and how
values become states. Values are (examples, features).
"""

import abc
import dataclasses
from typing import Any, ClassVar

import numpy as np

from jboltz.base import Unit
from jboltz.domains import OneHot
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.binomial import Binomial
from jboltz.units.gaussian import Gaussian
from jboltz.units.softmax import Softmax
from jboltz.units.spin import Spin

MOST_COUNT = 20
"""Larger whole numbers look real: a draw of `Binomial` costs one uniform per trial."""


@dataclasses.dataclass(frozen=True)
class Kind(abc.ABC):
    """What columns of one kind are. `known` is what `learn` returned for a column."""

    word: ClassVar[str]
    needs: ClassVar[str]  # what a value is, for messages

    @abc.abstractmethod
    def holds(self, x: np.ndarray, known: Any = None) -> np.ndarray:
        """Which values are of this kind, and known of the column."""

    @abc.abstractmethod
    def unit(self, size: int, known: Any) -> Unit:
        """The visible unit for `size` features."""

    def looks_so(self, x: np.ndarray, num_features: int) -> bool:
        """Whether a column with these observed values is likely of this kind."""
        del num_features
        return bool(self.holds(x).all())

    def learn(self, x: np.ndarray, mask: np.ndarray) -> Any:
        """What has to be known of a column, from its values where `mask` is True."""
        del x, mask

    def share(self, known: list[Any]) -> list[Any]:
        """What is known of each column, where all of them have one unit if they can."""
        return known

    def encode(self, x: np.ndarray, known: Any) -> np.ndarray:
        """States, (examples, features, …)."""
        del known
        return x.astype(np.float32)

    def decode(self, states: np.ndarray, known: Any) -> np.ndarray:
        """Values, (examples, features), of states or of their means."""
        del known
        return states

    def log_volume(self, states: np.ndarray, known: Any) -> np.ndarray:
        """log |∂ value / ∂ state| of each row of a column: what the log density of its
        values is below that of its states."""
        del known
        return np.zeros(len(states))


class Binary(Kind):
    word, needs = "binary", "0 or 1"

    def holds(self, x: np.ndarray, known: Any = None) -> np.ndarray:
        return (x == 0) | (x == 1)

    def unit(self, size: int, known: Any) -> Unit:
        return Bernoulli(size)

    def encode(self, x: np.ndarray, known: Any) -> np.ndarray:
        return x == 1


class Spins(Kind):
    word, needs = "spins", "-1 or 1"

    def holds(self, x: np.ndarray, known: Any = None) -> np.ndarray:
        return (x == -1) | (x == 1)

    def unit(self, size: int, known: Any) -> Unit:
        return Spin(size)


class Gray(Kind):
    """Probabilities of a 1, as numbers in [0, 1] or as bytes from 0 to 255."""

    word, needs = "gray", "a number in [0, 1], or all are whole ones from 0 to 255"

    def holds(self, x: np.ndarray, known: Any = None) -> np.ndarray:
        largest = known or (255 if (x == np.floor(x)).all() else 1)
        return (x >= 0) & (x <= largest)

    def looks_so(self, x: np.ndarray, num_features: int) -> bool:
        is_image = x.dtype == np.uint8 or x.max() in (1, 255) or x.max() < 1
        return bool(num_features > 1 and is_image and self.holds(x).all())

    def learn(self, x: np.ndarray, mask: np.ndarray) -> int:
        return 255 if x[mask].max() > 1 else 1

    def unit(self, size: int, known: Any) -> Unit:
        return Bernoulli(size)

    def encode(self, x: np.ndarray, known: Any) -> np.ndarray:
        return x.astype(np.float32) / np.float32(known)

    def decode(self, states: np.ndarray, known: Any) -> np.ndarray:
        return states * known


class Counts(Kind):
    word, needs = "counts", "a whole number from 0 to the largest of the training data"

    def holds(self, x: np.ndarray, known: Any = None) -> np.ndarray:
        return (x >= 0) & (x == np.floor(x)) & (x <= (known or np.inf))

    def looks_so(self, x: np.ndarray, num_features: int) -> bool:
        return bool(self.holds(x, MOST_COUNT).all())

    def learn(self, x: np.ndarray, mask: np.ndarray) -> int:
        return max(1, int(x[mask].max()))

    def share(self, known: list[int]) -> list[int]:
        return [max(known)] * len(known)

    def unit(self, size: int, known: Any) -> Unit:
        return Binomial(size, trials=known)


class Reals(Kind):
    """Real numbers, standardised feature by feature."""

    word, needs = "reals", "a finite number from -1e150 to 1e150"

    def holds(self, x: np.ndarray, known: Any = None) -> np.ndarray:
        # Squares of larger numbers overflow.
        return np.abs(np.asarray(x, np.float64)) <= 1e150

    def learn(self, x: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = np.maximum(mask.sum(axis=0), 1)
        mean = np.sum(x, axis=0, where=mask, dtype=np.float64) / count
        squares = np.sum((x - mean) ** 2, axis=0, where=mask, dtype=np.float64)
        scale = np.sqrt(squares / count)
        # A constant column is shifted to 0 and left alone.
        return mean, np.where(scale > 1e-7 * np.abs(mean), scale, 1.0)

    def unit(self, size: int, known: Any) -> Unit:
        return Gaussian(size)

    def encode(self, x: np.ndarray, known: Any) -> np.ndarray:
        mean, scale = known
        return ((x - mean) / scale).astype(np.float32)

    def decode(self, states: np.ndarray, known: Any) -> np.ndarray:
        mean, scale = known
        return states * scale + mean

    def log_volume(self, states: np.ndarray, known: Any) -> np.ndarray:
        return np.full(len(states), np.log(known[1]).sum())


class Positive(Reals):
    """Positive numbers with a long tail, such as incomes. Their logarithms are
    standardised, so that no number drawn is negative."""

    word, needs = "positive", "a finite number above 0"

    def holds(self, x: np.ndarray, known: Any = None) -> np.ndarray:
        return (x > 0) & super().holds(x)

    def looks_so(self, x: np.ndarray, num_features: int) -> bool:
        return False  # It is the user who knows of the tail.

    def learn(self, x: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return super().learn(np.log(np.where(mask, x, 1)), mask)

    def encode(self, x: np.ndarray, known: Any) -> np.ndarray:
        # A gap is 0 here, and any number will do for it.
        return super().encode(np.log(np.where(x > 0, x, 1)), known)

    def decode(self, states: np.ndarray, known: Any) -> np.ndarray:
        return np.exp(super().decode(states, known))

    def log_volume(self, states: np.ndarray, known: Any) -> np.ndarray:
        logarithms = super().decode(states, known).sum(axis=1)
        return super().log_volume(states, known) + logarithms


class Categories(Kind):
    word, needs = "categories", "one of the categories of the training data"

    def holds(self, x: np.ndarray, known: Any = None) -> np.ndarray:
        if known is not None:
            return np.isin(x, known)
        return np.ones(x.shape, bool) if x.dtype.kind in "US" else x == np.floor(x)

    def learn(self, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.unique(x[mask])

    def unit(self, size: int, known: Any) -> Unit:
        return Softmax(size, len(known))

    def encode(self, x: np.ndarray, known: Any) -> np.ndarray:
        order = np.argsort(known)
        place = np.searchsorted(known[order], x).clip(0, len(known) - 1)
        return OneHot(len(known)).values(order[place]).astype(bool)

    def decode(self, states: np.ndarray, known: Any) -> np.ndarray:
        return known[states.argmax(axis=2)]


_ORDERED = (Binary(), Spins(), Gray(), Counts(), Reals(), Positive(), Categories())
KINDS = {kind.word: kind for kind in _ORDERED}
"""By word. A column is of the first kind that it looks like."""
