"""What comes through a door is refused by name, or goes on unchanged."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.checks import check_params
from jboltz.samplers.chains import check_num_steps

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
            lambda: jboltz.raise_log_likelihood(
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
