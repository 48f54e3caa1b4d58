"""Greedy pretraining, layer by layer."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz import random
from jboltz.abilities import TwoLayerModel
from jboltz.base import Params, State, Unit
from jboltz.checks import check_callable, check_key, require
from jboltz.choices import Features
from jboltz.errors import InvalidType, InvalidValue
from jboltz.learning.step import Prepare
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.rbm import RBM
from jboltz.units.composite import Joined

Stack = tuple[Params, ...]
"""Parameters of the layers trained so far, bottom first."""


@dataclasses.dataclass(frozen=True)
class LayerFeatures:
    """A `prepare` that turns rows of data into training data of the last of `layers`.

    uint8 images are scaled to [0, 1], unless the bottom units are counts. They pass up
    through the layers below. If the visible units of the last layer are binary, they
    are drawn with the result as means. Rows may be pairs (images, one-hot labels);
    `Joined` visible units then get the labels too. `features` is one of:

    - "means": E[h | v] of the gray values, layer by layer, then a binary draw.
    - "samples": a binary draw of the pixels, then a sample of every layer.
    - "probabilities": as "means", without the draw, as in Hinton's program. It has
      less noise, which helps a classifier, but biases p(v) of binary data.

    Example i draws from `fold_in(key, i)`.

    Args:
      layers: the RBMs from the bottom to the one that is trained.
      features: how data pass through a layer, one of the three above.
    """

    layers: tuple[RBM, ...]
    features: Features = "means"

    def __post_init__(self) -> None:
        layers = self.layers if isinstance(self.layers, tuple) else (self.layers,)
        for index, layer in enumerate(layers):
            require(layer, TwoLayerModel, "a stack of layers", f"layers[{index}]")
        object.__setattr__(self, "layers", layers)
        if self.features not in get_args(Features):
            raise InvalidValue(
                f"`features` is {self.features!r} but needs to be one of "
                f"{get_args(Features)}."
            )

    def __call__(self, below: Stack, rows: State, key: Key[Array, ""]) -> State:
        """The values of a batch, given the parameters of the layers below."""
        images, *beside = rows if isinstance(rows, tuple) else (rows,)
        keys = random.fold_in_rows(key, images)
        encode = jax.vmap(self._encode, in_axes=(None, 0, 0, 0))
        bottom = _from_below(self.layers[0]).domain
        if any(domain.is_count for domain in bottom.leaves):
            is_float = jnp.issubdtype(images.dtype, jnp.floating)
            images = images if is_float else images.astype(jnp.float32)
        else:
            images = unit_interval(images)
        return encode(below, images, tuple(beside), keys)

    def _encode(
        self, below: Stack, v: State, beside: tuple[State, ...], key: Key[Array, ""]
    ) -> State:
        *lower, top = self.layers
        if self.features != "samples":
            for layer, params in zip(lower, below, strict=True):
                v = layer.mean_hidden_state(params, _fill(layer, v, beside))
            if self.features == "means":
                v = _binarise(top, v, key)
            return _fill(top, v, beside)
        key_pixels, key_layers = random.split(key)
        v = _binarise(self.layers[0], v, key_pixels)
        for index, (layer, params) in enumerate(zip(lower, below, strict=True)):
            key_layer = random.fold_in(key_layers, index)
            v = layer.sample_hidden(params, _fill(layer, v, beside), key_layer)
        return _fill(top, v, beside)


def greedy(
    layers: Sequence[RBM],
    key: Key[Array, ""],
    *,
    fit_layer: Callable[[int, Prepare, Key[Array, ""]], Params],
    features: Features = "means",
    done: Stack = (),
    on_layer: Callable[[int, Stack], None] | None = None,
) -> Stack:
    """Trains a stack of RBMs one by one, from the bottom.

    Layer i draws from `fold_in(key, i)`, so a run continues bit for bit with the
    finished layers as `done`.

    Args:
      layers: the RBMs, bottom first, as in `DBN.layers`.
      key: the key of the run.
      fit_layer: `(index, prepare, key) -> params` trains one layer. `prepare` turns
        rows of the data into values for this layer; pass it to `fit` or `fit_stream`.
      features: how data pass through a layer, see `LayerFeatures`.
      done: the parameters of the first layers, if they are trained already.
      on_layer: called as `(index, stack)` after each layer.

    Returns:
      The parameters of each layer.

    Reference:
      Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief nets.
    """
    check_key(key)
    check_callable("fit_layer", fit_layer, "(index, prepare, key) -> params")
    stack = tuple(done)
    for index in range(len(stack), len(layers)):
        spec = LayerFeatures(tuple(layers[: index + 1]), features)
        # `Partial` makes parameters arguments of the program, not constants in it.
        prepare = jax.tree_util.Partial(spec, stack)
        params = fit_layer(index, prepare, random.fold_in(key, index))
        stack = (*stack, params)
        if on_layer is not None:
            on_layer(index, stack)
    return stack


def grow(
    dbm: DBM,
    params: DBMParams,
    *,
    fit_lower: Callable[[RBM | DBM, Params], Params],
) -> DBMParams:
    """Trains models of the first 2, 3, … layers of `dbm`, up to all but the last.

    Each starts from the model before it, with one more layer at its weights in
    `params`. If these are small, the model starts nearly unchanged.

    Args:
      fit_lower: `(model, start) -> params` trains one model, an RBM first, then DBMs.
    """
    for depth in range(2, len(dbm.units)):
        lower = RBM(*dbm.units[:2]) if depth == 2 else DBM(dbm.units[:depth])
        start = lower.from_parts(params.units[:depth], params.weights[: depth - 1])
        units, weights = lower.parts(fit_lower(lower, start))
        params = dbm.from_parts(
            (*units, *params.units[depth:]), (*weights, *params.weights[depth - 1 :])
        )
    return params


def unit_interval(rows: Array) -> Array:
    """Images as floats: uint8 is divided by 255, bools become 0 and 1, floats stay.

    Raises:
      TypeError: the dtype is another one, whose scale is not known.
    """
    if rows.dtype == jnp.uint8:
        return rows.astype(jnp.float32) / 255
    if rows.dtype == jnp.bool_:
        return rows.astype(jnp.float32)
    if not jnp.issubdtype(rows.dtype, jnp.floating):
        raise InvalidType(
            f"The data are {rows.dtype} but must be uint8 images, 0 to 255, bools or "
            "floats; convert them to one of the three."
        )
    return rows


def _fill(layer: RBM, v: State, beside: tuple[State, ...]) -> State:
    """`v` as a visible state of `layer`: repeated for `Copies`, paired for `Joined`."""
    v = jnp.broadcast_to(v, _from_below(layer).shape)
    if not isinstance(layer.visible, Joined):
        return v
    if not beside:
        raise InvalidValue(
            f"Rows are images alone but {layer.visible} needs {layer.visible.second} "
            "too; pass rows as (images, labels), by `pair_with_labels`."
        )
    return (v, *beside)


def _binarise(layer: RBM, v: State, key: Key[Array, ""]) -> State:
    """A draw with means `v` if the layer's visible units are binary, else `v`."""
    if not _from_below(layer).domain.is_binary:
        return v
    p = random.widened(v)
    return (random.uniform(key, p.shape, p.dtype) < p).astype(v.dtype)


def _from_below(layer: RBM) -> Unit:
    """The visible units of `layer`, without labels joined to them."""
    unit = layer.visible
    return unit.first if isinstance(unit, Joined) else unit
