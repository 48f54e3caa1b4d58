"""What both loops have in common: the update, and what becomes of the data."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch
from tests.learning.cases import (
    DATA,
    MODEL,
    OPTIMIZER,
    TRAIN_STEP,
    bookkeeping_step,
    compiled,
    numbered,
    open_book,
    same,
    start,
)


def fit_once(train_step, state, data, key, **options):
    return jboltz.fit(
        train_step, state, data, key, batch_size=8, num_epochs=1, **options
    )


def stream_once(train_step, state, data, key, **options):
    return jboltz.fit_stream(train_step, state, [data], key, chunk_size=1, **options)


in_both_loops = pytest.mark.parametrize("train", [fit_once, stream_once])


def test_make_train_step_is_pure_and_compares_by_value(getkey):
    again = jboltz.PersistentContrastiveDivergence(MODEL, jboltz.Gibbs(MODEL), 3)
    train_step = jboltz.make_train_step(again, OPTIMIZER)
    assert train_step == TRAIN_STEP
    assert hash(train_step) == hash(TRAIN_STEP)
    assert train_step != jboltz.make_train_step(again, optax.sgd(0.1))
    state, key, batch = start(getkey()), getkey(), Batch(values=jnp.asarray(DATA[:8]))
    eager = train_step(state, batch, key)
    same(eager, compiled(TRAIN_STEP, state, batch, key))
    same(eager, train_step(state, batch, key))


@in_both_loops
def test_weights_stay_with_their_rows(train, getkey):
    weights = np.linspace(0.5, 1.5, 22, dtype=np.float32)
    data = Batch(values=numbered(22), weights=weights)
    state, _ = train(bookkeeping_step, open_book(22, 22), data, getkey())
    np.testing.assert_allclose(state.params["visits"], weights, rtol=1e-6)


@in_both_loops
def test_a_mask_reaches_the_estimator(train, getkey):
    data = Batch(values=DATA, mask=np.ones(DATA.shape, bool))
    with pytest.raises(ValueError, match=r"`batch\.mask` marks missing entries"):
        train(TRAIN_STEP, start(getkey()), data, getkey())


def offset(shift, rows, key):
    del key
    TRACES.append(None)
    return rows.astype(jnp.float32) - shift


TRACES = []


@in_both_loops
def test_arrays_that_prepare_carries_do_not_compile_again(train, getkey):
    """`prepare` sees the rows as they are stored."""
    rows = np.arange(200, 222, dtype=np.uint8)[:, None]
    TRACES.clear()
    counts = []
    for shift in (200.0, 195.0):
        prepare = jax.tree_util.Partial(offset, jnp.asarray(shift))
        state, _ = train(
            bookkeeping_step, open_book(30, 22), rows, getkey(), prepare=prepare
        )
        visits = np.zeros(30)
        visits[200 - int(shift) :][:22] = 1
        np.testing.assert_array_equal(state.params["visits"], visits)
        counts.append(len(TRACES))
    assert counts[0] == counts[1] > 0


def silent_step(state, batch, key):
    state, _ = bookkeeping_step(state, batch, key)
    return state, {}


@in_both_loops
def test_a_step_may_report_nothing(train, getkey):
    state, history = train(silent_step, open_book(22, 22), numbered(22), getkey())
    np.testing.assert_array_equal(state.params["visits"], np.ones(22))
    assert history in ({}, [{}])


@in_both_loops
def test_integers_without_a_scale_are_refused(train, getkey):
    images = (255 * DATA).astype(np.uint8)
    message = "The data are uint8 but a unit's states are floating point"
    with pytest.raises(TypeError, match=message):
        train(TRAIN_STEP, start(getkey()), images, getkey())


@in_both_loops
def test_rows_of_the_wrong_width_are_refused_with_both_widths(train, getkey):
    wide = np.zeros((22, 7), np.float32)
    message = r"`v` has shape \(7,\) but RBM\(.*\)\.visible needs shape \(6,\)"
    with pytest.raises(ValueError, match=message):
        train(TRAIN_STEP, start(getkey()), wide, getkey())
