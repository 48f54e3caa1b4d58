"""Pretraining layer by layer: a fold over layers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz import random
from jboltz.abilities import TwoLayerModel
from jboltz.base import Params, State, Unit
from jboltz.checks import check_callable, check_key, require
from jboltz.errors import InvalidType, InvalidValue
from jboltz.learning.step import Prepare
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.rbm import RBM
from jboltz.units.composite import Joined

Features = Literal["means", "samples", "probabilities"]

Stack = tuple[Params, ...]
"""Parameters of the layers trained so far, bottom first."""


@dataclasses.dataclass(frozen=True)
class LayerFeatures:
    """A `prepare` that turns rows of data into the data of the top one of `layers`.

    uint8 images are scaled to [0, 1], unless the bottom units are counts. They are sent
    up through the layers below, and binarised by a fresh Bernoulli draw where the
    layer's visible units are binary. Rows may be a pair, (images, one-hot labels): a
    layer of `Joined` units is given the labels beside what comes from below.

    - "means": E[h | v] of the gray values, layer by layer, then one draw.
    - "samples": a draw of the pixels, then a sample of every layer.
    - "probabilities": as "means", without the draw: what Hinton's program feeds its
      layers. Less noise for a classifier; for p(v) a bias, in a model of binary data.

    Example i draws from `fold_in(key, i)`.
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
        """Values for a batch, given the parameters of the layers below."""
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
    """Trains a stack of RBMs bottom-up: a left fold over `layers`.

    Layer i draws from `fold_in(key, i)`, so restoring `done` is all it takes to go on
    where a run stopped.

    Args:
      layers: bottom first, as in `DBN.layers`.
      fit_layer: `(index, prepare, key) -> params`. `prepare` turns rows of the raw
        data into what this layer is fed; hand it to `fit` or `fit_stream`.
      features: what a layer hands up; see `LayerFeatures`.
      done: parameters of the first layers, trained before.
      on_layer: called as `(index, stack)` after each layer.

    Returns:
      One params record a layer.

    Reference:
      Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief nets.
    """
    check_key(key)
    check_callable("fit_layer", fit_layer, "(index, prepare, key) -> params")
    stack = tuple(done)
    for index in range(len(stack), len(layers)):
        spec = LayerFeatures(tuple(layers[: index + 1]), features)
        # The parameters travel as arguments: as constants they would be compiled in.
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
    """Trains all layers of `dbm` but the last: machines that grow from the bottom up.

    The machine of the first two layers is trained, then that of the first three, which
    starts from it, and so on. A new layer starts at its weights in `params`: if they
    are small, the machine is still the one before.

    Args:
      fit_lower: `(machine, start) -> params`, of an RBM first and then of DBMs.
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
    """Stored images as numbers: uint8 is divided by 255, bools are 0 and 1, floats
    stay as they are.

    Raises:
      TypeError: another dtype, of which the scale is not known.
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
    """`v` in every copy, where the layer's visible units are `Copies` of one unit, and
    with its neighbour, where they are `Joined`."""
    v = jnp.broadcast_to(v, _from_below(layer).shape)
    if not isinstance(layer.visible, Joined):
        return v
    if not beside:
        raise InvalidValue(
            f"Rows are images alone but {layer.visible} has {layer.visible.second} "
            "beside them; pass rows as (images, labels), by `pair_with_labels`."
        )
    return (v, *beside)


def _binarise(layer: RBM, v: State, key: Key[Array, ""]) -> State:
    """A draw with means `v` if the layer's visible units are binary, else `v`."""
    if not _from_below(layer).domain.is_binary:
        return v
    p = random.widened(v)
    return (random.uniform(key, p.shape, p.dtype) < p).astype(v.dtype)


def _from_below(layer: RBM) -> Unit:
    """The visible units, without what stands beside them."""
    unit = layer.visible
    return unit.first if isinstance(unit, Joined) else unit
