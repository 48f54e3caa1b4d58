"""Domains: the sets of possible states of a unit.

A domain checks arrays on the host, says how many states a site has, and numbers them.
This module does not need JAX, like the readers of data.
"""

import abc
import dataclasses
import math
from typing import Any

import numpy as np

from jboltz.errors import InvalidType, InvalidValue

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_BLOCK = 1 << 17  # numbers that are checked together, few enough to fit a cache


class ArrayDomain(abc.ABC):
    """The domain of an array of like sites: numbers, or rows along its last axis.

    For a domain of your own, derive a frozen dataclass and define what has no value.
    """

    name: str
    num_states: int | float
    """How many states a site has, or infinity."""
    bounds: tuple[float, float]
    """The smallest and the largest number in the array."""
    needs: str  # the condition on a site, as a clause of an error message
    remedy: str  # the advice for an array that breaks it, as a clause too
    near_misses: tuple[tuple[float, float, str], ...] = ()
    """(low, high, remedy): a special remedy for numbers between low and high."""
    is_interval: bool = False
    """Whether training takes every number between the bounds."""
    is_count: bool = False  # whether uint8 arrays are counts and not images
    site_axes: int = 0
    """How many of the last axes are one site."""
    parts: tuple[()] = ()

    @abc.abstractmethod
    def values(self, digits: Any) -> Any:
        """The states with these numbers from 0: integers of NumPy or JAX."""

    @abc.abstractmethod
    def holds(self, array: np.ndarray) -> np.ndarray:
        """Which sites of a finite array have a value that training takes."""

    def __str__(self) -> str:
        return self.name

    @property
    def leaves(self) -> tuple["ArrayDomain", ...]:
        return (self,)

    @property
    def is_binary(self) -> bool:
        return (self.site_axes, self.num_states, self.bounds) == (0, 2, (0.0, 1.0))

    def count(self, shape: tuple[int, ...]) -> int | float:
        return self.num_states ** math.prod(self.site_shape(shape))

    def state_at(self, shape: tuple[int, ...], number: Any) -> tuple[Any, Any]:
        sites, base = self.site_shape(shape), int(self.num_states)
        length = math.prod(sites)
        powers = np.asarray([base**i for i in range(length)])
        digits = (number // powers % base).reshape(sites)
        return self.values(digits), number // base**length

    def site_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape with one entry per site of an array of `shape`."""
        return tuple(shape[: len(shape) - self.site_axes])

    def spread(self, mask: Any, shape: tuple[int, ...]) -> Any:
        """Broadcasts a mask with one entry per site to `shape`; leaves others alone."""
        sites = self.site_shape(shape)
        column = (*sites, *(1,) * self.site_axes)
        if not self.site_axes or mask.shape not in (sites, column):
            return mask
        site = (*(1,) * len(sites), *shape[len(sites) :])
        return mask.reshape(column) & np.ones(site, bool)

    def admit(self, values: Any, name: str, mask: Any = None) -> np.ndarray:
        """`values`, checked, as an array of states: of floats or bools.

        Integers become float32, and class numbers, (examples, sites), one-hot states.
        uint8 images are refused where an interval is expected.

        Args:
          values: anything that `np.asarray` takes.
          name: the name of `values` in error messages.
          mask: True where values count; elsewhere they may be anything.

        Raises:
          TypeError: `values` are not numbers.
          ValueError: a number is not finite, or a site is outside the domain.
        """
        array = as_numbers(values, name)
        is_whole = array.dtype.kind in "iu"
        may_be_numbers = self.site_axes and is_whole and array.ndim == 2
        is_state = array.shape[-1:] == (self.num_states,)  # of one example
        if may_be_numbers and not (is_state and self.holds(array).all()):
            if mask is not None and np.shape(mask) == array.shape:
                array = np.where(mask, array, 0)
            is_number = (array >= 0) & (array < self.num_states)
            if not is_number.all():
                self._refuse(array, ~is_number, name)
            array, is_whole = self.values(array).astype(bool), False
        self.check(array, name, mask)
        if array.dtype == np.uint8 and self.is_interval:
            raise InvalidValue(
                f"`{name}` is uint8, pixels from 0 to 255 as stored, but states of the "
                f"domain '{self}' are needed; scale or standardise them as for "
                f"training, such as `{name} / np.float32(255)`, train with a `prepare` "
                "such as `LayerFeatures`, or binarise them by `binarise_once`."
            )
        dtype = np.float32 if is_whole else array.dtype.newbyteorder("=")
        return array.astype(dtype, copy=False)

    def check(self, array: np.ndarray, name: str, mask: Any = None) -> None:
        """Refuses numbers that are not finite and sites that training does not take.

        uint8 images pass where an interval is expected; training divides them by 255.

        Raises:
          ValueError: the message names the first such site and the remedy.
        """
        if self.site_axes and array.shape[-1:] != (self.num_states,):
            raise InvalidValue(
                f"`{name}` has shape {array.shape} but its last axis needs the length "
                f"{self.num_states}: {self.advice(name)}."
            )
        if mask is not None:
            mask = self.spread(np.asarray(mask), array.shape)
            any_state = self.values(np.asarray(0)).astype(array.dtype)
            try:
                array = np.where(mask, array, any_state)
            except ValueError as error:
                raise InvalidValue(
                    f"`{name}` has shape {array.shape} but its mask, or `clamp`, "
                    f"has {mask.shape}; mark every number, or every site."
                ) from error
        if array.size == 0:
            return
        array = np.atleast_1d(array)
        rows = max(1, _BLOCK * len(array) // array.size)
        blocks = [array[i : i + rows] for i in range(0, len(array), rows)]
        # NaN and infinities survive min and max, so valid data need no other check.
        with np.errstate(invalid="ignore"):
            ends = [(block.min(), block.max()) for block in blocks]
            low, high = float(np.min(ends)), float(np.max(ends))
        if not (math.isfinite(low) and math.isfinite(high)):
            is_odd = ~np.isfinite(array)
            raise InvalidValue(
                f"`{name}` has {np.count_nonzero(is_odd)} NaN or infinite values, "
                f"the first in {_first(is_odd, 'column')[1]}, but every value "
                "must be finite; drop those examples or fill the gaps."
            )
        if array.dtype == np.uint8 and self.bounds == (0, 1) and high == 1:
            raise InvalidValue(
                f"`{name}` is uint8 with the values 0 and 1 only, but uint8 is read as "
                "pixels from 0 to 255, which would make every image black; pass binary "
                f"data as bool: `{name}.astype(bool)`."
            )
        if self.is_interval:
            blocks = [] if array.dtype == np.uint8 else [np.asarray(ends, float)]
        if not all(self.holds(block).all() for block in blocks):
            self._refuse(array, ~self.holds(array), name)

    def _refuse(self, array: np.ndarray, is_bad: np.ndarray, name: str) -> None:
        index, place = _first(is_bad, "site" if self.site_axes else "unit")
        low, high = float(array.min()), float(array.max())
        raise InvalidValue(
            f"`{name}` ({array.dtype}) has {array[index].tolist()} in {place}, and "
            f"values from {low} to {high}, but {self.advice(name, low, high)}."
        )

    def advice(self, name: str, low: float = -math.inf, high: float = math.inf) -> str:
        """The need, and the remedy for an array with values from `low` to `high`."""
        misses = self.near_misses
        fitting = (text for least, most, text in misses if least <= low <= high <= most)
        text = f"{self.needs}; {next(fitting, self.remedy)}"
        return text.format(name=name, highest=int(self.bounds[1]))


class _Interval(ArrayDomain):
    """All numbers between two bounds."""

    num_states = math.inf
    is_interval = True

    def values(self, digits: Any) -> Any:
        return digits

    def holds(self, array: np.ndarray) -> np.ndarray:
        return (array >= self.bounds[0]) & (array <= self.bounds[1])


@dataclasses.dataclass(frozen=True)
class UnitInterval(_Interval):
    """States 0 and 1. Training also takes values between, as probabilities of a 1."""

    name = "unit interval"
    num_states = 2
    bounds = (0.0, 1.0)
    needs = "binary units take numbers in [0, 1]"
    near_misses = (
        (-1e-6, 1 + 1e-6, "this is a rounding error, so clip it: `{name}.clip(0, 1)`"),
        (
            0,
            255,
            "divide by the largest value, for 8-bit images `{name} / 255`, or pass "
            "uint8 with a `prepare` that scales, such as `LayerFeatures`; or take "
            "`Binomial` units for counts, and `Gaussian` ones for real numbers",
        ),
    )
    remedy = (
        "shift and scale it, for example (x - x.min()) / (x.max() - x.min()), or "
        "take `Gaussian` units for real numbers and `Spin` units for -1 and 1"
    )


@dataclasses.dataclass(frozen=True)
class Reals(_Interval):
    """Every real number in the range of a float32."""

    name = "real"
    bounds = (-_FLOAT32_MAX, _FLOAT32_MAX)
    needs = "float32 holds no such numbers"
    remedy = (
        "scale it down, or standardise it by "
        "`standardize(fit_standardizer({name}), {name})`"
    )


@dataclasses.dataclass(frozen=True)
class NonNegative(_Interval):
    """Every real number from 0 up."""

    name = "non-negative"
    bounds = (0.0, _FLOAT32_MAX)
    needs = "non-negative units take float32 numbers from 0 up"
    remedy = (
        "shift it, `{name} - {name}.min()`, or take `Gaussian` units for numbers "
        "of both signs"
    )


@dataclasses.dataclass(frozen=True)
class Spins(ArrayDomain):
    """−1 or 1."""

    name = "spin"
    num_states = 2
    bounds = (-1.0, 1.0)
    needs = "spins are exactly -1 or 1"
    remedy = (
        "make 0 and 1 into spins by `2.0 * {name} - 1`, or take `Bernoulli` units "
        "for 0 and 1, and `Gaussian` ones for real numbers"
    )

    def values(self, digits: Any) -> Any:
        return 2 * digits - 1

    def holds(self, array: np.ndarray) -> np.ndarray:
        return np.abs(array) == 1


@dataclasses.dataclass(frozen=True)
class Counts(ArrayDomain):
    """Whole numbers from 0 to `highest`."""

    highest: int

    needs = "counts are whole numbers from 0 to {highest}"
    is_count = True
    near_misses = ((0, 1, "make gray values counts by `np.round({highest} * {name})`"),)
    remedy = (
        "round them, `np.round({name})`, give `Binomial` as many `trials` as the "
        "largest count, or take `Gaussian` units for real numbers"
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"counts to {self.highest}")
        object.__setattr__(self, "num_states", self.highest + 1)
        object.__setattr__(self, "bounds", (0.0, float(self.highest)))

    def values(self, digits: Any) -> Any:
        return digits

    def holds(self, array: np.ndarray) -> np.ndarray:
        return (array >= 0) & (array <= self.highest) & (array == np.floor(array))


@dataclasses.dataclass(frozen=True)
class OneHot(ArrayDomain):
    """A single 1 among zeros along the last axis, which is `num_categories` long."""

    num_categories: int

    name = "one-hot"
    bounds = (0.0, 1.0)
    needs = "one-hot needs a single 1 among zeros, or class numbers from 0"
    remedy = (
        "make class numbers (num_examples, sites) one-hot by "
        "`np.eye(num_categories)[{name}]`, or give flat rows their sites by "
        "`{name}.reshape(len({name}), -1, num_categories)`"
    )
    site_axes = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_states", self.num_categories)

    def values(self, digits: Any) -> Any:
        categories = np.arange(self.num_categories)
        categories = categories.reshape((1,) * digits.ndim + (-1,))
        return (digits[..., None] == categories).astype(digits.dtype)

    def holds(self, array: np.ndarray) -> np.ndarray:
        return (np.count_nonzero(array, axis=-1) == 1) & (array.max(axis=-1) == 1)


@dataclasses.dataclass(frozen=True)
class Product:
    """The domain of a state that is a tuple: one domain for each part."""

    parts: tuple[Any, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.parts))

    @property
    def leaves(self) -> tuple[ArrayDomain, ...]:
        return tuple(leaf for part in self.parts for leaf in part.leaves)

    @property
    def is_binary(self) -> bool:
        return False

    def count(self, shape: tuple[Any, ...]) -> int | float:
        pairs = zip(self.parts, shape, strict=True)
        return math.prod(part.count(inner) for part, inner in pairs)

    def state_at(self, shape: tuple[Any, ...], number: Any) -> tuple[Any, Any]:
        states = []
        for part, inner in zip(self.parts, shape, strict=True):
            state, number = part.state_at(inner, number)
            states.append(state)
        return tuple(states), number


def as_numbers(values: Any, name: str) -> np.ndarray:
    """`values` as a NumPy array of a numeric type, without a copy where possible.

    Raises:
      TypeError: `values` are strings, objects, complex numbers or dates.
      ValueError: rows differ in length, or `values` is a masked array.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise InvalidValue(
            f"`{name}` is a masked array but values and mask are separate here; pass "
            f"`Batch(values={name}.filled(0), mask=~np.ma.getmaskarray({name}))` to a "
            "`MissingDataEstimator`, or fill the gaps."
        )
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InvalidValue(
            f"`{name}` cannot be read as one array ({error}) but every example needs "
            "the same number of features; pad or drop the odd ones."
        ) from error
    except (RuntimeError, TypeError) as error:  # a tensor of PyTorch
        raise InvalidType(
            f"`{name}` is of type {type(values).__name__} and cannot be read as an "
            f"array ({error}); pass `tensor.detach().cpu()` of a tensor of PyTorch, "
            "and `.float()` of one in bfloat16."
        ) from error
    # `can_cast` and not `dtype.kind`: JAX's bfloat16 is of kind "V" to NumPy.
    if array.dtype.kind not in "biuf" and not np.can_cast(array.dtype, np.float32):
        raise InvalidType(
            f"`{name}` has dtype {array.dtype} (from {type(values).__name__}) but "
            "Boltzmann machines need numbers; convert it to float32, to bool, or to "
            "uint8 for images from 0 to 255."
        )
    return array


def _first(is_bad: np.ndarray, what: str) -> tuple[tuple[int, ...], str]:
    """The index of the first True, and its description; the first axis is rows."""
    index = tuple(int(i) for i in np.unravel_index(np.argmax(is_bad), is_bad.shape))
    row, within = index[:-1][:1], index[1:] or index
    last = within[0] if len(within) == 1 else within
    return index, ", ".join([*(f"row {i}" for i in row), f"{what} {last}"])
