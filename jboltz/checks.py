"""Checks and casts of the arguments of public functions.

Checks run on the host, once a call. Values that are traced, under `jit`, `vmap` or
`grad`, are not known: of these only shapes and dtypes are checked.
"""

import re
from functools import cache, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from jboltz.abilities import DataModel, LayeredModel, Normalizable, RowChecker
from jboltz.base import Domain, Params, Shape, State, Unit
from jboltz.domains import Product
from jboltz.errors import InvalidType, InvalidValue


def check_shape(name: str, x: Any, expected: Shape, owner: Any) -> None:
    """Refuses what is not one configuration of the expected shape, part by part."""
    if any(isinstance(part, tuple) for part in expected):
        if not isinstance(x, tuple) or len(x) != len(expected):
            raise InvalidValue(
                f"`{name}` is {_outline(x)} but {owner} needs a tuple of "
                f"{len(expected)} states; pass arrays of shapes {expected}."
            )
        for index, (part, shape) in enumerate(zip(x, expected, strict=True)):
            check_shape(f"{name}[{index}]", part, shape, owner)
        return
    shape = tuple(getattr(x, "shape", ()))
    if shape == expected:
        return
    if len(shape) > len(expected) and shape[len(shape) - len(expected) :] == expected:
        remedy = (
            "it is batched, and jboltz functions take one configuration: map over the "
            "batch with `jax.vmap(f, in_axes=(None, 0))(params, batch)`"
        )
    elif shape == expected[1:]:
        remedy = (
            "a function over chains or examples needs a leading axis of them, so add "
            "one to a single state: `state[None]`"
        )
    else:
        remedy = f"pass one array of shape {expected}"
    raise InvalidValue(
        f"`{name}` has shape {shape} but {owner} needs shape {expected}; {remedy}."
    )


def _outline(x: Any) -> str:
    if isinstance(x, tuple):
        return f"a tuple of {len(x)}"
    return f"one {type(x).__name__} of shape {tuple(getattr(x, 'shape', ()))}"


def check_count(name: str, value: Any, *, at_least: int) -> int:
    """`value` as an `int`, refused if it is no whole number or below `at_least`."""
    is_whole = not isinstance(value, bool) and isinstance(value, int | np.integer)
    if not is_whole or not at_least <= value < 2**31:
        limit = "" if not is_whole or value < at_least else " and below 2**31"
        raise InvalidValue(
            f"`{name}` is {value!r} but needs to be a whole number of at least "
            f"{at_least}{limit}."
        )
    return int(value)


def check_key(key: Any, name: str = "key", *, axes: int = 0) -> None:
    """Refuses what is not one key of `jax.random.key`, or an array of `axes` axes."""
    is_array = isinstance(key, jax.Array)
    if is_array and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == axes:
        return
    got = f"an array of {key.dtype}{list(key.shape)}" if is_array else repr(key)
    one = "one key" if not axes else "one key for each run"
    raise InvalidType(
        f"`{name}` is {got} but {one} of `jax.random.key` is needed; make it by "
        "`jax.random.key(seed)`, of a legacy key by `jax.random.wrap_key_data`, and "
        "several of it by `jax.random.split`."
    )


def check_type(name: str, x: Any, kind: type, do: str) -> None:
    """Refuses what is no instance of `kind`; `do` says how to make one."""
    if not isinstance(x, kind):
        raise InvalidType(
            f"`{name}` is {x!r} but needs to be of the type {kind.__name__}; {do}."
        )


def check_callable(name: str, function: Any, does: str) -> None:
    """Refuses what cannot be called."""
    if not callable(function):
        raise InvalidType(
            f"`{name}` is {function!r} but needs to be a function, {does}; pass one."
        )


def check_number(name: str, x: Any, low: int | float, high: int | float) -> None:
    """Refuses what is no number from `low` to `high`."""
    is_number = isinstance(x, int | float | np.number) and not isinstance(x, bool)
    if not (is_number and low <= x <= high):
        raise InvalidValue(
            f"`{name}` is {x!r} but needs to be a number from {low} to {high}."
        )


def admit(name: str, values: Any, domain: Domain, mask: Any = None) -> State:
    """`values` as states of `domain`, in arrays, checked on the host where known.

    What is traced, or is on other hosts, goes through as it is.

    Args:
      mask: as `values`, True at what counts; the rest is not looked at.

    Raises:
      TypeError: not numbers.
      ValueError: they are no tuple where one is needed, not finite, or no states.
    """
    num_parts = len(domain.parts)
    if (len(values) if isinstance(values, tuple) else 0) != num_parts:
        need = f"a tuple of {num_parts} arrays" if num_parts else "one array"
        raise InvalidValue(
            f"`{name}` is {_outline(values)} but the model needs {need}, of the domain "
            f"'{domain}'; pass what its visible units are in the same places."
        )
    if num_parts:
        masks = (None,) * num_parts if mask is None else mask
        parts = zip(values, domain.parts, masks, strict=True)
        return tuple(
            admit(f"{name}[{index}]", *part) for index, part in enumerate(parts)
        )
    if is_traced(mask) or not _is_here(values):
        return values
    (leaf,) = domain.leaves
    array = leaf.admit(values, name, mask)
    is_array = isinstance(values, jax.Array)
    is_same = is_array and (array.shape, array.dtype) == (values.shape, values.dtype)
    return values if is_same else array


def _is_here(values: Any) -> bool:
    """Whether the host can read all of `values`: not traced, nor on other hosts."""
    return not is_traced(values) and all(
        x.is_fully_addressable or x.is_fully_replicated
        for x in jax.tree.leaves(values)
        if isinstance(x, jax.Array)
    )


def check_rows(prepare: Any, rows: Any) -> None:
    """Refuses rows that are known and that `prepare`, if it can tell, does not take."""
    is_bound = isinstance(prepare, jax.tree_util.Partial)
    prepare, bound = (prepare.func, prepare.args) if is_bound else (prepare, ())
    if isinstance(prepare, RowChecker) and _is_here(rows):
        prepare.check_rows(*bound, rows)


def dtype_of(params: Params) -> Any:
    """The dtype that all leaves of a record share."""
    return jnp.result_type(*jax.tree.leaves(params))


def cast_states(states: State, params: Params) -> State:
    """`states` in the dtype of `params`, so that a chain keeps the type it starts with.

    Chains carry their states through compiled loops, whose carry may not change type.
    """
    dtype = dtype_of(params)
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), states)


def check_not_narrowed(what: str, dtype: Any) -> None:
    """Refuses a dtype of 64 bits where JAX has 32; `what` begins the message."""
    is_key = jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not is_key and jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise InvalidType(
            f"{what}, which JAX would narrow to 32 bits; cast it yourself, or set "
            "`jax_enable_x64`."
        )


def check_params(model: Any, params: Params, name: str = "params") -> None:
    """Refuses a record that is no set of parameters of `model`.

    The record that `model.init` makes says which leaves there are and their shapes.
    Values are looked at only where they are known: under `jit`, `vmap` or `grad` shapes
    and dtypes alone are checked.

    Args:
      model: anything with `init(key) -> params`.
      name: what the caller calls the record.

    Raises:
      ValueError: the leaves are others than those of `model.init` or have other shapes,
        or one of them holds NaN or an infinity.
      TypeError: a leaf is not floating point, or the leaves differ in dtype.
    """
    like = shapes_of_init(model, shape_of_key())
    remedy = "look for a diverged run, or lower its learning rate"
    check_like(like, params, name, model, if_not_finite=remedy)


def shapes_of_init(owner: Any, *arguments: Any) -> Any:
    """`jax.eval_shape(owner.init, *arguments)`, traced once for owners that are equal.

    A trace takes a millisecond or more, as much as a training step.
    """
    leaves, structure = jax.tree.flatten(arguments)
    like = tuple((jnp.shape(x), jnp.result_type(x)) for x in leaves)
    try:
        hash(owner)
    except TypeError:  # a spec that holds an array
        return _shapes_of_init.__wrapped__(owner, structure, like, None)
    return _shapes_of_init(owner, structure, like, jnp.result_type(float))


@lru_cache(maxsize=256)
def _shapes_of_init(owner, structure, like, default_dtype):
    del default_dtype  # 64 bits or 32, which changes what `init` makes
    arguments = [jax.ShapeDtypeStruct(*leaf) for leaf in like]
    return jax.eval_shape(owner.init, *jax.tree.unflatten(structure, arguments))


@cache
def shape_of_key() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(jax.random.key, 0)


def require(
    x: Any, ability: type, purpose: str, name: str = "model", *, example: str = ""
) -> None:
    """Refuses what lacks an ability, a protocol of `abilities` or `base`, and names
    the members that are missing.

    Args:
      example: code that makes what is needed, for the message.
    """
    if isinstance(x, type):
        raise InvalidType(
            f"`{name}` is the class {x.__name__} but {purpose} needs an instance; pass "
            f"`{x.__name__}(…)`."
        )
    if isinstance(x, ability):
        return
    got = repr(x)
    if "\n" in got or " at 0x" in got:  # a record of arrays, or functions
        got = f"an object of {type(x).__name__}"
    members = {key for cls in ability.__mro__ for key in vars(cls) if key[0] != "_"}
    missing = ", ".join(sorted(members - {*dir(x)}))
    raise InvalidType(
        f"`{name}` is {got} without {missing}, but {purpose} needs all that "
        f"`{ability.__module__}.{ability.__name__}` declares; pass "
        f"{f'`{example}`' if example else f'another `{name}`'}, or add these to "
        f"`{type(x).__name__}`."
    )


def require_unit(x: Any, purpose: str, name: str) -> None:
    """Refuses what is no `Unit`, or a unit whose domain is none."""
    if isinstance(x, int | np.integer):
        raise InvalidType(
            f"`{name}` is {x} but {purpose} needs units and not their number; pass "
            f"`Bernoulli({x})`, or another class of `jboltz.units`."
        )
    require(x, Unit, purpose, name)
    if not isinstance(x.domain, Domain):
        raise InvalidType(
            f"`{name}.domain` is {x.domain!r} but {purpose} needs an object of "
            "`jboltz.domains`, such as `UnitInterval()`; return one from "
            f"`{type(x).__name__}.domain`."
        )


def check_distribution(model: Any, params: Params, name: str = "params") -> None:
    """`check_params`, and of a `Normalizable` model whether its Z is finite."""
    check_params(model, params, name)
    check_normalizable(model, params)


def check_normalizable(model: Any, params: Params) -> None:
    """Refuses parameters that are known and whose Z `model` knows to be infinite."""
    if isinstance(model, Normalizable) and not is_traced(params):
        with jax.ensure_compile_time_eval():
            model.check_normalizable(params)


def is_traced(*trees: Any) -> bool:
    """Whether a value is not known yet: under `jit`, `vmap` or `grad`."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def check_like(
    like: Any, params: Params, name: str, owner: Any, *, if_not_finite: str
) -> None:
    """`check_params`, against the record of shapes `like`."""
    leaves, needed = (
        {jax.tree_util.keystr(path): x for path, x in jax.tree.leaves_with_path(tree)}
        for tree in (params, like)
    )
    got = {path: jnp.shape(x) for path, x in leaves.items()}
    need = {path: x.shape for path, x in needed.items()}
    remedy = "pass what `init` of the same model makes"
    if records_of(params) != records_of(like) or got.keys() != need.keys():
        raise InvalidValue(
            f"`{name}` is {records_of(params)} with leaves {got} but {owner} needs "
            f"{records_of(like)} with leaves {need}; {remedy}."
        )
    for path, shape in got.items():
        if shape != need[path]:
            raise InvalidValue(
                f"`{name}{path}` has shape {shape} but {owner} needs {need[path]}; "
                f"{remedy}."
            )
    dtypes = {path: jnp.result_type(x) for path, x in leaves.items()}
    is_inexact = (jnp.issubdtype(dtype, jnp.inexact) for dtype in dtypes.values())
    if len({*dtypes.values()}) > 1 or not all(is_inexact):
        raise InvalidType(
            f"`{name}` has leaves of dtypes { {k: str(d) for k, d in dtypes.items()} } "
            "but needs one floating point dtype; cast them, "
            f"`jax.tree.map(lambda x: x.astype(jnp.float32), {name})`."
        )
    known = {path: x for path, x in leaves.items() if not isinstance(x, Tracer)}
    if all(isinstance(x, np.ndarray) for x in known.values()):
        finite = {path: np.isfinite(x).all() for path, x in known.items()}
    else:
        # Parameters that a traced function closes over are known, and stay so.
        with jax.ensure_compile_time_eval():
            finite = jax.device_get(_are_finite(known))
    for path in known:
        if not finite[path]:
            raise InvalidValue(
                f"`{name}{path}` holds NaN or an infinity but every parameter "
                f"needs to be finite; {if_not_finite}."
            )


@jax.jit
def _are_finite(leaves: dict[str, Array]) -> dict[str, Array]:
    """Whether every number of each leaf is finite; one small program for a record."""
    return {name: jnp.isfinite(x).all() for name, x in leaves.items()}


def records_of(tree: Any) -> str:
    """The classes of a tree of records, which `==` of two structures ignores."""
    names = re.findall(r"CustomNode\((\w+)", str(jax.tree.structure(tree)))
    return ", ".join(names) or type(tree).__name__


def check_real(name: str, x: Array, owner: Any, reason: str) -> None:
    """Refuses complex numbers where the formula is no analytic function of them."""
    if jnp.iscomplexobj(x):
        raise InvalidType(
            f"`{name}` is {x.dtype} but {owner} needs real numbers: {reason}."
        )


def check_tuple(spec: Any, field: str, example: str) -> None:
    """Refuses a spec whose `field` is no tuple of parts; a list becomes one."""
    parts = getattr(spec, field)
    if not isinstance(parts, tuple | list):
        raise InvalidType(
            f"`{field}` is {parts!r} but a tuple is needed, as in {example}."
        )
    object.__setattr__(spec, field, tuple(parts))


def check_size(spec: Any, *fields: str) -> None:
    """Refuses a spec whose `fields` (by default, `size`) are no whole numbers ≥ 1.

    NumPy's integers become `int`, so that equal specs are written alike.
    """
    for field in fields or ("size",):
        count = check_count(field, getattr(spec, field), at_least=1)
        object.__setattr__(spec, field, count)


def visible_domain(model: Any) -> Domain | None:
    """The domain of v in `model`, or None if the model does not say it."""
    if isinstance(model, LayeredModel):
        visible, _ = model.blocks(tuple(unit.domain for unit in model.units))
        return Product(visible) if isinstance(visible, tuple) else visible
    return model.domain if isinstance(model, DataModel) else None


def admit_visible(name: str, values: Any, model: Any, mask: Any = None) -> State:
    """`admit` for visible states of `model`, or for data, their lowest layer.

    Values of a model that names no domain are returned unchanged.
    """
    domain = visible_domain(model)
    if domain is None:
        return values
    num_parts = len(values) if isinstance(values, tuple) else 0
    if num_parts != len(domain.parts) and isinstance(model, DataModel):
        domain = model.domain
    return admit(name, values, domain, mask)
