"""`fit_stream`: the same updates as a plain loop, and what it promises."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from tests.learning.cases import (
    DATA,
    TRAIN_STEP,
    appended,
    bit_for_bit,
    bookkeeping_step,
    breakable_book,
    breaks_at_row_13,
    by_hand,
    numbered,
    open_book,
    same,
    start,
)

# Eight, eight, eight and six rows, and then two more of eight.
BATCHES = [DATA[:8], DATA[8:16], DATA[6:14], DATA[16:], DATA[3:11], DATA[1:9]]


def stream_by_hand(state, key):
    metrics = []
    for step, values in enumerate(BATCHES):
        key_step = jax.random.fold_in(key, step)
        state, step_metrics = by_hand(TRAIN_STEP, state, values, key_step)
        metrics.append(step_metrics)
    return state, appended(metrics)


def test_fit_stream_is_a_loop_over_train_step(getkey):
    """For any chunk size, to the bit the same one; the batches are of two shapes."""
    state, key = start(getkey()), getkey()
    before = jax.tree.map(np.array, state)
    results = [
        jboltz.fit_stream(TRAIN_STEP, state, iter(BATCHES), key, chunk_size=chunk_size)
        for chunk_size in (1, 3, 100)
    ]
    bit_for_bit(results[1], results[0])
    bit_for_bit(results[2], results[0])
    same(results[0], stream_by_hand(state, key))
    assert results[0][0].step == len(BATCHES)
    bit_for_bit(jax.device_get(state), before)


def test_going_on_in_a_stream_is_an_uninterrupted_run(getkey):
    state, key = start(getkey()), getkey()
    stream = partial(jboltz.fit_stream, TRAIN_STEP, chunk_size=3)
    whole, history = stream(state, BATCHES, key)
    first, before = stream(state, BATCHES[:2], key)
    rest, after = stream(first, BATCHES[2:], key)
    bit_for_bit(rest, whole)
    bit_for_bit(
        {name: np.append(before[name], x) for name, x in after.items()}, history
    )


def test_chunks_of_a_stream_are_reported_with_states_to_keep(getkey):
    """A chunk ends early where the batches change their shape."""
    state = start(getkey()).replace(step=jnp.asarray(10, jnp.int32))
    key, kept = getkey(), []
    jboltz.fit_stream(
        TRAIN_STEP,
        state,
        BATCHES,
        key,
        chunk_size=3,
        on_chunk=lambda *arguments: kept.append(arguments),
    )
    assert [steps for steps, _, _ in kept] == [13, 14, 16]
    for steps, kept_state, _ in kept:
        shorter, history = jboltz.fit_stream(
            TRAIN_STEP, state, BATCHES[: steps - 10], key, chunk_size=3
        )
        bit_for_bit(kept_state, shorter)
    pieces = [chunk["contrast"] for _, _, chunk in kept]
    assert [len(x) for x in pieces] == [3, 1, 2]
    np.testing.assert_array_equal(np.concatenate(pieces), history["contrast"])


def test_a_stream_reads_one_chunk_ahead(getkey):
    """The next batches are read before the results of the last chunk, and no more of
    them: a chunk, and one batch to see whether its shape is another."""
    events = []

    def batches():
        for index in range(9):
            events.append(("read", index))
            yield numbered(10)[index : index + 1]

    jboltz.fit_stream(
        bookkeeping_step,
        open_book(10, 9),
        batches(),
        getkey(),
        chunk_size=2,
        on_chunk=lambda steps, state, history: events.append(("done", steps)),
    )
    reports = [index for index, (kind, _) in enumerate(events) if kind == "done"]
    assert [events[index][1] for index in reports] == [2, 4, 6, 8, 9]
    for index in reports:
        num_done = events[index][1]
        num_read = sum(kind == "read" for kind, _ in events[:index])
        assert min(num_done + 2, 9) <= num_read <= min(num_done + 3, 9)


def test_an_empty_stream_is_refused(getkey):
    used_up = iter(BATCHES[:1])
    next(used_up)
    with pytest.raises(ValueError, match="`batches` holds no batch but training needs"):
        jboltz.fit_stream(TRAIN_STEP, start(getkey()), used_up, getkey())


@pytest.mark.parametrize("chunk_size", [1, 4, 100])
@pytest.mark.parametrize("broken", [0, 6, 8])
def test_fit_stream_names_step_and_leaf_that_are_not_finite(broken, chunk_size, getkey):
    rows = np.delete(numbered(22), 13, axis=0)[:9]
    rows[broken] = 13
    done = []
    with pytest.raises(FloatingPointError) as error:
        jboltz.fit_stream(
            breaks_at_row_13,
            breakable_book().replace(step=jnp.asarray(20, jnp.int32)),
            rows[:, None],
            getkey(),
            chunk_size=chunk_size,
            on_chunk=lambda steps, state, history: done.append(steps),
        )
    expected = f"Step {21 + broken} of the stream makes params['scale'] not finite, but"
    assert str(error.value).startswith(expected)
    assert done == [20 + x for x in range(chunk_size, broken + 1, chunk_size)]


@pytest.mark.parametrize(
    ("wrap", "select"),
    [
        (lambda rows: (rows, np.zeros(len(rows))), 0),
        (lambda rows: [np.zeros(len(rows)), rows], 1),
        (lambda rows: {"image": rows, "label": np.zeros(len(rows))}, "image"),
    ],
    ids=["tuple", "list", "dictionary"],
)
def test_one_entry_of_a_batch_is_selected(wrap, select, getkey):
    state, key = start(getkey()), getkey()
    wrapped = map(wrap, BATCHES)
    selected = jboltz.fit_stream(TRAIN_STEP, state, wrapped, key, select=select)
    bit_for_bit(selected, jboltz.fit_stream(TRAIN_STEP, state, BATCHES, key))


@pytest.mark.parametrize(
    ("batch", "select", "words"),
    [
        ({"image": DATA}, "label", r"`select` is 'label' but .* dict .*\['image'\]"),
        ((DATA,), 1, "`select` is 1 but a batch is a tuple with the entries 0 to 0"),
    ],
)
def test_an_entry_that_is_not_there_is_refused(batch, select, words, getkey):
    with pytest.raises(ValueError, match=words):
        jboltz.fit_stream(TRAIN_STEP, start(getkey()), [batch], getkey(), select=select)


def test_a_loader_of_pytorch_is_a_stream(getkey):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(
        torch.as_tensor(np.array(DATA)), torch.zeros(len(DATA))
    )
    loader = torch.utils.data.DataLoader(data, batch_size=8)
    state, key = start(getkey()), getkey()
    rows = [DATA[i : i + 8] for i in range(0, len(DATA), 8)]
    selected = jboltz.fit_stream(TRAIN_STEP, state, loader, key, select=0)
    bit_for_bit(selected, jboltz.fit_stream(TRAIN_STEP, state, rows, key))
