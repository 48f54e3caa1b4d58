"""What both loops have in common: the update, and what becomes of the data."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, Bernoulli
from jboltz.learning.up_down import untie_weights
from tests.learning.cases import (
    DATA,
    ESTIMATOR,
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
    with pytest.raises(ValueError, match="`data` is uint8, pixels from 0 to 255"):
        train(TRAIN_STEP, start(getkey()), images, getkey())
    with pytest.raises(TypeError, match="The data are uint8 but a unit's states"):
        jboltz.unchanged(jnp.asarray(images), getkey())


@in_both_loops
def test_rows_of_the_wrong_width_are_refused_with_both_widths(train, getkey):
    wide = np.zeros((22, 7), np.float32)
    message = r"`data\[0\]` has shape \(7,\) but Bernoulli\(size=6\) needs shape \(6,\)"
    with pytest.raises(ValueError, match=message):
        train(TRAIN_STEP, start(getkey()), wide, getkey())


# Parameters, and what is remembered beside them, are of the step that trains them.


def of_6_units(estimator):
    """The parameters of another model, where the estimator says of which it is."""
    params = jboltz.RBM(Bernoulli(6), Bernoulli(1)).init(jax.random.key(0))
    return jboltz.init_train_state(params, estimator, OPTIMIZER, jax.random.key(0))


@pytest.mark.parametrize(
    "estimator",
    [
        ESTIMATOR,
        jboltz.Centred(ESTIMATOR),
        jboltz.MissingDataEstimator(jboltz.Centred(ESTIMATOR)),
    ],
    ids=["PCD", "centred", "imputed"],
)
def test_parameters_of_another_model_are_refused(estimator):
    """A hidden bias of one unit would broadcast."""
    with pytest.raises(ValueError, match=r"`params\.hidden\.bias` has shape \(1,\)"):
        of_6_units(estimator)


class OfNoModel:
    model = None

    def init(self, params, key):
        return ()

    def estimate(self, params, state, batch, key):
        return params, state, {}


def test_parameters_that_no_energy_model_makes_are_as_they_are():
    assert of_6_units(OfNoModel()).params.hidden.bias.shape == (1,)


def test_both_ways_of_a_dbn_are_checked():
    dbn = jboltz.DBN.chain(Bernoulli(4), Bernoulli(3), Bernoulli(2))
    params = untie_weights(dbn.init(jax.random.key(0)))
    estimator = jboltz.UpDown(dbn)
    jboltz.init_train_state(params, estimator, OPTIMIZER, jax.random.key(0))
    below = params.recognition[0].replace(weights=jnp.zeros((4, 1)))
    message = r"`params\.generative, params\.top\[0\]\.weights` has shape \(4, 1\)"
    with pytest.raises(ValueError, match=message):
        jboltz.init_train_state(
            params.replace(generative=(below,)), estimator, OPTIMIZER, jax.random.key(0)
        )


def step_of(estimator=ESTIMATOR, optimizer=OPTIMIZER):
    return jboltz.make_train_step(estimator, optimizer)


GIBBS = jboltz.Gibbs(MODEL)
CD = jboltz.ContrastiveDivergence(MODEL, GIBBS)


@in_both_loops
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            step_of(jboltz.PersistentContrastiveDivergence(MODEL, GIBBS, 80)),
            r"`state\.estimator_state` has leaves of shapes .*'\.visible': \(3, 6\).* "
            r"needs .*'\.visible': \(80, 6\).*num_chains=80",
        ),
        (
            step_of(CD),
            r"`state\.estimator_state` .* needs PyTreeDef\(\(\)\) for",
        ),
        (
            step_of(optimizer=optax.adam(0.1)),
            r"`state\.opt_state` .*trace\.weights.* needs .*mu\.weights.* optimizer",
        ),
    ],
    ids=["number of chains", "no chains", "optimizer"],
)
def test_a_state_of_another_step_is_refused(train, step, message, getkey):
    with pytest.raises(ValueError, match=message):
        train(step, start(getkey()), DATA, getkey())


@in_both_loops
def test_an_array_in_an_estimator_is_an_argument(train, getkey):
    """Another number of steps compiles nothing anew, and takes the steps of an int."""
    traces = []

    def update(*arguments):
        traces.append(None)
        return OPTIMIZER.update(*arguments)

    optimizer = optax.GradientTransformation(OPTIMIZER.init, update)

    def run(num_steps):
        cd = jboltz.ContrastiveDivergence(MODEL, GIBBS, num_steps)
        estimator = jboltz.Centred(cd)
        state = jboltz.init_train_state(
            start(jax.random.key(1)).params, estimator, optimizer, jax.random.key(2)
        )
        return train(step_of(estimator, optimizer), state, DATA[:8], jax.random.key(3))

    first = run(jnp.asarray(1))
    count = len(traces)
    second = run(jnp.asarray(3))
    assert len(traces) == count > 0
    same(second, run(3))
    assert np.any(first[0].params.weights != second[0].params.weights)
