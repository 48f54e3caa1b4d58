"""A model in one file comes back bit for bit, and what is no such file is refused."""

import dataclasses
import json
import os
import pickle
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import jboltz
from jboltz import io
from jboltz.errors import InvalidType, InvalidValue
from jboltz.models.spike_penalty import NoPenalty, NormPenalty
from tests.helpers import draw_like, enable_x64
from tests.models.cases import MODELS, draw_params
from tests.units.cases import UNITS, unit_name

B = jboltz.Bernoulli
RBM = jboltz.RBM(B(4), B(2))
PARAMS = RBM.init(jax.random.key(0))
STACKS = {
    "dbn": jboltz.DBN.chain(jboltz.Gaussian(3), B(2), B(2)),
    "labelled": jboltz.LabelledDBN.chain(B(3), B(2), B(2), num_classes=3),
    "no penalty": jboltz.SpikeAndSlab(3, 2, kappa=0.5, penalty=NoPenalty()),
    "norm penalty": jboltz.SpikeAndSlab(3, 2, kappa=1 / 3, penalty=NormPenalty()),
}


@dataclasses.dataclass(frozen=True)
class Chilled:
    """A model that is not of the library."""

    model: jboltz.RBM
    degrees: tuple[float, ...] = (0.1, float("inf"))
    name: str | None = None

    def init(self, key):
        return self.model.init(key)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert isinstance(one, jax.Array)
        assert one.dtype == other.dtype
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_notes_stay_with_a_model(tmp_path):
    notes = {"columns": ["age", "Größe"], "log_partition": 0.1 + 0.2}
    plain, noted = tmp_path / "plain", tmp_path / "noted"
    jboltz.save(plain, RBM, PARAMS)
    jboltz.save(noted, RBM, PARAMS, notes=notes)
    assert io.load_notes(noted) == notes
    assert io.load_notes(plain) is None
    model, params = jboltz.load(noted)
    assert model == RBM
    assert_same(params, PARAMS)
    with pytest.raises(TypeError, match="not JSON serializable"):
        jboltz.save(noted, RBM, PARAMS, notes={"x": np.ones(2)})
    assert io.load_notes(noted) == notes


def content_of(model, arrays, version=1):
    """A file with a sound checksum, whatever its model and arrays."""
    header = {"version": version, "model": model, "sha256": "0" * 64}
    content = safetensors.numpy.save(arrays, {"jboltz": json.dumps(header)})
    checksum = io.hashlib.sha256(content).hexdigest().encode()
    return content.replace(b"0" * 64, checksum, 1)


@pytest.mark.parametrize("model", [*MODELS.values(), *STACKS.values()])
def test_a_model_comes_back(model, getkey, tmp_path):
    params = draw_params(model, getkey)
    io.save(tmp_path / "model.safetensors", model, params)
    found, found_params = jboltz.load(str(tmp_path / "model.safetensors"))
    assert found == model
    assert hash(found) == hash(model)
    assert_same(found_params, params)
    assert [x.name for x in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("unit", UNITS, ids=unit_name)
def test_every_unit_comes_back(unit, getkey):
    model = jboltz.RBM(unit, jboltz.Copies(unit, 2))
    params = draw_params(model, getkey)
    found, found_params = io.from_bytes(io.to_bytes(model, params))
    assert found == model
    assert_same(found_params, params)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "complex64"])
def test_arrays_keep_their_type(dtype, getkey):
    def check():
        params = jax.tree.map(lambda x: x.astype(dtype), draw_params(RBM, getkey))
        assert params.weights.dtype == dtype
        content = io.to_bytes(RBM, params)
        assert_same(io.from_bytes(content)[1], params)
        return content

    if dtype != "float64":
        check()
        return
    with enable_x64():
        content = check()
    with pytest.raises(InvalidType, match=r"file: \S+ has float64, which JAX"):
        io.from_bytes(content, "file")
    wide = jax.tree.map(lambda x: np.asarray(x, np.float64), PARAMS)
    with pytest.raises(InvalidType, match=r"has float64 at visible\.bias, which JAX"):
        io.to_bytes(RBM, wide)


def test_the_same_model_is_the_same_file():
    assert len({io.to_bytes(RBM, PARAMS) for _ in range(10)}) == 1


def test_any_reader_of_safetensors_finds_the_arrays(tmp_path):
    path = tmp_path / "model.safetensors"
    io.save(path, RBM, PARAMS)
    arrays = safetensors.numpy.load_file(path)
    assert {*arrays} == {"visible.bias", "hidden.bias", "weights"}
    np.testing.assert_array_equal(arrays["weights"], PARAMS.weights)


def test_without_a_model_arrays_come_back_in_dictionaries():
    net = {"kernel": jnp.ones((2, 3)), "step": jnp.arange(2)}
    tree = {"net": net, "pair": (jnp.ones(()), jnp.zeros((0, 3)))}
    model, found = io.from_bytes(io.to_bytes(None, tree))
    assert model is None
    assert_same(found, tree | {"pair": {"0": tree["pair"][0], "1": tree["pair"][1]}})


def test_a_class_of_ones_own(monkeypatch):
    monkeypatch.setattr(io, "_specs", dict(io._known_specs()))
    model = Chilled(RBM)
    with pytest.raises(InvalidType, match="class Chilled, which files do not know"):
        io.to_bytes(model, PARAMS)
    assert io.register(Chilled) is Chilled
    content = io.to_bytes(model, PARAMS)
    assert io.from_bytes(content)[0] == model
    io.register(Chilled)  # As a cell of a notebook does that is run again.
    del io._specs["Chilled"]
    with pytest.raises(InvalidValue, match="the class Chilled, which is not known"):
        io.from_bytes(content)


def test_a_spec_that_its_fields_do_not_rebuild_is_refused(monkeypatch):
    monkeypatch.setattr(io, "_specs", dict(io._known_specs()))
    hidden = dataclasses.field(init=False, default=3)
    fields = [("model", jboltz.RBM), ("hidden", int, hidden)]
    made = dataclasses.make_dataclass("Made", fields, bases=(Chilled,), frozen=True)
    model = io.register(made)(RBM)
    io.to_bytes(model, PARAMS)
    object.__setattr__(model, "hidden", 4)
    with pytest.raises(InvalidType, match="not what its fields rebuild"):
        io.to_bytes(model, PARAMS)


def test_what_cannot_be_registered(monkeypatch):
    monkeypatch.setattr(io, "_specs", dict(io._known_specs()))
    other = dataclasses.make_dataclass("RBM", ["size"], frozen=True)
    with pytest.raises(InvalidValue, match=r"already mean jboltz\.models\.rbm\.RBM"):
        io.register(other)
    for wrong in (int, type(PARAMS).__class__):
        with pytest.raises(InvalidType, match="the class of a spec is needed"):
            io.register(wrong)


@pytest.mark.parametrize(
    ("model", "params", "words"),
    [
        (RBM, jboltz.RBM(B(4), B(3)).init(jax.random.key(0)), "has shape"),
        (RBM, PARAMS.replace(weights=PARAMS.weights.at[0].set(jnp.nan)), "NaN"),
        (RBM, {"weights": PARAMS.weights}, "needs RBMParams"),
        ("RBM", PARAMS, "`model` is no model that can be made.*no attribute 'init'"),
        (B(4), PARAMS.visible, "`model` is no model that can be made"),
        (object(), PARAMS, "class object, which files do not know"),
        (Chilled(RBM), PARAMS, "class Chilled, which files do not know"),
        (jboltz.Gibbs(RBM), PARAMS, "class Gibbs, which files do not know"),
        (None, {"a.b": jnp.ones(2)}, "the leaf 'a.b'.*name without dots"),
        (None, jnp.ones(2), "put it into a dictionary"),
        (None, {"key": jax.random.key(0)}, "at key.*random keys"),
        (None, {"x": 3}, "a file holds arrays of numbers"),
        (None, {"x": "text"}, "a file holds arrays of numbers"),
        (None, {"x": np.array([object()])}, " at x, but a file holds"),
        (None, {"x": np.ones(2, np.longdouble)}, " at x, but a file holds"),
    ],
)
def test_what_cannot_be_saved(model, params, words, tmp_path):
    with pytest.raises((InvalidType, InvalidValue), match=words):
        io.save(tmp_path / "x", model, params)
    assert not list(tmp_path.iterdir())


def test_every_flipped_bit_and_every_cut_is_refused():
    content = io.to_bytes(RBM, PARAMS)
    for place in range(len(content) * 8):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(InvalidValue):
            io.from_bytes(bytes(damaged))
    for length in range(len(content)):
        with pytest.raises(InvalidValue):
            io.from_bytes(content[:length])
    with pytest.raises(InvalidValue):
        io.from_bytes(content + b" ")


def test_what_is_no_file_of_a_model(tmp_path):
    np.savez(tmp_path / "npz.npz", PARAMS.weights)
    (tmp_path / "pickle").write_bytes(pickle.dumps({"weights": 1}))
    (tmp_path / "text").write_text("weights: 1\n" * 100)
    (tmp_path / "empty").touch()
    for name in ("npz.npz", "pickle", "text", "empty"):
        with pytest.raises(InvalidValue, match=f"{name} is no safetensors file"):
            io.load(tmp_path / name)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe", "missing"):
        with pytest.raises(InvalidValue, match=f"{name}, where there is no file"):
            io.load(tmp_path / name)
    arrays = {"weights": np.ones((4, 2), np.float32)}
    with pytest.raises(InvalidValue, match=r"`jboltz\.save` did not write"):
        io.from_bytes(safetensors.numpy.save(arrays))
    for header in ("[1]", "3", "[" * 10_000):
        with pytest.raises(InvalidValue, match="is no safetensors file, or is damaged"):
            io.from_bytes(safetensors.numpy.save(arrays, {"jboltz": header}))


BIAS = np.ones(4, np.float32)
ARRAYS = {
    "weights": np.ones((4, 2), np.float32),
    "visible.bias": BIAS,
    "hidden.bias": np.ones(2, np.float32),
}
SPEC = {
    "RBM": {"visible": {"Bernoulli": {"size": 4}}, "hidden": {"Bernoulli": {"size": 2}}}
}


@pytest.mark.parametrize(
    ("model", "arrays", "version", "words"),
    [
        (SPEC, ARRAYS, 2, "version 2 of the format.*newer jboltz"),
        (SPEC, ARRAYS, None, "version None of the format"),
        (SPEC, ARRAYS | {"weights": np.ones(8, np.int8)}, 1, "the type I8, which"),
        ({"os.system": {}}, ARRAYS, 1, "class os.system, which is not known here"),
        (
            {"RBM": {"visible": 3, "hidden": 3}},
            ARRAYS,
            1,
            "(?s)can be made here.*visible",
        ),
        ({"RBM": {"size": 3}}, ARRAYS, 1, "can be made here"),
        ({"RBM": 3}, ARRAYS, 1, "can be made here"),
        ({}, ARRAYS, 1, "can be made here"),
        ({"Bernoulli": {"size": 3}}, ARRAYS, 1, "can be made here"),
        ([SPEC], ARRAYS, 1, "can be made here"),
        (SPEC, ARRAYS | {"more": ARRAYS["weights"]}, 1, "holds the arrays .* but"),
        (SPEC, {"weights": ARRAYS["weights"]}, 1, "holds the arrays .* but"),
        (
            SPEC,
            ARRAYS | {"weights": np.ones((2, 4), np.float32)},
            1,
            r"has shape \(2, 4\) but",
        ),
        (SPEC, ARRAYS | {"weights": np.ones((4, 2), np.int32)}, 1, "one floating"),
        (SPEC, ARRAYS | {"weights": np.ones((4, 2), np.float16)}, 1, "one floating"),
        (SPEC, ARRAYS | {"weights": ARRAYS["weights"] * np.inf}, 1, "holds NaN"),
        (None, {"a" + "." * 5000: BIAS}, 1, "5001 dictionaries deep.* the most"),
        (None, {"a": BIAS, "a.b.c": BIAS}, 1, "the array a and, inside"),
    ],
)
def test_a_sound_file_of_nonsense(model, arrays, version, words):
    with pytest.raises((InvalidValue, InvalidType), match=words):
        io.from_bytes(content_of(model, arrays, version), "file")


def test_a_sound_file_is_read():
    assert io.from_bytes(content_of(SPEC, ARRAYS))[0] == RBM


def test_a_user_that_is_not_there_is_refused():
    with pytest.raises(InvalidValue, match=r"`path` is .* no such user"):
        io.load("~nobody_at_all/model.safetensors")


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidValue, match="folder is a folder but"):
        io.save(tmp_path / "folder", RBM, PARAMS)
    assert [x.name for x in tmp_path.iterdir()] == ["folder"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    io.save(path, RBM, PARAMS)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        io.save(path, RBM, draw_like(PARAMS, jax.random.key(1)))
    assert path.read_bytes() == before
    assert [x.name for x in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.slow  # Of the clock of a quiet machine.
def test_a_large_network_takes_a_tenth_of_a_second(tmp_path):
    dbn = jboltz.DBN.chain(B(784), B(500), B(200))
    params = draw_like(jax.eval_shape(dbn.init, jax.random.key(0)), jax.random.key(1))
    path, saving, loading = tmp_path / "dbn.safetensors", [], []
    for _ in range(10):
        started = time.perf_counter()
        io.save(path, dbn, params)
        saved = time.perf_counter()
        found = io.load(path)
        saving.append(saved - started)
        loading.append(time.perf_counter() - saved)
    assert found[0] == dbn
    assert_same(found[1], params)
    assert max(min(saving), min(loading)) < 0.1
