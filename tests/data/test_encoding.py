"""Encodings: states back to values, and an encoding in a file."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz import Gaussian
from jboltz.data import read
from jboltz.data.encoding import from_json, learn
from jboltz.errors import InvalidValue

RNG = np.random.default_rng(0)
COLUMNS = {
    "smokes": RNG.random(40) < 0.5,
    "spin": RNG.choice([-1, 1], 40),
    "age": RNG.normal(40, 9, 40),
    "visits": RNG.integers(0, 6, 40),
    "height": RNG.normal(1.7, 0.1, 40),
    "town": RNG.choice(["Rome", "Oslo", "Lima"], 40),
    "pixels": RNG.integers(0, 256, (40, 2, 3)).astype(np.uint8),
    "constant": np.full(40, 7.5),
}
ROWS = np.arange(40)
KINDS = {"constant": "reals"}


@pytest.fixture(scope="module")
def encoding():
    return learn(COLUMNS, {}, KINDS, ())


def test_values_come_back_from_states(encoding):
    batch = encoding.encode(COLUMNS, ROWS)
    decoded = encoding.decode(batch.values)
    assert {*decoded} == {*COLUMNS}
    for name, values in COLUMNS.items():
        found = decoded[name].reshape(values.shape)
        if values.dtype.kind == "U":
            assert (found == values).all()
        else:
            np.testing.assert_allclose(found, values, rtol=1e-5, err_msg=name)


def test_samples_of_several_times_are_not_rows(encoding):
    states = encoding.encode(COLUMNS, ROWS).values
    samples = jax.tree.map(lambda x: x[:, None], states)
    with pytest.raises(InvalidValue, match="one sample of each chain"):
        encoding.decode(samples)


def test_an_encoding_survives_json(encoding):
    again = from_json(json.loads(json.dumps(encoding.as_json())))
    assert again.unit == encoding.unit
    assert again.words == encoding.words
    first, second = (x.encode(COLUMNS, ROWS).values for x in (encoding, again))
    for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_is_no_encoding_is_refused():
    shell = {"names": ["a"], "missing": [], "has_gaps": False}
    no_scale = {"parts": [[["a", "reals", 1, None, []]]]}
    other_kind = {"parts": [[["a", "colours", 1, None, []]]]}
    for table in ({}, [], other_kind, shell | no_scale, shell | {"parts": []}):
        with pytest.raises(InvalidValue, match="columns of the training data"):
            from_json(table)


def test_test_data_may_be_read_like_an_encoding(encoding):
    examples = read(np.array([[1.5, 2.5], [3.0, 4.0]]))
    notes = json.loads(json.dumps(examples.encoding.as_json()))
    for like in (examples.encoding, notes):
        again = read(np.array([[3.0, 4.0]]), like=like)
        np.testing.assert_array_equal(again.data.values, examples.data.values[1:])


def test_the_density_of_rows_is_that_of_states_less_the_volume():
    """N(x; m, s²) of the data, where the states have mean 0 and variance 1."""
    examples = read(RNG.normal(5, 3, (200, 2)))
    unit = examples.unit
    assert unit == Gaussian(2)
    params = unit.init()
    energies = jax.vmap(unit.energy, (None, 0))(params, examples.data.values)
    log_z = unit.log_normalizer(params, jnp.zeros(2))
    volume = examples.encoding.log_volume(examples.data.values)
    found = -energies - log_z - volume
    x = examples.source.take(np.arange(200))["values"]
    mean, scale = x.mean(axis=0), x.std(axis=0)
    terms = ((x - mean) / scale) ** 2 + np.log(2 * np.pi * scale**2)
    np.testing.assert_allclose(found, -0.5 * terms.sum(axis=1), rtol=1e-4)


def test_positive_numbers_are_log_normal():
    """N(log x; m, s²)/x, where the logarithms of the states have m = 0 and s = 1."""
    x = np.exp(RNG.normal(2, 0.5, (200, 1)))
    examples = read(x, kinds="positive")
    states = np.asarray(examples.data.values, np.float64)
    log_p = -0.5 * (states[:, 0] ** 2 + np.log(2 * np.pi))
    found = log_p - examples.encoding.log_volume(examples.data.values)
    logs = np.log(x[:, 0])
    mean, scale = logs.mean(), logs.std()
    terms = ((logs - mean) / scale) ** 2 + np.log(2 * np.pi * scale**2)
    np.testing.assert_allclose(found, -0.5 * terms - logs, rtol=1e-4)
    decoded = examples.encoding.decode(examples.data.values)["values"]
    np.testing.assert_allclose(decoded, x, rtol=1e-5)
    assert (examples.encoding.decode(np.array([[-9.0], [9.0]]))["values"] > 0).all()


def test_gaps_of_positive_numbers_are_finite_states():
    table = np.array([[3.0, -1.0], [np.nan, 2.0], [5.0, 8.0]])
    batch = read(table, kinds="positive", missing=(-1,)).data
    assert np.isfinite(batch.values).all()
    np.testing.assert_array_equal(batch.mask, [[1, 0], [0, 1], [1, 1]])
    with pytest.raises(InvalidValue, match=r"0\.0 in row 1, feature 0.*above 0"):
        read(np.array([[1.5], [0.0]]), kinds="positive")


@pytest.mark.parametrize(("name", "other"), [("town", "age"), ("age", "town")])
def test_text_in_place_of_numbers_is_refused(encoding, name, other):
    with pytest.raises(InvalidValue, match=f"`{name}` holds (text|numbers)"):
        encoding.encode(COLUMNS | {name: COLUMNS[other]}, ROWS)


def test_a_column_of_gaps_alone_is_masked(encoding):
    gaps = COLUMNS | {"town": np.full(40, np.nan)}
    batch = encoding.encode(gaps, ROWS)
    masks = jax.tree.leaves(batch.mask)
    part = next(i for i, x in enumerate(encoding.parts) if x[0].name == "town")
    assert not masks[part].any()
    assert all(mask.all() for i, mask in enumerate(masks) if i != part)
