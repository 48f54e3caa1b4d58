"""The device mesh: batches and chains over `data`, hidden units over `model`.

JAX's own runtime does the rest: arrays are placed, XLA inserts the collectives. No
other function of the library knows how many devices there are, and what is drawn does
not depend on it: states are equal up to the rounding of sums.

    mesh = make_mesh(data=4, model=2)
    state = place(init_train_state(params, estimator, optimizer, key), mesh)
    rows = replicate(images, mesh)
    fit(step, state, rows, key, prepare=over_data(prepare, mesh), batch_size=128, …)

A step then reduces the gradient over `data`, once, and over `model` the inputs of the
visible units, once a Gibbs sweep.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key

Tree = TypeVar("Tree")

DATA, MODEL = "data", "model"

_OF_HIDDEN = {"hidden", "hidden_bias", "spike_bias", "slab_bias", "slab_mean"}
_OF_HIDDEN |= {"log_slab_precision", "log_penalty"}
"""Names of what has one entry a hidden unit, last."""

_BY_LAYER = {"units", "offsets"}
"""Names of tuples with an entry a layer."""


def make_mesh(*, data: int = 1, model: int = 1) -> Mesh:
    """A mesh of `data` × `model` devices, the first ones there are.

    Raises:
      ValueError: a number is below 1, there are fewer devices, or they are no multiple.
    """
    for name, value in ((DATA, data), (MODEL, model)):
        if value < 1:
            raise ValueError(f"`mesh.{name}` is {value} but needs to be at least 1.")
    devices, need = jax.devices(), data * model
    asked = f"`mesh.data` × `mesh.model` is {data} × {model} = {need}"
    if need > len(devices):
        raise ValueError(
            f"{asked} but there are {len(devices)} devices; ask for fewer. (On CPU, "
            "XLA_FLAGS=--xla_force_host_platform_device_count=8 simulates 8.)"
        )
    if len(devices) % need:
        raise ValueError(
            f"{asked}, which does not divide the {len(devices)} devices; take one of "
            "their divisors."
        )
    if need < len(devices) and jax.process_count() > 1:
        raise ValueError(
            f"{asked} but {jax.process_count()} processes have {len(devices)} devices, "
            "and each of them takes part; use all."
        )
    return Mesh(np.asarray(devices[:need]).reshape(data, model), (DATA, MODEL))


def layout(tree: Tree, mesh: Mesh) -> Tree:
    """Where each leaf of a `TrainState`, or of parameters, lies: shardings, by name.

    Over `model` go weights by their hidden units, and all that belongs to these; of a
    DBM the odd layers, so that of two neighbours one is whole. Over `data` go the
    chains that an estimator keeps. All else is whole on every device: biases of
    visible units, and the nets of Flax.

    Args:
      tree: arrays, or their shapes, as `jax.eval_shape` finds them.

    Raises:
      ValueError: units or chains are no multiple of the devices along their axis.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(mesh, _spec(path, leaf, mesh)), tree
    )


def template(tree: Tree, mesh: Mesh) -> Tree:
    """Shapes and dtypes of `tree`, and its `layout`: what `Checkpoints.restore` takes
    to put a state on these devices, whichever it was saved from."""

    def one(x, sharding):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    return jax.tree.map(one, tree, layout(tree, mesh))


def place(tree: Tree, mesh: Mesh) -> Tree:
    """`tree` on the devices of the mesh, as `layout` says.

    For what does not fit one device, let it be made in place:
    `jax.jit(init, out_shardings=layout(jax.eval_shape(init, key), mesh))(key)`.
    """
    return _put(tree, layout(tree, mesh))


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """`tree` whole on every device of the mesh: data that stay on the device."""
    return _put(tree, replicated(mesh))


def replicated(mesh: Mesh) -> NamedSharding:
    """Of what is whole on every device of the mesh."""
    return NamedSharding(mesh, PartitionSpec())


def gather(tree: Tree) -> Tree:
    """`tree` as arrays of this process, each whole on its first device."""

    def whole(x):
        if not x.is_fully_addressable:
            x = multihost_utils.process_allgather(x, tiled=True)
        return jnp.asarray(jax.device_get(x))

    return jax.tree.map(whole, tree)


def over_data(prepare: Any, mesh: Mesh) -> jax.tree_util.Partial:
    """`prepare`, each device along `data` with its share of the batch.

    A batch that is no multiple of them, as the last of an epoch may be, is on each.
    """
    if not isinstance(prepare, jax.tree_util.Partial):
        prepare = jax.tree_util.Partial(prepare)
    return jax.tree_util.Partial(_Split(mesh), prepare)


def _put(tree, shardings):
    # An array of one process cannot be moved to the devices of another, its values can.
    values = jax.device_get(tree) if jax.process_count() > 1 else tree
    return jax.device_put(values, shardings)


class _Split:
    """Hashes by value, so that building it twice does not recompile."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def __hash__(self) -> int:
        return hash(self.mesh)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Split) and self.mesh == other.mesh

    def __call__(self, prepare, rows: Any, key: Key[Array, ""]) -> Any:
        return self._split(prepare(self._split(rows), key))

    def _split(self, rows):
        sharding = NamedSharding(self.mesh, PartitionSpec(DATA))

        def one(x):
            if x.shape[0] % self.mesh.shape[DATA] == 0:
                return jax.lax.with_sharding_constraint(x, sharding)
            return x

        return jax.tree.map(one, rows)


def feed(mesh: Mesh) -> Callable[[np.ndarray], Array]:
    """The `place` of `fit_stream`: of each batch a device along `data` gets its rows.

    Of several processes each passes the rows of its own devices, those that `batches`
    gives to its `share`.
    """
    sharding = NamedSharding(mesh, PartitionSpec(None, DATA))
    return partial(jax.make_array_from_process_local_data, sharding)


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """Refuses a batch that the devices cannot share.

    Raises:
      ValueError: it is no multiple of those along `data`.
    """
    _check("`batch_size`", batch_size, DATA, mesh)


def _spec(path: tuple[Any, ...], leaf: Any, mesh: Mesh) -> PartitionSpec:
    names = [_name(entry) for entry in path]
    # Of a layer, where there are several.
    index = next((name for name in reversed(names) if isinstance(name, int)), 0)
    axes: list[str | None] = [None] * leaf.ndim
    if "weights" in names and leaf.ndim == 2:
        axes[1 - index % 2] = MODEL
    elif leaf.ndim and (_OF_HIDDEN & {*names} or (_BY_LAYER & {*names} and index % 2)):
        axes[-1] = MODEL
    if (
        leaf.ndim > 1
        and "estimator_state" in names
        and {"visible", "hidden"} & {*names}
    ):
        axes[0] = DATA
    for size, axis in zip(leaf.shape, axes, strict=True):
        if axis is not None:
            _check(f"`{jax.tree_util.keystr(path)}`", size, axis, mesh)
    return PartitionSpec(*axes)


def _name(entry: Any) -> str | int:
    for attribute in ("name", "key", "idx"):
        if hasattr(entry, attribute):
            return getattr(entry, attribute)
    return ""


def _check(what: str, size: int, axis: str, mesh: Mesh) -> None:
    if size % mesh.shape[axis]:
        fitting = math.gcd(size, mesh.shape[axis])
        raise ValueError(
            f"{what} is {size}, which `mesh.{axis}` = {mesh.shape[axis]} does not "
            f"divide; take a multiple of it, or {fitting} along `{axis}`."
        )
