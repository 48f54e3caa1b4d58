"""`fit`: the same updates as a plain loop, and what it promises."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jboltz
from jboltz.learning import train
from tests.helpers import errors_without_hook, random_params
from tests.learning.cases import (
    BATCH_SIZE,
    DATA,
    ESTIMATOR,
    STEPS_PER_EPOCH,
    TRAIN_STEP,
    appended,
    bit_for_bit,
    bookkeeping_step,
    breakable_book,
    breaks_at_row_13,
    by_hand,
    epoch_batches,
    numbered,
    open_book,
    same,
    start,
)

fit = partial(jboltz.fit, batch_size=BATCH_SIZE)


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
        on_chunk=lambda *arguments: calls.append(arguments),
    )
    bit_for_bit(cut, whole)
    assert len(calls) == 2 * chunks_per_epoch
    for index, (epoch, so_far, history) in enumerate(calls):
        expected_epoch, chunk = divmod(index, chunks_per_epoch)
        done = STEPS_PER_EPOCH * (chunk + 1) // chunks_per_epoch
        assert epoch == expected_epoch
        # Donation has not deleted what was handed out.
        assert so_far.step == STEPS_PER_EPOCH * epoch + done
        expected = whole[1][epoch]["contrast"][:done]
        np.testing.assert_array_equal(history["contrast"], expected)
    bit_for_bit(calls[-1][1], whole[0])


def test_going_on_at_a_later_epoch_is_an_uninterrupted_run(getkey):
    state, key = start(getkey()), getkey()
    whole, histories = fit(TRAIN_STEP, state, DATA, key, num_epochs=3)
    first, before = fit(TRAIN_STEP, state, DATA, key, num_epochs=1)
    rest, after = fit(TRAIN_STEP, first, DATA, key, num_epochs=3, first_epoch=1)
    bit_for_bit((rest, before + after), (whole, histories))
    none, no_history = fit(TRAIN_STEP, rest, DATA, key, num_epochs=3, first_epoch=3)
    bit_for_bit(none, rest)
    assert no_history == []


def test_what_ends_an_epoch_changes_the_state_and_joins_its_history(getkey):
    def end_epoch(state):
        visits = state.params["visits"] + 10
        new = state.replace(params={"visits": visits})
        return new, {"most visits": visits.max()}

    state, histories = fit(
        bookkeeping_step,
        open_book(22, 66),
        numbered(22),
        getkey(),
        num_epochs=2,
        end_epoch=end_epoch,
        on_epoch=lambda _, state, history: np.testing.assert_array_equal(
            history["most visits"], [state.params["visits"].max()]
        ),
    )
    np.testing.assert_array_equal(state.params["visits"], np.full(22, 22.0))
    assert [h["most visits"].item() for h in histories] == [11, 22]


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


# Parameters that are not finite.


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


def unchecked(rows, key):
    del key
    return rows


def test_a_row_that_is_not_finite_is_reported_at_its_step(getkey):
    """Every leaf is named: the row is part of the mean of each."""
    params, key = REAL.init(getkey()), getkey()
    state = jboltz.init_train_state(params, REAL_ESTIMATOR, WITH_RATE, getkey())
    data = np.array(jax.random.normal(getkey(), (16, 6)))
    data[7] = np.nan
    step = next(i for i, (rows, _) in enumerate(epoch_batches(key, 0, 16)) if 7 in rows)
    with pytest.raises(FloatingPointError) as error:
        fit(REAL_STEP, state, data, key, num_epochs=1, prepare=unchecked)
    expected = (
        f"Step {step + 1} of 2 of epoch 1 makes params.visible.mean, "
        "params.visible.log_variance, params.hidden.bias, params.weights not finite"
    )
    assert str(error.value).startswith(expected)


def test_counts_that_are_off_are_refused():
    setup = (
        "import jax, numpy as np, jboltz as j\n"
        "from tests.learning.cases import TRAIN_STEP, start\n"
        "key = jax.random.key(0)\n"
        "state = start(key)\n"
        "def fit(num_rows, **options):\n"
        "    options = {'batch_size': 4, 'num_epochs': 1} | options\n"
        "    j.fit(TRAIN_STEP, state, np.zeros((num_rows, 6)), key, **options)\n"
    )
    message = "InvalidValue: `{}` is {} but needs to be a whole number of at least {}."
    too_large = (
        "InvalidValue: `batch_size` is {} but the data hold {} examples; take a batch "
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
        "j.fit_stream(None, None, [], None, chunk_size=0)": message.format(
            "chunk_size", 0, 1
        ),
    }
    assert errors_without_hook(setup, expected) == expected


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda state: None, "returned an object of NoneType but a `TrainState`"),
        (
            lambda state: state,
            "returned an object of TrainState but a `TrainState` and",
        ),
        (lambda state: (state.params, {}), "returned an object of tuple but"),
        (
            lambda state: (state, {"contrast": 0.0}),
            r"returned metrics \['contr",
        ),
    ],
)
def test_an_end_of_an_epoch_returns_a_state_and_new_metrics(returned, message, getkey):
    options = {"batch_size": 11, "num_epochs": 1, "end_epoch": returned}
    with pytest.raises((TypeError, ValueError), match=f"`end_epoch` {message}"):
        jboltz.fit(TRAIN_STEP, start(getkey()), DATA, getkey(), **options)


def test_a_callback_that_empties_its_history_empties_no_other(getkey):
    histories = jboltz.fit(
        TRAIN_STEP,
        start(getkey()),
        DATA,
        getkey(),
        batch_size=11,
        num_epochs=1,
        chunks_per_epoch=2,
        on_chunk=lambda epoch, state, history: history.clear(),
        on_epoch=lambda epoch, state, history: history.clear(),
    )[1]
    assert histories[0]["contrast"].shape == (2,)
