"""`fit` and `fit_stream`: the same updates as a plain loop, and what they promise."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jboltz
from jboltz import Batch, TrainState
from jboltz.learning import train
from tests.helpers import errors_without_hook, random_params

# One machine for most tests, so that they share what they compile. Its state has all
# parts: parameters, momenta and persistent chains. The last of three batches is short.
MODEL = jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(4))
ESTIMATOR = jboltz.PersistentContrastiveDivergence(MODEL, jboltz.Gibbs(MODEL), 3)
OPTIMIZER = optax.sgd(0.1, momentum=0.9)
TRAIN_STEP = jboltz.make_train_step(ESTIMATOR, OPTIMIZER)
DATA = np.asarray(jnp.round(jax.random.uniform(jax.random.key(0), (22, 6))))
BATCH_SIZE, STEPS_PER_EPOCH = 8, 3

same = partial(chex.assert_trees_all_close, rtol=2e-5, atol=1e-6)
bit_for_bit = chex.assert_trees_all_equal
fit = partial(jboltz.fit, batch_size=BATCH_SIZE)


def start(key, optimizer=OPTIMIZER):
    params = random_params(MODEL.init(key), key)
    return jboltz.init_train_state(params, ESTIMATOR, optimizer, key)


def epoch_batches(key, epoch, num_examples):
    """(rows, key of the step) of an epoch, from the documented keys."""
    key_order, key_steps = jax.random.split(jax.random.fold_in(key, epoch))
    order = np.asarray(jax.random.permutation(key_order, num_examples))
    for step, first in enumerate(range(0, num_examples, BATCH_SIZE)):
        yield order[first : first + BATCH_SIZE], jax.random.fold_in(key_steps, step)


compiled = partial(jax.jit, static_argnums=0)(lambda f, *args: f(*args))


def by_hand(train_step, state, values, key):
    """One update; of the step's key the second half is the estimator's."""
    _, key_update = jax.random.split(key)
    return compiled(train_step, state, Batch(values=jnp.asarray(values)), key_update)


def appended(metrics):
    return {name: np.array([m[name] for m in metrics]) for name in metrics[0]}


# A step that trains nothing and keeps a book: for each row, named by its first entry,
# the weight that it came with, and the order in which all rows came.


def bookkeeping_step(state, batch, key):
    del key
    rows = batch.values[:, 0].astype(jnp.int32)
    weights = 1.0 if batch.weights is None else batch.weights
    position = state.opt_state
    return TrainState(
        step=state.step + 1,
        params={"visits": state.params["visits"].at[rows].add(weights)},
        opt_state=position + len(rows),
        estimator_state=jax.lax.dynamic_update_slice(
            state.estimator_state, rows, (position,)
        ),
    ), {"first row": batch.values[0, 0]}


def open_book(num_rows, num_visits):
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params={"visits": jnp.zeros(num_rows)},
        opt_state=jnp.zeros((), jnp.int32),
        estimator_state=jnp.full(num_visits, -1, jnp.int32),
    )


def numbered(num_rows):
    return np.arange(num_rows, dtype=np.float32)[:, None]


# fit.


def test_fit_is_a_loop_over_train_step(getkey):
    """Every metric of every step and the whole state, the short last batch included."""
    state, key = start(getkey()), getkey()
    fitted, histories = fit(TRAIN_STEP, state, DATA, key, num_epochs=2)
    for epoch, history in enumerate(histories):
        metrics = []
        for rows, key_step in epoch_batches(key, epoch, len(DATA)):
            state, step_metrics = by_hand(TRAIN_STEP, state, DATA[rows], key_step)
            metrics.append(step_metrics)
        assert len(metrics) == STEPS_PER_EPOCH
        same(history, appended(metrics))
        assert all(type(x) is np.ndarray for x in history.values())
    same(fitted, state)
    assert fitted.step == 2 * STEPS_PER_EPOCH


@pytest.mark.parametrize("chunks_per_epoch", [2, 3, 7])
def test_chunks_change_no_bit(chunks_per_epoch, getkey):
    """Seven are more chunks than there are steps."""
    state, key, calls = start(getkey()), getkey(), []
    whole = fit(TRAIN_STEP, state, DATA, key, num_epochs=2)
    cut = fit(
        TRAIN_STEP,
        state,
        DATA,
        key,
        num_epochs=2,
        chunks_per_epoch=chunks_per_epoch,
        on_chunk=lambda epoch, history: calls.append((epoch, history["contrast"])),
    )
    bit_for_bit(cut, whole)
    assert [epoch for epoch, _ in calls] == [0] * chunks_per_epoch + [
        1
    ] * chunks_per_epoch
    for index, (epoch, so_far) in enumerate(calls):
        done = STEPS_PER_EPOCH * (index % chunks_per_epoch + 1) // chunks_per_epoch
        np.testing.assert_array_equal(so_far, whole[1][epoch]["contrast"][:done])


def test_going_on_at_a_later_epoch_is_an_uninterrupted_run(getkey):
    state, key = start(getkey()), getkey()
    whole, histories = fit(TRAIN_STEP, state, DATA, key, num_epochs=3)
    first, before = fit(TRAIN_STEP, state, DATA, key, num_epochs=1)
    rest, after = fit(TRAIN_STEP, first, DATA, key, num_epochs=3, first_epoch=1)
    bit_for_bit((rest, before + after), (whole, histories))
    none, no_history = fit(TRAIN_STEP, rest, DATA, key, num_epochs=3, first_epoch=3)
    bit_for_bit(none, rest)
    assert no_history == []


def test_an_epoch_visits_every_example_once_in_an_order_of_its_own(getkey):
    state, histories = fit(
        bookkeeping_step, open_book(22, 66), numbered(22), getkey(), num_epochs=3
    )
    np.testing.assert_array_equal(state.params["visits"], np.full(22, 3.0))
    orders = np.asarray(state.estimator_state).reshape(3, 22)
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(22), (3, 1)))
    assert len({tuple(order) for order in orders}) == 3
    assert tuple(np.arange(22)) not in {tuple(order) for order in orders}
    for history, order in zip(histories, orders, strict=True):
        np.testing.assert_array_equal(history["first row"], order[::BATCH_SIZE])


def test_weights_stay_with_their_rows(getkey):
    weights = np.linspace(0.5, 2, 22, dtype=np.float32)
    data = Batch(values=numbered(22), weights=weights)
    state, _ = fit(bookkeeping_step, open_book(22, 22), data, getkey(), num_epochs=1)
    np.testing.assert_array_equal(state.params["visits"], weights)
    batches = [Batch(values=numbered(22)[:4], weights=weights[:4])]
    state, _ = jboltz.fit_stream(
        bookkeeping_step, open_book(22, 22), batches, getkey(), chunk_size=1
    )
    np.testing.assert_array_equal(state.params["visits"][:5], [*weights[:4], 0])


def test_a_mask_reaches_the_estimator(getkey):
    data = Batch(values=DATA, mask=np.ones(DATA.shape, bool))
    with pytest.raises(ValueError, match=r"`batch\.mask` marks missing entries"):
        fit(TRAIN_STEP, start(getkey()), data, getkey(), num_epochs=1)


def test_states_outlive_the_calls_that_they_were_part_of(getkey):
    """What the caller passed in, and what `on_epoch` was given."""
    state, key, kept = start(getkey()), getkey(), []
    before = jax.tree.map(np.array, state)
    fit(
        TRAIN_STEP,
        state,
        DATA,
        key,
        num_epochs=2,
        on_epoch=lambda *arguments: kept.append(arguments),
    )
    bit_for_bit(jax.device_get(state), before)
    for epoch in range(2):
        shorter, histories = fit(TRAIN_STEP, state, DATA, key, num_epochs=epoch + 1)
        bit_for_bit(kept[epoch], (epoch, shorter, histories[epoch]))


def test_the_compiled_epoch_takes_over_the_memory_of_the_state(getkey, monkeypatch):
    run_epoch, donated = train._run_epoch, []

    def spy(train_step, state, *arguments, **options):
        donated.extend(jax.tree.leaves(state))
        return run_epoch(train_step, state, *arguments, **options)

    monkeypatch.setattr(train, "_run_epoch", spy)
    state = start(getkey())
    fit(TRAIN_STEP, state, DATA, getkey(), num_epochs=2, chunks_per_epoch=3)
    assert len(donated) == 6 * len(jax.tree.leaves(state))
    assert all(x.is_deleted() for x in donated)


FROZEN_BIASES = jboltz.RBMParams(visible="frozen", hidden="frozen", weights="trained")


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam(optax.piecewise_constant_schedule(0.1, {1: 0.1, 3: 0.1})),
        optax.partition(
            {"trained": optax.sgd(0.1, momentum=0.5), "frozen": optax.set_to_zero()},
            FROZEN_BIASES,
        ),
    ],
    ids=["adam with a schedule", "labelled parts"],
)
def test_any_optimizer_of_optax_will_do(optimizer, getkey):
    state, key, data = start(getkey(), optimizer), getkey(), DATA[:16]
    train_step = jboltz.make_train_step(ESTIMATOR, optimizer)
    fitted, _ = fit(train_step, state, data, key, num_epochs=2)
    biases = state.params.visible, state.params.hidden
    for epoch in range(2):
        for rows, key_step in epoch_batches(key, epoch, len(data)):
            state, _ = by_hand(train_step, state, data[rows], key_step)
    same(fitted, state)
    if isinstance(fitted.opt_state, optax.PartitionState):
        bit_for_bit((fitted.params.visible, fitted.params.hidden), biases)


def counting(optimizer):
    """The optimizer, and how often its update has been traced."""
    traces = []

    def update(*arguments):
        traces.append(None)
        return optimizer.update(*arguments)

    return optax.GradientTransformation(optimizer.init, update), traces


def test_specs_made_again_do_not_compile_again(getkey):
    """With the same optimizer object: a closure has no value to be compared by."""
    optimizer, traces = counting(optax.sgd(0.1))
    counts = []
    for num_epochs in (1, 3):
        model = jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(4))
        estimator = jboltz.ContrastiveDivergence(model, jboltz.Gibbs(model))
        train_step = jboltz.make_train_step(estimator, optimizer)
        params = random_params(model.init(getkey()), getkey())
        state = jboltz.init_train_state(params, estimator, optimizer, getkey())
        fit(train_step, state, DATA[:8], getkey(), num_epochs=num_epochs)
        counts.append(len(traces))
    assert counts[0] == counts[1] > 0


def offset(shift, rows, key):
    del key
    TRACES.append(None)
    return rows.astype(jnp.float32) - shift


TRACES = []


def test_arrays_that_prepare_carries_do_not_compile_again(getkey):
    """`prepare` sees the rows as they are stored."""
    rows = np.arange(200, 222, dtype=np.uint8)[:, None]
    counts = []
    for shift in (200.0, 195.0):
        prepare = jax.tree_util.Partial(offset, jnp.asarray(shift))
        state, _ = fit(
            bookkeeping_step,
            open_book(30, 22),
            rows,
            getkey(),
            num_epochs=1,
            prepare=prepare,
        )
        visits = np.zeros(30)
        visits[200 - int(shift) :][:22] = 1
        np.testing.assert_array_equal(state.params["visits"], visits)
        counts.append(len(TRACES))
    assert counts[0] == counts[1] > 0


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


def test_a_batch_split_over_devices_makes_the_same_updates(getkey):
    """Equal to rounding. `prepare` splits the batch, and each device its chains."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    replicated = NamedSharding(mesh, PartitionSpec())

    def split_batch(rows, key):
        del key
        return jax.lax.with_sharding_constraint(rows, split)

    state, key = start(getkey()), getkey()
    one, losses = fit(TRAIN_STEP, state, DATA[:16], key, num_epochs=2)
    many, split_losses = fit(
        TRAIN_STEP,
        jax.device_put(state, replicated),
        jax.device_put(DATA[:16], replicated),
        key,
        num_epochs=2,
        prepare=split_batch,
    )
    assert len(many.params.weights.sharding.device_set) == 8
    same(jax.device_get((many, split_losses)), jax.device_get((one, losses)))


# fit_stream.

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
    rest, after = stream(first, BATCHES[2:], key, first_step=2)
    bit_for_bit(rest, whole)
    bit_for_bit(
        {name: np.append(before[name], x) for name, x in after.items()}, history
    )


def test_chunks_of_a_stream_are_reported_with_states_to_keep(getkey):
    """A chunk ends early where the batches change their shape."""
    state, key, kept = start(getkey()), getkey(), []
    jboltz.fit_stream(
        TRAIN_STEP,
        state,
        BATCHES,
        key,
        chunk_size=3,
        first_step=10,
        on_chunk=lambda *arguments: kept.append(arguments),
    )
    assert [steps for steps, _, _ in kept] == [13, 14, 16]
    for steps, kept_state, _ in kept:
        shorter, history = jboltz.fit_stream(
            TRAIN_STEP, state, BATCHES[: steps - 10], key, chunk_size=3, first_step=10
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


# Parameters that are not finite.


def breakable_book():
    book = open_book(22, 66)
    return book.replace(params=book.params | {"scale": jnp.ones(())})


def breaks_at_row_13(state, batch, key):
    """Row 13 makes one leaf NaN, and the next step would make the other one so, too."""
    scale = jnp.where(jnp.any(batch.values == 13), jnp.nan, state.params["scale"])
    new_state, metrics = bookkeeping_step(state, batch, key)
    visits = new_state.params["visits"] + 0 * state.params["scale"]
    return new_state.replace(params={"scale": scale, "visits": visits}), metrics


@pytest.mark.parametrize("chunks_per_epoch", [1, 2, 3])
def test_fit_names_epoch_step_and_leaf_that_are_not_finite(chunks_per_epoch, getkey):
    """Of the third epoch: the rows before it are others."""
    key, seen = getkey(), []
    step = next(
        index for index, (rows, _) in enumerate(epoch_batches(key, 2, 22)) if 13 in rows
    )
    data = numbered(22)
    with pytest.raises(FloatingPointError) as error:
        fit(
            breaks_at_row_13,
            breakable_book(),
            data,
            key,
            num_epochs=5,
            first_epoch=2,
            chunks_per_epoch=chunks_per_epoch,
            on_epoch=lambda *arguments: seen.append(arguments),
        )
    expected = f"Step {step + 1} of 3 of epoch 3 makes params['scale'] not finite, but"
    assert str(error.value).startswith(expected)
    assert seen == []


@pytest.mark.parametrize("chunk_size", [1, 4, 100])
@pytest.mark.parametrize("broken", [0, 6, 8])
def test_fit_stream_names_step_and_leaf_that_are_not_finite(broken, chunk_size, getkey):
    rows = np.delete(numbered(22), 13, axis=0)[:9]
    rows[broken] = 13
    done = []
    with pytest.raises(FloatingPointError) as error:
        jboltz.fit_stream(
            breaks_at_row_13,
            breakable_book(),
            rows[:, None],
            getkey(),
            chunk_size=chunk_size,
            first_step=20,
            on_chunk=lambda steps, state, history: done.append(steps),
        )
    expected = f"Step {21 + broken} of the stream makes params['scale'] not finite, but"
    assert str(error.value).startswith(expected)
    assert done == [20 + x for x in range(chunk_size, broken + 1, chunk_size)]


REAL = jboltz.RBM(jboltz.Gaussian(6), jboltz.Bernoulli(4))
REAL_ESTIMATOR = jboltz.ContrastiveDivergence(REAL, jboltz.Gibbs(REAL))
# The rate is part of the state, so that both tests run the same program.
WITH_RATE = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
REAL_STEP = jboltz.make_train_step(REAL_ESTIMATOR, WITH_RATE)


def test_a_learning_rate_that_is_too_high_is_reported(getkey):
    """The first step makes huge parameters, the second infinite ones."""
    params = REAL.init(getkey())
    state = jboltz.init_train_state(params, REAL_ESTIMATOR, WITH_RATE, getkey())
    state.opt_state.hyperparams["learning_rate"] = jnp.asarray(1e30)
    data = np.asarray(jax.random.normal(getkey(), (16, 6)))
    message = "Step 2 of 2 of epoch 1 makes params.* not finite.*lower the learning"
    with pytest.raises(FloatingPointError, match=message):
        fit(REAL_STEP, state, data, getkey(), num_epochs=2)


def test_a_row_that_is_not_finite_is_reported_at_its_step(getkey):
    """Every leaf is named: the row is part of the mean of each."""
    params, key = REAL.init(getkey()), getkey()
    state = jboltz.init_train_state(params, REAL_ESTIMATOR, WITH_RATE, getkey())
    data = np.array(jax.random.normal(getkey(), (16, 6)))
    data[7] = np.nan
    step = next(i for i, (rows, _) in enumerate(epoch_batches(key, 0, 16)) if 7 in rows)
    with pytest.raises(FloatingPointError) as error:
        fit(REAL_STEP, state, data, key, num_epochs=1)
    expected = (
        f"Step {step + 1} of 2 of epoch 1 makes params.visible.mean, "
        "params.visible.log_variance, params.hidden.bias, params.weights not finite"
    )
    assert str(error.value).startswith(expected)


# Arguments.


def test_counts_that_are_off_are_refused():
    setup = (
        "import jax, numpy as np, jboltz as j\n"
        "def fit(num_rows, **options):\n"
        "    options = {'batch_size': 4, 'num_epochs': 1} | options\n"
        "    j.fit(None, None, np.zeros((num_rows, 3)), jax.random.key(0), **options)\n"
    )
    message = "ValueError: `{}` is {} but needs to be a whole number of at least {}."
    too_large = (
        "ValueError: `batch_size` is {} but the data hold {} examples; take a batch "
        "size of at most that many."
    )
    expected = {
        "fit(9, batch_size=0)": message.format("batch_size", 0, 1),
        "fit(9, batch_size=True)": message.format("batch_size", True, 1),
        "fit(9, batch_size=4.0)": message.format("batch_size", 4.0, 1),
        "fit(9, num_epochs=-1)": message.format("num_epochs", -1, 0),
        "fit(9, num_epochs=1.5)": message.format("num_epochs", 1.5, 0),
        "fit(9, first_epoch=-1)": message.format("first_epoch", -1, 0),
        "fit(9, chunks_per_epoch=0)": message.format("chunks_per_epoch", 0, 1),
        "fit(9, batch_size=10)": too_large.format(10, 9),
        "fit(0)": too_large.format(4, 0),
        "j.fit_stream(None, None, [], None, chunk_size=0)": (
            "ValueError: `chunk_size` is 0 but needs to be at least 1."
        ),
    }
    assert errors_without_hook(setup, expected) == expected


def test_integers_without_a_scale_are_refused(getkey):
    message = "The data are uint8 but a unit's states are floating point"
    images = (255 * DATA).astype(np.uint8)
    with pytest.raises(TypeError, match=message):
        fit(TRAIN_STEP, start(getkey()), images, getkey(), num_epochs=1)
    with pytest.raises(TypeError, match=message):
        jboltz.fit_stream(TRAIN_STEP, start(getkey()), [images], getkey())


def test_rows_of_the_wrong_width_are_refused_with_both_widths(getkey):
    wide = np.zeros((22, 7), np.float32)
    message = r"`v` has shape \(7,\) but RBM\(.*\)\.visible needs shape \(6,\)"
    with pytest.raises(ValueError, match=message):
        fit(TRAIN_STEP, start(getkey()), wide, getkey(), num_epochs=1)
    with pytest.raises(ValueError, match=message):
        jboltz.fit_stream(TRAIN_STEP, start(getkey()), [wide], getkey())
