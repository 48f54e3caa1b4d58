"""The device mesh: batches and chains divide over `data`, hidden units over `model`.

The functions here place arrays, and XLA inserts the communication between devices. No
other function of the library depends on the number of devices, and neither do draws:
states are equal up to the rounding of sums.

    mesh = make_mesh(data=4, model=2)
    state = place(init_train_state(params, estimator, optimizer, key), mesh)
    rows = replicate(images, mesh)
    fit(step, state, rows, key, prepare=over_data(prepare, mesh), batch_size=128, …)

A step then sums the gradient over `data` once, and the inputs of the visible units over
`model` once per Gibbs sweep.

The mesh may come from elsewhere and have axes of any names and types:
`place(state, mesh, data="dp", model=None)`.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import DictKey, GetAttrKey, Partial, SequenceKey
from jaxtyping import Array, Key

from jboltz.checks import check_count, check_rows
from jboltz.errors import InvalidValue

Tree = TypeVar("Tree")

DATA, MODEL = "data", "model"

Axes: TypeAlias = str | tuple[str, ...] | None
"""The axis or axes of a mesh that arrays are divided along; None: not divided."""


def make_mesh(*, data: int = 1, model: int = 1) -> Mesh:
    """A mesh of the first `data` × `model` devices.

    Args:
      data: the number of parts that batches and chains are divided into.
      model: the number of parts that hidden units are divided into.

    Raises:
      ValueError: a number is below 1, `data` × `model` does not divide the number of
        devices, or several processes would leave devices unused.
    """
    check_count("mesh.data", data, at_least=1)
    check_count("mesh.model", model, at_least=1)
    devices, need = jax.devices(), data * model
    asked = f"`mesh.data` × `mesh.model` is {data} × {model} = {need}"
    if len(devices) % need:
        raise InvalidValue(
            f"{asked}, which does not divide the {len(devices)} devices; take one of "
            "their divisors. (On CPU, "
            "XLA_FLAGS=--xla_force_host_platform_device_count=8 simulates 8.)"
        )
    if need < len(devices) and jax.process_count() > 1:
        raise InvalidValue(
            f"{asked} but {jax.process_count()} processes have {len(devices)} devices, "
            "which all have to take part; use all devices."
        )
    return Mesh(np.asarray(devices[:need]).reshape(data, model), (DATA, MODEL))


def layout(tree: Tree, mesh: Mesh, *, data: Axes = DATA, model: Axes = MODEL) -> Tree:
    """The sharding of each leaf of a `TrainState`, or of parameters.

    Leaves with one entry per hidden unit are divided over `model` along that axis, as
    the records of the model declare (`of_hidden`). In a DBM these are the odd layers,
    so that one of two neighbouring layers is whole. The chains that an estimator keeps
    are divided over `data`. Arrays that an optimizer or an estimator keeps for each
    parameter are divided like the parameter. All other leaves are whole on every
    device, such as the biases of visible units and the parameters of Flax modules.

    Args:
      tree: arrays, or their shapes as `jax.eval_shape` returns them.
      mesh: the mesh of devices.
      data: the axes of the mesh that chains are divided along.
      model: the axes of the mesh that hidden units are divided along.

    Raises:
      ValueError: the number of units or chains is not a multiple of the number of
        devices along their axis, or the mesh has no such axis.
    """
    _check_axes(mesh, data=data, model=model)
    tops = {_name(path[0]) for path, _ in jax.tree.leaves_with_path(tree) if path}
    params = {}
    for path, leaf in jax.tree.leaves_with_path(tree):
        top = _name(path[0]) if path else ""
        if top == "params" or ("params" not in tops and top != "estimator_state"):
            params[path["params" in tops :]] = leaf.shape, path

    def sharding(path, leaf):
        axes: list[Axes] = [None] * leaf.ndim
        tails = (params.get(path[start:], ((), ())) for start in range(len(path) + 1))
        own = next((own for shape, own in tails if own and shape == leaf.shape), None)
        if own is None and path and _name(path[0]) == "estimator_state":
            own = path
            fields = {entry.name for entry in path if isinstance(entry, GetAttrKey)}
            if leaf.ndim > 1 and {"visible", "hidden"} & fields:
                axes[0] = data
        if own and (axis := _axis_of_hidden(tree, own, leaf.ndim)) is not None:
            axes[axis] = model
        for size, axis in zip(leaf.shape, axes, strict=True):
            _check(f"`{jax.tree_util.keystr(path)}`", size, axis, mesh)
        return NamedSharding(mesh, PartitionSpec(*axes))

    return jax.tree.map_with_path(sharding, tree)


def template(tree: Tree, mesh: Mesh, *, data: Axes = DATA, model: Axes = MODEL) -> Tree:
    """The shapes and dtypes of `tree` with its `layout`. `Checkpoints.restore` takes it
    to place a state on these devices, whichever devices it was saved from.

    Args:
      tree: a `TrainState`, or parameters, or their shapes.
      mesh: the mesh of devices.
      data: as in `layout`.
      model: as in `layout`.
    """
    return jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        tree,
        layout(tree, mesh, data=data, model=model),
    )


def place(tree: Tree, mesh: Mesh, *, data: Axes = DATA, model: Axes = MODEL) -> Tree:
    """`tree` placed on the devices of the mesh by its `layout`.

    Parameters that do not fit on one device can be created in their place:
    `jax.jit(init, out_shardings=layout(jax.eval_shape(init, key), mesh))(key)`.

    Args:
      tree: a `TrainState`, or parameters.
      mesh: the mesh of devices.
      data: as in `layout`.
      model: as in `layout`.
    """
    return _put(tree, layout(tree, mesh, data=data, model=model))


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """`tree` copied whole to every device of the mesh, such as the training data.

    Args:
      tree: arrays.
      mesh: the mesh of devices.
    """
    return _put(tree, NamedSharding(mesh, PartitionSpec()))


def gather(tree: Tree) -> Tree:
    """`tree` as arrays that are whole on the first device of this process.

    Args:
      tree: arrays, divided among devices or not.
    """

    def whole(x):
        if not x.is_fully_addressable:
            x = multihost_utils.process_allgather(x, tiled=True)
        return jnp.asarray(jax.device_get(x))

    return jax.tree.map(whole, tree)


def over_data(prepare: Any, mesh: Mesh, *, data: Axes = DATA) -> Partial:
    """`prepare` with the batch divided among the devices along `data`.

    A batch that they cannot share equally, as the last of an epoch may be, is copied to
    each of them.

    Args:
      prepare: the `prepare` of a loop, such as `unchanged`.
      mesh: the mesh of devices.
      data: the axes of the mesh that a batch is divided along.
    """
    _check_axes(mesh, data=data)
    if not isinstance(prepare, Partial):
        prepare = Partial(prepare)
    return Partial(_Split(mesh, data), prepare)


def vary(tree: Tree, axes: str | tuple[str, ...]) -> Tree:
    """A copy of the shared `tree` for each device, within `jax.shard_map`.

    JAX sums derivatives by parameters that devices share, so an estimate from them is
    the sum of the devices' estimates. From parameters that vary along the axes of the
    batch, each device gets the estimate from its own rows, and `jax.lax.pmean` of it is
    the estimate from all rows.

    Args:
      tree: arrays that the devices share, such as parameters.
      axes: the axes of the mesh along which the copies may differ.
    """
    if cast := getattr(jax.lax, "pcast", None):
        return cast(tree, axes, to="varying")
    return jax.tree.map(lambda x: jax.lax.pvary(x, axes), tree)  # pyright: ignore[reportAttributeAccessIssue]


def _put(tree, shardings):
    # JAX cannot move arrays to the devices of another process, but it can move values.
    values = jax.device_get(tree) if jax.process_count() > 1 else tree
    return jax.device_put(values, shardings)


@dataclasses.dataclass(frozen=True)
class _Split:
    """`over_data` as a callable that hashes by value, so that two do not recompile."""

    mesh: Mesh
    data: Axes

    def __call__(self, prepare, rows: Any, key: Key[Array, ""]) -> Any:
        if jax.tree.leaves(rows)[0].shape[0] % _count(self.data, self.mesh):
            return prepare(rows, key)
        sharding = NamedSharding(self.mesh, PartitionSpec(self.data))
        if self.mesh.explicit_axes:
            in_auto: Any = jax.sharding.auto_axes(prepare, out_sharding=sharding)
            return in_auto(jax.sharding.reshard(rows, sharding), key)
        rows = jax.lax.with_sharding_constraint(rows, sharding)
        return jax.lax.with_sharding_constraint(prepare(rows, key), sharding)

    def check_rows(self, prepare, rows: Any) -> None:
        check_rows(prepare, rows)


def feed(mesh: Mesh, *, data: Axes = DATA) -> Callable[[np.ndarray], Array]:
    """The `place` argument of `fit_stream`: divides each batch along `data`.

    With several processes, each process passes the rows of its own devices.

    Args:
      mesh: the mesh of devices.
      data: the axes of the mesh that a batch is divided along.
    """
    _check_axes(mesh, data=data)
    sharding = NamedSharding(mesh, PartitionSpec(None, data))
    return partial(jax.make_array_from_process_local_data, sharding)


def check_batch(batch_size: int, mesh: Mesh, *, data: Axes = DATA) -> None:
    """Refuses a batch that the devices cannot share equally.

    Args:
      batch_size: the number of examples per update.
      mesh: the mesh of devices.
      data: the axes of the mesh that a batch is divided along.

    Raises:
      ValueError: `batch_size` is not a multiple of the devices along `data`.
    """
    _check_axes(mesh, data=data)
    _check("`batch_size`", batch_size, data, mesh)


def _axis_of_hidden(tree: Any, path: tuple[Any, ...], ndim: int) -> int | None:
    """The axis of a leaf along hidden units, as the records on its path declare it."""
    for entry, following in itertools.pairwise((*path, SequenceKey(0))):
        match entry:
            case GetAttrKey(name=name):
                is_record = dataclasses.is_dataclass(tree)
                fields = dataclasses.fields(tree) if is_record else ()
                metadata = {field.name: field.metadata for field in fields}
                if of_layer := metadata.get(name, {}).get("of_hidden"):
                    layer = following.idx if isinstance(following, SequenceKey) else 0
                    axis = of_layer[layer % len(of_layer)]
                    return None if axis is None or ndim + axis < 0 else ndim + axis
                tree = getattr(tree, name)
            case SequenceKey(idx=key) | DictKey(key=key):
                tree = tree[key]
            case _:
                return None
    return None


def _name(entry: Any) -> str:
    """The name that a node gives its child; "" if it gives none."""
    match entry:
        case GetAttrKey(name=name) | DictKey(key=str(name)):
            return name
    return ""


def _names(axes: Axes) -> tuple[str, ...]:
    return (axes,) if isinstance(axes, str) else axes or ()


def _count(axes: Axes, mesh: Mesh) -> int:
    """The number of devices along the axes."""
    return math.prod(mesh.shape[name] for name in _names(axes))


def _check_axes(mesh: Mesh, **asked: Axes) -> None:
    for argument, axes in asked.items():
        if missing := {*_names(axes)} - {*mesh.axis_names}:
            raise InvalidValue(
                f"`{argument}` is {axes!r} but the axes of the mesh are "
                f"{mesh.axis_names}, without {', '.join(sorted(missing))}; name one of "
                f"them, or pass `{argument}=None` to divide nothing."
            )


def _check(what: str, size: int, axes: Axes, mesh: Mesh) -> None:
    count, name = _count(axes, mesh), ", ".join(_names(axes))
    if size % count:
        raise InvalidValue(
            f"{what} is {size}, which `mesh.{name}` = {count} does not divide; take a "
            f"multiple of it, or {math.gcd(size, count)} along `{name}`."
        )
