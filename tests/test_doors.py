"""What comes through a door is refused by name, or goes on unchanged."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.checks import check_params
from jboltz.learning.epoch import as_rows
from jboltz.samplers.chains import check_num_steps
from tests.helpers import errors_without_hook

KEY = jax.random.key(0)
DATA = jnp.asarray(np.random.default_rng(0).random((8, 4)) < 0.5, jnp.float32)
MODEL = jboltz.RBM(jboltz.Bernoulli(4), jboltz.Bernoulli(3))
PARAMS = MODEL.init(KEY)
GIBBS = jboltz.Gibbs(MODEL)
CD = jboltz.ContrastiveDivergence(MODEL, GIBBS)
SGD = optax.sgd(0.1)
STEP = jboltz.make_train_step(CD, SGD)
STATE = jboltz.init_train_state(PARAMS, CD, SGD, KEY)

ONE_BIAS = PARAMS.replace(hidden=PARAMS.hidden.replace(bias=jnp.zeros(1)))
SPINS = jboltz.RBM(jboltz.Spin(4), jboltz.Spin(3)).init(KEY)
MIXED = PARAMS.replace(weights=PARAMS.weights.astype(jnp.bfloat16))
INFINITE = PARAMS.replace(weights=jnp.full((4, 3), jnp.inf))
COMPLEX = jax.tree.map(lambda x: x * (1 + 1j), PARAMS)


def fit(params):
    state = STATE.replace(params=params)
    return jboltz.fit(STEP, state, DATA, KEY, batch_size=4, num_epochs=1)


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        (ONE_BIAS, ValueError, ["hidden.bias", "(1,)", "(3,)"]),
        (SPINS, ValueError, ["SpinParams", "BernoulliParams"]),
        (MIXED, TypeError, ["bfloat16", "float32"]),
        (INFINITE, ValueError, ["weights", "finite"]),
    ],
    ids=["a bias of one", "another unit", "mixed", "infinite"],
)
@pytest.mark.parametrize("door", [lambda p: check_params(MODEL, p), fit])
def test_a_record_of_another_kind_is_refused(door, params, error, words):
    with pytest.raises(error) as refused:
        door(params)
    assert all(word in str(refused.value) for word in words), refused.value


UNITS = [
    jboltz.Bernoulli(3),
    jboltz.Spin(3),
    jboltz.Softmax(3, 2),
    jboltz.Gaussian(3),
    jboltz.ReLU(3),
    jboltz.NoisyReLU(3),
]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: type(unit).__name__)
def test_a_bias_of_another_width_does_not_broadcast(unit):
    params = jax.tree.map(lambda x: x[:1], unit.init())
    with pytest.raises(ValueError, match=r"`params\.(bias|mean)` has shape \(1"):
        unit.mean_state(params, jnp.zeros(unit.size))


@pytest.mark.parametrize(
    "data", [DATA[:, :3], DATA[0], DATA[None], DATA[:0]], ids=lambda x: str(x.shape)
)
@pytest.mark.parametrize(
    "model",
    [MODEL, jboltz.RBM(jboltz.Gaussian(4), jboltz.Spin(2)), jboltz.SpikeAndSlab(4, 2)],
    ids=lambda model: type(model).__name__,
)
def test_a_start_takes_rows_of_states_alone(model, data):
    with pytest.raises(ValueError, match=r"`data(\[0\])?` has shape"):
        model.init(KEY, data=data)


def test_a_base_that_would_not_be_finite_is_refused_where_it_is_fitted():
    with pytest.raises(ValueError, match=r"`values` .*has 255\.0 in row 0"):
        jboltz.Annealed(MODEL).fit_base(255 * DATA)


ANNEALED = jboltz.Annealed(MODEL)
BASE, BETAS = ANNEALED.fit_base(DATA), np.linspace(0, 1, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: jboltz.log_likelihood(MODEL, COMPLEX, DATA, 1.0),
            TypeError,
            "`params` are complex",
        ),
        (
            lambda: jboltz.reverse_ais_log_likelihood(
                ANNEALED, PARAMS, BASE, BETAS, DATA * jnp.nan, KEY
            ),
            ValueError,
            "`v` has 32 NaN",
        ),
        (
            lambda: jboltz.reverse_annealed_importance_sampling(
                ANNEALED, PARAMS, BASE, BETAS, DATA * jnp.inf, KEY
            ),
            ValueError,
            "`samples` has 32 NaN",
        ),
        (
            lambda: jboltz.ContrastiveDivergence(MODEL, GIBBS, jnp.asarray(0)),
            ValueError,
            "`num_steps` is 0",
        ),
        (
            lambda: check_num_steps(jnp.asarray([3]), at_least=1),
            TypeError,
            r"`num_steps` .* of shape \(\)",
        ),
        (
            lambda: jboltz.train_epochs(
                STEP, STATE, DATA, KEY, batch_size=4, num_epochs=-1
            ),
            ValueError,
            "`num_epochs` is -1",
        ),
        (
            lambda: jax.jit(
                lambda state: jboltz.fit(
                    STEP, state, DATA, KEY, batch_size=4, num_epochs=1
                )[0]
            )(STATE),
            TypeError,
            "`fit` was called under `jit`.*`train_epochs`",
        ),
    ],
    ids=["complex", "points", "samples", "zero", "shape", "epochs", "fit under jit"],
)
def test_other_doors_name_what_they_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_pure_epoch_asks_for_a_state_of_its_own_step():
    def step_of(num_chains):
        pcd = jboltz.PersistentContrastiveDivergence(MODEL, GIBBS, num_chains)
        return jboltz.make_train_step(pcd, SGD), pcd

    (eight, _), (_, five) = step_of(8), step_of(5)
    state = jboltz.init_train_state(PARAMS, five, SGD, KEY)
    with pytest.raises(ValueError, match=re.escape("(5, 4)")):
        jboltz.train_epoch(eight, state, DATA, KEY, batch_size=4)


def test_a_closed_form_takes_half_precision():
    model = jboltz.RBM(jboltz.Gaussian(3), jboltz.Gaussian(2))
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model.init(KEY))
    single = jax.tree.map(lambda x: x.astype(jnp.float32), half)
    log_z = [jboltz.model_log_partition(model, p) for p in (half, single)]
    np.testing.assert_allclose(*log_z, rtol=1e-6)


# Data: what every door takes, what it refuses, and that it looks once a call.

PIXELS, NAN = 255 * DATA, DATA.at[2, 1].set(jnp.nan)
CODES = np.random.default_rng(1).integers(0, 3, (8, 2))
POTTS = jboltz.RBM(jboltz.Softmax(2, 3), jboltz.Bernoulli(3))
JOINED = jboltz.RBM(
    jboltz.Joined(jboltz.Bernoulli(4), jboltz.Softmax(2, 3)), jboltz.Bernoulli(3)
)
PLACE = r"has {} in row \d, {} \d, and values from .*, but {}"
BAD = {
    "eights": (8 * DATA, PLACE.format(r"8\.0", "unit", r"binary.*`Gaussian`")),
    "pixels": (PIXELS, PLACE.format(r"255\.0", "unit", "binary.*/ 255`")),
    "images": (np.asarray(PIXELS, np.uint8), "is uint8, pixels from 0 to 255"),
    "negative": (-DATA, PLACE.format(r"-1\.0", "unit", "binary.*`Spin`")),
    "nan": (NAN, "has 1 NaN or infinite values, the first in row 2, column 1"),
    "masked": (
        np.ma.masked_array(DATA, DATA > 0),
        "is a masked array.*`MissingDataEstimator`",
    ),
    "tuple": ((DATA, DATA), "is a tuple of 2 but the model needs one array"),
}


def stream(data):
    return jboltz.fit_stream(STEP, STATE, [data], KEY)


DOORS = {
    "data": {
        "fit": lambda x: jboltz.fit(STEP, STATE, x, KEY, batch_size=4, num_epochs=1),
        "fit_stream": stream,
        "train_epoch": lambda x: jboltz.train_epoch(STEP, STATE, x, KEY, batch_size=4),
        "init": lambda x: MODEL.init(KEY, data=x),
        "log_likelihood": lambda x: jboltz.log_likelihood(MODEL, PARAMS, x, 1.0),
        "anomaly_scores": lambda x: jboltz.anomaly_scores(MODEL, PARAMS, x),
    },
    "visible": {"init_chains": lambda x: jboltz.init_chains(GIBBS, PARAMS, x, KEY)},
    "start": {
        "sample": lambda x: jboltz.sample(MODEL, PARAMS, KEY, warm_up=1, start=x)
    },
    "values": {"fit_base": jboltz.Annealed(MODEL).fit_base},
}
DOORS = [
    pytest.param(name, door, id=label)
    for name, doors in DOORS.items()
    for label, door in doors.items()
]


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
@pytest.mark.parametrize(("name", "door"), DOORS)
def test_data_that_are_no_states_are_refused_at_every_door(name, door, data, message):
    with pytest.raises(ValueError, match=f"^`{name}` .*{message}"):
        door(data)


def test_gray_values_are_trained_on_but_have_no_likelihood():
    gray = DATA / 2
    jboltz.init_chains(GIBBS, PARAMS, gray, KEY)
    stream(gray)
    with pytest.raises(ValueError, match=r"`data` .* is gray"):
        jboltz.log_likelihood(MODEL, PARAMS, gray, 1.0)


def values_at(data, model):
    """The rows that training on `data` would put on the device."""
    rows = as_rows(data, model, jboltz.unchanged)
    return jboltz.unchanged(rows.values, KEY)


PLAIN = np.asarray(DATA)
GOOD = [
    *(PLAIN.astype(t) for t in (bool, int, ">i4", ">f4", "f8", "f2", jnp.bfloat16)),
    PLAIN.tolist(),
    PLAIN.astype(int).tolist(),
]


@pytest.mark.parametrize("data", GOOD, ids=lambda x: str(getattr(x, "dtype", "list")))
def test_every_way_to_write_the_same_states_is_taken(data):
    got = values_at(data, MODEL)
    np.testing.assert_array_equal(np.asarray(got, np.float32), DATA)
    chains = jboltz.init_chains(GIBBS, PARAMS, data, KEY)
    np.testing.assert_array_equal(chains.visible, DATA)


@pytest.mark.parametrize("codes", [CODES, CODES.astype(np.uint8), CODES.tolist()])
def test_class_numbers_become_one_hot_in_a_tuple_too(codes):
    first, second = values_at((PLAIN.astype(int), codes), JOINED)
    np.testing.assert_array_equal(first, DATA)
    np.testing.assert_array_equal(second, np.eye(3)[CODES])
    np.testing.assert_array_equal(values_at(codes, POTTS), np.eye(3)[CODES])


def test_a_mask_may_have_one_entry_a_one_hot_site():
    observed = np.random.default_rng(2).random((8, 2)) < 0.6
    states = np.where(observed[..., None], np.eye(3)[CODES], np.nan)
    whole = np.broadcast_to(observed[..., None], states.shape)
    imputed = jboltz.MissingDataEstimator(
        jboltz.ContrastiveDivergence(POTTS, jboltz.Gibbs(POTTS)), num_steps=1
    )
    params, fill = POTTS.init(KEY), jax.jit(imputed.fill)
    batches = [jboltz.Batch(states, mask=mask) for mask in (observed, whole)]
    rows = (as_rows(x, POTTS, jboltz.unchanged) for x in batches)
    got, expected = (fill(params, x, KEY) for x in rows)
    np.testing.assert_array_equal(got.values, expected.values)
    np.testing.assert_array_equal(got.values[observed], np.eye(3)[CODES][observed])


def test_whole_numbers_of_numpy_are_whole_numbers():
    calls = [
        "fit(np.int64(4), np.int32(0))",
        "plain(j.Bernoulli(np.int64(12)), j.Bernoulli(12))",
        "plain(j.Softmax(np.int8(2), np.uint8(3)), j.Softmax(2, 3))",
        "plain(j.SpikeAndSlab(np.int64(4), np.int64(3)), j.SpikeAndSlab(4, 3))",
        "log_partition(lambda h: h.sum(), np.int64(2), chunk_size=4)",
    ]
    setup = (
        "import numpy as np, jboltz as j\n"
        "from tests.test_doors import DATA, KEY, STATE, STEP\n"
        "def fit(size, count):\n"
        "    j.fit(STEP, STATE, DATA, KEY, batch_size=size, num_epochs=count)\n"
        "def plain(got, expected):\n"
        "    assert repr(got) == repr(expected)\n"
        "    assert (got, hash(got)) == (expected, hash(expected))\n"
    )
    bad = [f"fit({x}, 0)" for x in ("2.0", "True", "np.bool_(True)", "np.float64(2)")]
    errors = errors_without_hook(setup, calls + bad)
    assert {errors[call] for call in calls} == {"nothing raised"}
    for call in bad:
        assert re.search("`batch_size` is .* needs to be a whole num", errors[call])
