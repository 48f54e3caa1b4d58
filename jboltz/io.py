"""A model in one file: safetensors, with the spec as JSON in its metadata.

The file holds the arrays by name, such as `visible.bias`, and any reader of safetensors
opens it. Its metadata have one entry, `jboltz`, with JSON that says what they are:

    version   1
    model     {"RBM": {"visible": {"Bernoulli": {"size": 784}}, …}}, or null
    sha256    of the whole file, with 64 zeros in this place
    notes     what else the writer wants to be known, where there is any

Reading a file imports nothing and calls nothing but the classes of jboltz and those
that `register` was given.
"""

import dataclasses
import hashlib
import importlib
import json
import os
import pathlib
import pkgutil
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

import jboltz.models
import jboltz.units
from jboltz import seals
from jboltz.base import Params
from jboltz.checks import (
    check_not_narrowed,
    check_params,
    shape_of_key,
    shapes_of_init,
)
from jboltz.errors import InvalidType, InvalidValue, JboltzError
from jboltz.names import named, nested
from jboltz.ranges import with_home

_VERSION = 1
_NO_CHECKSUM = "0" * 64
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "C64": "complex64",
    "I64": "int64",
    "I32": "int32",
    "U32": "uint32",
    "U8": "uint8",
    "BOOL": "bool",
}
_PLAIN = bool | int | float | str | None

_specs: dict[str, type] = {}


def save(
    path: str | os.PathLike[str], model: Any, params: Params, *, notes: Any = None
) -> None:
    """Writes a model and its parameters to one file, all or nothing.

    Args:
      path: the file to write, usually named `….safetensors`. An existing file is
        replaced.
      model: a spec of jboltz, or of a class that was given to `register`. With None,
        `params` may be any tree of arrays, such as the parameters of a Flax net.
      params: the parameters of `model`. Each array is written with its own dtype.
      notes: what else belongs to the model, such as the names of its columns, as JSON
        has it: dictionaries, lists, texts, numbers. `load_notes` reads it.

    Raises:
      TypeError: `model` is not such a spec, `params` are not arrays of numbers that the
        file can hold, or `notes` cannot be written as JSON.
      ValueError: `params` do not fit `model`, or are not finite; or `path` is a folder.
      OSError: the file cannot be written.

    Example:
      >>> import os, tempfile
      >>> from jboltz import RBM, Bernoulli
      >>> rbm = RBM(Bernoulli(4), Bernoulli(2))
      >>> path = os.path.join(tempfile.mkdtemp(), "rbm.safetensors")
      >>> save(path, rbm, rbm.init(jax.random.key(0)))
      >>> load(path)[0]
      RBM(visible=Bernoulli(size=4), hidden=Bernoulli(size=2))
    """
    target = _path(path)
    if not target.parent.is_dir():
        raise InvalidValue(
            f"`path` is {path} but the folder {target.parent} is not there; make it "
            "first, or name another file."
        )
    seals.replace(target, to_bytes(model, params, notes))


def load(path: str | os.PathLike[str]) -> tuple[Any, Params]:
    """Reads the model and the parameters that `save` wrote, bit for bit.

    Args:
      path: the file that `save` wrote.

    Returns:
      The model and its parameters. If the file was saved without a model, these are
      None and nested dictionaries of the arrays; an array named `a.b` is at
      `["a"]["b"]`.

    Raises:
      ValueError: there is no such file, `save` did not write it, it is damaged or of a
        newer version, it names a class that is not registered, or its arrays are not
        those of its model.
      TypeError: the file has arrays of 64 bits, which JAX would narrow to 32 bits.
      OSError: the file cannot be read.
    """
    return from_bytes(*_content(path))


def load_notes(path: str | os.PathLike[str]) -> Any:
    """Reads the notes that were given to `save`.

    Args:
      path: the file that `save` wrote.

    Returns:
      The notes as JSON has them, or None if the file has no notes.

    Raises:
      ValueError: there is no such file, `save` did not write it, or it is damaged.
      OSError: the file cannot be read.
    """
    return _open(*_content(path))[0].get("notes")


def register(cls: type) -> type:
    """Lets `save` and `load` know a class of specs, by its name; a class decorator.

    Args:
      cls: a frozen dataclass, whose fields are numbers, texts, Booleans, None, specs
        and tuples of them. A model has `init(key) -> params`.

    Raises:
      TypeError: `cls` is no dataclass.
      ValueError: another class has its name.
    """
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise InvalidType(
            f"`cls` is {cls!r} but the class of a spec is needed; make it a frozen "
            "dataclass and register the class, not an instance."
        )
    known = _known_specs().get(cls.__name__, cls)
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InvalidValue(
            f"`cls` is {cls.__module__}.{cls.__qualname__}, but files already mean "
            f"{known.__module__}.{known.__qualname__} by {cls.__name__}; rename yours."
        )
    _specs[cls.__name__] = cls
    return cls


def to_bytes(model: Any, params: Params, notes: Any = None) -> bytes:
    """The content of the file that `save` writes, for a store of your own.

    Args:
      model: a spec, or None, as in `save`.
      params: the parameters of `model`, as in `save`.
      notes: what else belongs to the model, as in `save`.

    Raises:
      TypeError: as in `save`.
      ValueError: `params` do not fit `model`, or are not finite.
    """
    arrays = {name: _to_array(name, leaf) for name, leaf in named(params).items()}
    spec = None
    if model is not None:
        spec = _encode(model)
        if _build(spec, "`model`")[0] != model:
            raise InvalidType(
                f"`model` is {model}, which is not what its fields rebuild; keep all "
                "that makes it what it is in fields that its constructor takes."
            )
        # NumPy's arrays are checked without compiling.
        check_params(model, jax.tree.structure(params).unflatten(arrays.values()))
    header = {"version": _VERSION, "model": spec, "sha256": _NO_CHECKSUM}
    header |= {} if notes is None else {"notes": notes}
    try:
        text = json.dumps(header)
    except (TypeError, ValueError) as error:
        raise InvalidType(
            f"`notes` are no JSON ({error}); take dictionaries, lists, texts and "
            "numbers, such as `array.tolist()`."
        ) from error
    content = safetensors.numpy.save(arrays, {"jboltz": text})
    checksum = hashlib.sha256(content).hexdigest()
    return content.replace(_NO_CHECKSUM.encode(), checksum.encode(), 1)


def from_bytes(content: bytes, name: str = "content") -> tuple[Any, Params]:
    """Reads the model and the parameters from the content of a file.

    Args:
      content: the bytes that `to_bytes` returned, or those of a file of `save`.
      name: how error messages refer to `content`.

    Returns:
      The model and its parameters, as from `load`.

    Raises:
      ValueError: as in `load`, about `content` in place of a file.
      TypeError: as in `load`.
    """
    header, views = _open(content, name)
    if header.get("version") != _VERSION:
        raise InvalidValue(
            f"{name} has version {header.get('version')} of the format but this jboltz "
            f"reads version {_VERSION}; install a newer jboltz."
        )
    arrays = {key: _decode_array(f"{name}: {key}", view) for key, view in views}
    spec = header.get("model")
    if spec is None:
        return None, jax.device_put(nested(arrays, name))
    model, template = _build(spec, name)
    need = named(template)
    if arrays.keys() != need.keys():
        raise InvalidValue(
            f"{name} holds the arrays {', '.join(arrays)} but {model} has "
            f"{', '.join(need)}; write it again with `jboltz.save`."
        )
    params = jax.tree.structure(template).unflatten(arrays[key] for key in need)
    check_params(model, params, name)
    return model, jax.device_put(params)


def _path(path: str | os.PathLike[str]) -> pathlib.Path:
    if not isinstance(path, str | os.PathLike):
        raise InvalidType(
            f"`path` is {path!r} but the name of a file is needed; pass a text or a "
            "`pathlib.Path`."
        )
    return pathlib.Path(with_home("path", path))


def _content(path: str | os.PathLike[str]) -> tuple[bytes, str]:
    """The bytes of a file, and its name for messages."""
    path = _path(path)
    if not path.is_file():
        raise InvalidValue(
            f"`path` is {path}, where there is no file; name one that `jboltz.save` "
            "wrote."
        )
    return path.read_bytes(), str(path)


def _open(content: bytes, name: str) -> tuple[dict[str, Any], list[Any]]:
    """What the file says of itself, and its arrays as bytes, if it is undamaged."""
    if not isinstance(content, bytes):
        raise InvalidType(
            f"`content` is of type {type(content).__name__} but bytes are needed; pass "
            "what `to_bytes` returned, `bytes(…)` of it, or a path to `jboltz.load`."
        )
    try:
        views = safetensors.deserialize(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        header = json.loads(metadata.get("jboltz", "{}"))
        checksum = header.get("sha256", "")
    except (
        safetensors.SafetensorError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        raise InvalidValue(
            f"{name} is no safetensors file, or is damaged ({error}); name one that "
            "`jboltz.save` wrote, or write it again."
        ) from error
    if not header:
        raise InvalidValue(
            f"{name} is a safetensors file that `jboltz.save` did not write; see "
            "`jboltz.weights` for parameters from elsewhere."
        )
    blank = content.replace(str(checksum).encode(), _NO_CHECKSUM.encode(), 1)
    if hashlib.sha256(blank).hexdigest() != checksum:
        raise InvalidValue(
            f"{name} is damaged: its content does not have the checksum that it was "
            "written with; take a copy, or write it again."
        )
    return header, views


def _build(spec: Any, name: str) -> tuple[Any, Params]:
    """The model of `spec`, and the shapes of its parameters."""
    try:
        model = _decode(spec, name)
        return model, shapes_of_init(model, shape_of_key())
    except JboltzError:
        raise
    except Exception as error:
        raise InvalidValue(
            f"{name} is no model that can be made here ({error}); take a spec with "
            "`init(key)`, and the versions of its classes that it was written with."
        ) from error


def _encode(value: Any) -> Any:
    """A spec as JSON: one class name, and the fields under it."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, tuple):
        return [_encode(part) for part in value]
    cls = type(value)
    if _known_specs().get(cls.__name__) is not cls:
        raise InvalidType(
            f"`model` has {value!r}, of the class {cls.__name__}, which files do not "
            "know; pass a spec, and register your own class by `jboltz.io.register`."
        )
    fields = [field.name for field in dataclasses.fields(value) if field.init]
    return {cls.__name__: {name: _encode(getattr(value, name)) for name in fields}}


def _decode(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return tuple(_decode(part, name) for part in value)
    if not isinstance(value, dict):
        return value
    ((kind, fields),) = value.items()
    cls = _known_specs().get(kind)
    if cls is None:
        raise InvalidValue(
            f"{name} has a model of the class {kind}, which is not known here; import "
            "the package that it is of, or give the class to `jboltz.io.register` "
            "first."
        )
    return cls(**{key: _decode(field, name) for key, field in fields.items()})


def _known_specs() -> dict[str, type]:
    """Classes by name: the dataclasses of the rooms of units and models, and those that
    were registered."""
    if not _specs:
        found = {}
        for room in (jboltz.units, jboltz.models):
            for info in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
                for name, cls in vars(importlib.import_module(info.name)).items():
                    if isinstance(cls, type) and dataclasses.is_dataclass(cls):
                        found[name] = cls
        _specs.update(found)
    return _specs


def _to_array(name: str, leaf: Any) -> np.ndarray:
    is_array = isinstance(leaf, jax.Array | np.ndarray | np.generic)
    if not is_array or leaf.dtype.name not in _DTYPES.values():
        raise InvalidType(
            f"`params` has {leaf!r} at {name}, but a file holds arrays of numbers; "
            "leave out what else there is, such as random keys, or cast it."
        )
    check_not_narrowed(f"`params` has {leaf.dtype} at {name}", leaf.dtype)
    return np.asarray(leaf, order="C")


def _decode_array(name: str, view: dict[str, Any]) -> np.ndarray:
    if view["dtype"] not in _DTYPES:
        raise InvalidValue(
            f"{name} has the type {view['dtype']}, which jboltz does not read; write "
            "it as float32."
        )
    dtype = np.dtype(_DTYPES[view["dtype"]])
    check_not_narrowed(f"{name} has {dtype}", dtype)
    return np.frombuffer(view["data"], dtype).reshape(view["shape"])
