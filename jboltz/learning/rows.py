"""Rows of training data: values, weights and masks, checked on the host."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Key

from jboltz.abilities import DataModel, LayeredModel
from jboltz.base import Batch, Domain, State
from jboltz.checks import admit, check_rows, check_shape
from jboltz.domains import as_numbers
from jboltz.errors import InvalidType, InvalidValue
from jboltz.learning.batch import check_mask


def unchanged(values: State, key: Key[Array, ""]) -> State:
    """The `prepare` for data that are states already; bools become 0 and 1.

    Args:
      values: a batch of states.
      key: not used.
    """
    del key
    return jax.tree.map(_as_state, values)


def _as_state(values: Array) -> Array:
    if values.dtype == jnp.bool_:
        return values.astype(float)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise InvalidType(
            f"The data are {values.dtype} but a unit's states are floating point or "
            "bool, and integers may be images to be scaled; pass states as "
            "`data.astype(jnp.float32)`, and images as uint8 with a `prepare` that "
            "scales them, such as `LayerFeatures`."
        )
    return values


def take_rows(data: Batch, index: Any) -> Batch:
    """The rows at `index`, one index or an array of indices, of every leaf."""
    return jax.tree.map(lambda x: x[index], data)


def num_rows(data: Batch) -> int:
    """The number of examples, from the first array of the values."""
    return next(iter(np.shape(jax.tree.leaves(data.values)[0])), 0)


def rows_for(model: Any, data: Any, prepare: Any) -> Batch:
    """`data` as a batch, checked for `model` if `prepare` leaves the rows unchanged,
    and otherwise for `prepare` if that is a `RowChecker`."""
    if prepare is not unchanged:
        batch = as_batch(data)
        check_rows(prepare, batch.values)
        return batch
    batch = as_batch(data, model.domain if isinstance(model, DataModel) else None)
    if isinstance(model, LayeredModel):
        unit = model.units[0]
        row = jax.tree.map(_shape_of_row, batch.values)
        check_shape("data[0]", row, unit.shape, unit)
    return batch


def _shape_of_row(x: Array | np.ndarray) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape[1:], x.dtype)


def as_batch(data: Any, domain: Domain | None = None) -> Batch:
    """`data` as a batch with checked values (if `domain` is given), weights and mask.

    Raises:
      TypeError: values are not numbers.
      ValueError: values are outside the domain; weights or mask have another number of
        rows; a weight is negative or not finite, or all are 0.
    """
    if not isinstance(data, Batch):
        data = Batch(values=data)
    values = _as_array("data", data.values)
    weights, mask = _as_array("weights", data.weights), _as_array("mask", data.mask)
    if domain is not None:
        values = admit("data", values, domain, mask)
        for leaf in jax.tree.leaves(values):
            if np.ndim(leaf) < 2:
                raise InvalidValue(
                    f"`data` has shape {np.shape(leaf)} but training takes one example "
                    "per row, (num_examples, num_visible); pass `data[None]` if this "
                    "is one example."
                )
    data = Batch(values=values, weights=weights, mask=mask)
    shape, count = np.shape(jax.tree.leaves(data.values)[0]), num_rows(data)
    check_mask(data.mask)
    for name in ("values", "weights", "mask"):
        for leaf in jax.tree.leaves(getattr(data, name)):
            if np.shape(leaf)[:1] != shape[:1]:
                raise InvalidValue(
                    f"`{name}` has shape {np.shape(leaf)} but the data have "
                    f"{count} rows; give one entry for each row."
                )
    if data.weights is not None and not isinstance(data.weights, Tracer):
        _check_weights(np.asarray(data.weights))
    return data


def _as_array(name: str, x: Any) -> Any:
    return as_numbers(x, name) if isinstance(x, list) else x


def _check_weights(weights: np.ndarray) -> None:
    if weights.ndim != 1:
        raise InvalidValue(
            f"`weights` has shape {weights.shape} but an example has one weight; pass "
            f"an array of shape {weights.shape[:1]}."
        )
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InvalidValue(
            f"`weights` holds {weights[row]} in row {row} but a weight says how often "
            "an example counts, so it needs to be finite and at least 0; drop the row "
            "or give it 0."
        )
    if not weights.any():
        raise InvalidValue(
            f"`weights` holds {len(weights)} times 0 but training needs a row that "
            "counts; give one a positive weight, or pass no weights."
        )


def class_numbers(labels: Any, count: int, num_classes: int) -> np.ndarray:
    """`labels` as int32 class numbers, one for each of `count` examples.

    Raises:
      ValueError: labels are missing, not integers, not one per example, or out of
        range; or there are fewer examples than classes.
    """
    if labels is None:
        raise InvalidValue(
            "`labels` is None but a classifier needs the class of every example; pass "
            "integers from 0."
        )
    found = np.asarray(labels)
    if found.dtype.kind not in "iu":
        raise InvalidValue(
            f"`labels` has dtype {found.dtype} but classes are numbers from 0; pass "
            "integers."
        )
    if found.shape != (count,):
        raise InvalidValue(
            f"`labels` has shape {found.shape} but there are {count} examples; "
            f"pass one label for each, shape ({count},)."
        )
    if len(found) < num_classes:
        raise InvalidValue(
            f"`labels` has {len(found)} entries but there are {num_classes} classes; "
            "label at least one example of each."
        )
    if found.min() < 0 or found.max() >= num_classes:
        raise InvalidValue(
            f"`labels` runs from {found.min()} to {found.max()} but {num_classes} "
            f"classes are numbered 0 to {num_classes - 1}; renumber them, or raise "
            "`num_classes`."
        )
    return found.astype(np.int32)
