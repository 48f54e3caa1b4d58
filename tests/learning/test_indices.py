"""Rows of indices are the binary states that they list."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jboltz
from tests.helpers import errors_without_hook, rng_of

RBM = jboltz.RBM(jboltz.Bernoulli(40), jboltz.Bernoulli(6))


def draw(getkey, count=30):
    states = rng_of(getkey()).uniform(size=(count, 40)) < 0.1
    states[0] = False
    return states.astype(np.float32), [np.flatnonzero(row).tolist() for row in states]


def test_states_are_on_where_rows_say(getkey):
    states, rows = draw(getkey)
    for places in (None, 40):
        padded = jboltz.pad_indices(rows, 40, num_places=places)
        assert padded.dtype == np.int32
        found = jboltz.FromIndices(40)(jnp.asarray(padded), getkey())
        np.testing.assert_array_equal(found, states)


def test_training_on_a_stream_of_indices_is_training_on_the_states(getkey):
    states, rows = draw(getkey)
    padded, key = jboltz.pad_indices(rows, 40), getkey()
    estimator = jboltz.ContrastiveDivergence(RBM, jboltz.Gibbs(RBM))
    optimizer = optax.sgd(0.1)
    start = jboltz.init_train_state(RBM.init(key), estimator, optimizer, key)
    step = jboltz.make_train_step(estimator, optimizer)
    expected, _ = jboltz.fit_stream(step, start, np.split(states, 3), key)
    prepare = jboltz.FromIndices(40)
    found, _ = jboltz.fit_stream(step, start, np.split(padded, 3), key, prepare=prepare)
    chex.assert_trees_all_equal(found.params, expected.params)


def test_no_state_is_copied_from_the_host(getkey):
    """A step's arguments are the indices: here 8 of 100 000 units, a row."""
    rows = jax.ShapeDtypeStruct((64, 8), jnp.int32)
    program = jax.jit(jboltz.FromIndices(100_000)).lower(rows, getkey()).compile()
    assert program.memory_analysis().argument_size_in_bytes <= 64 * 8 * 4 + 64


def test_what_is_no_unit_is_refused():
    errors = {
        "j.pad_indices([[0, 3]], 3)": "`rows` holds 0 to 3 in one row but units",
        "j.pad_indices([[-1]], 3)": "`rows` holds -1 to -1 in one row but units",
        "j.pad_indices([[0, 1]], 3, num_places=1)": "`num_places` is 1 but a row has 2",
        "j.pad_indices([[1, 1]], 3)": "`rows` holds [1, 1] but a row names each unit",
        "j.pad_indices([[1, 0, 0]], 3)": "`rows` holds [1, 0, 0] but a row names each",
    }
    found = errors_without_hook("import jboltz as j", list(errors))
    for call, message in errors.items():
        assert found[call].startswith(f"InvalidValue: {message}")
