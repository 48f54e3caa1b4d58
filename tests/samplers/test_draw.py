"""`sample` and `moments`: what is kept of chains, where they start, what they hold."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.domains import Reals
from jboltz.samplers import draw
from jboltz.samplers.chains import run_chains
from jboltz.samplers.draw import observe_visible_mean, sample, sample_moments
from jboltz.samplers.gibbs import Gibbs
from jboltz.samplers.masks import as_mask
from jboltz.samplers.start import ChainStates, start_chains
from tests.helpers import draw_like, errors_without_hook, rows_of, states_of
from tests.models.test_dbm import log_joint
from tests.samplers.test_ancestral import enumerate_dbn, pictures_of
from tests.samplers.test_chains import dyadic_case

B = jboltz.Bernoulli
NUM_CHAINS = 10_000


def draw_params(model, getkey, scale=1.0):
    return draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale)


# What is kept is the chain of `run_chains`.


def test_samples_are_states_of_the_chain_that_run_chains_draws(getkey):
    """Warm-up and thinning choose among the states of one chain."""
    sampler, params, states = dyadic_case(getkey, 3)
    key = getkey()
    chains, kept, metrics = sample(
        sampler.model,
        params,
        key,
        warm_up=3,
        num_samples=4,
        thinning=2,
        sampler=sampler,
        start=ChainStates(states=states, num_steps=jnp.zeros((), jnp.int32)),
    )
    _, key_run = jax.random.split(key)
    ends, steps = run_chains(sampler, params, states, key_run, num_steps=11)
    expected = steps["visible"][:, 4::2]
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(metrics["visible"], expected)
    np.testing.assert_array_equal(chains.states.hidden, ends.hidden)
    assert int(chains.num_steps) == 11


def test_sampling_goes_on_bit_for_bit(getkey):
    sampler, params, states = dyadic_case(getkey, 3)
    start = ChainStates(states=states, num_steps=jnp.zeros((), jnp.int32))
    look = partial(sample, sampler.model, params, getkey(), thinning=2, sampler=sampler)
    _, whole, _ = look(warm_up=4, num_samples=4, start=start)
    chains, first, _ = look(warm_up=4, num_samples=2, start=start)
    chains, rest, _ = look(warm_up=0, num_samples=2, start=chains)
    np.testing.assert_array_equal(whole, jnp.concatenate([first, rest], 1))
    assert int(chains.num_steps) == 12


def products(model, params, state):
    """An observation of a user's: a tree, whose leaves differ in rank."""
    v = state.visible
    return {"sum": v.sum(), "square": v[:, None] * v[None], "on": state.hidden > 0.5}


def test_streamed_moments_are_those_of_the_stored_trajectory(getkey, x64):
    model = jboltz.RBM(jboltz.Gaussian(3), B(2))
    params = draw_params(model, getkey)
    # Far from 0, where E[x²] − E[x]² would cancel.
    params = params.replace(visible=params.visible.replace(mean=jnp.full(3, 1e4)))
    key, how = getkey(), {"warm_up": 2, "thinning": 3, "num_chains": 5}
    _, kept, _ = sample(model, params, key, num_samples=7, observe=products, **how)
    _, streamed, _ = sample_moments(
        model,
        params,
        key,
        num_samples=7,
        observe=products,
        with_covariance=True,
        **how,
    )
    rows = np.asarray(
        rows_of(jax.tree.map(lambda x: x.reshape(35, *x.shape[2:]), kept))
    )
    rows = rows.astype(np.float64)
    for name, expected in (("mean", rows.mean(0)), ("variance", rows.var(0))):
        got = rows_of(jax.tree.map(lambda x: x[None], getattr(streamed, name)))[0]
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9)
    covariance = np.cov(rows.T, bias=True)
    scale = np.sqrt(np.outer(rows.var(0), rows.var(0))) + 1e-12
    assert np.abs((streamed.covariance - covariance) / scale).max() < 1e-7


def test_one_program_streams_any_number_of_samples(getkey):
    """So its memory cannot depend on how many there are."""
    model = jboltz.RBM(B(3), B(2))
    params = draw_params(model, getkey)
    before = draw._moments._cache_size()
    for num_samples, warm_up in ((1, 0), (50, 3), (1000, 2)):
        chains, _, metrics = sample_moments(
            model, params, getkey(), num_samples=num_samples, warm_up=warm_up
        )
        assert int(chains.num_steps) == num_samples + warm_up
        assert metrics == {}
    assert draw._moments._cache_size() == before + 1


# Held units: the distribution of the others given them, from all states or nodes.


def log_marginal(model, params, v):
    """log p(v) + const of each visible state."""
    if isinstance(model, jboltz.DBM):
        even, _, log_p = log_joint(model, params)
        log_p = jax.nn.logsumexp(log_p, axis=1)
        same = (even[0][None] == v[:, None]).all(-1)
        return jax.nn.logsumexp(jnp.where(same, log_p[None], -jnp.inf), axis=1)
    if isinstance(model, jboltz.DBN):
        _, p = enumerate_dbn(model, params)
        mean = pictures_of(model, params)[None]
        v = np.asarray(v)[:, None]
        return np.log(np.where(v == 1, mean, 1 - mean).prod(-1) @ p)
    return -jax.vmap(model.free_energy, (None, 0))(params, v)


SITES = jboltz.Softmax(2, 3)
HELD = np.array([True, False, True, False])
REAL = (np.array([0.7, np.nan, -1.2, np.nan]), HELD)
BITS = (np.array([1.0, np.nan, 0.0, np.nan]), HELD)
CLAMPED = {
    "RBM": (jboltz.RBM(B(4), B(3)), *BITS, B(4)),
    "Potts": (
        jboltz.RBM(SITES, B(3)),
        np.array([[0.0, 1.0, 0.0], [np.nan] * 3]),
        np.array([[True], [False]]),
        SITES,
    ),
    "GRBM": (jboltz.RBM(jboltz.Gaussian(4), B(3)), *REAL, jboltz.Gaussian(2)),
    "ssRBM": (jboltz.SpikeAndSlab(4, 2), *REAL, jboltz.Gaussian(2)),
    "DBM": (jboltz.DBM((B(4), B(2), B(2))), *BITS, B(4)),
    "DBN": (jboltz.DBN.chain(B(4), B(2), B(3), B(2)), *BITS, B(4)),
}


def conditional(model, params, v, clamp, unit):
    """Visible states that agree with what is held, and p of each given that."""
    states, log_weights = states_of(unit)
    held = np.broadcast_to(clamp, v.shape)
    if unit.domain == Reals():  # nodes of the free units alone
        filled = np.tile(v, (len(states), 1))
        filled[:, ~held] = states
        states = jnp.asarray(filled, jnp.float32)
    else:
        agrees = (np.asarray(states) == v)[:, held].all(-1)
        states, log_weights = states[agrees], log_weights[agrees]
    log_p = np.asarray(log_marginal(model, params, states) + log_weights, np.float64)
    return np.asarray(states, np.float64), np.exp(log_p - np.logaddexp.reduce(log_p))


@pytest.mark.parametrize("name", CLAMPED)
def test_the_free_units_follow_the_conditional_of_the_held_ones(name, getkey):
    """All moments of a discrete state, first and second ones of a real one; what the
    start has at free units is NaN, and so is not read."""
    model, v, clamp, unit = CLAMPED[name]
    params = draw_params(model, getkey, scale=0.5 if unit.domain == Reals() else 2.0)
    _, kept, _ = sample(
        model,
        params,
        getkey(),
        warm_up=30,
        num_chains=NUM_CHAINS,
        start=jnp.asarray(v, jnp.float32),
        clamp=jnp.asarray(clamp),
    )
    kept = np.asarray(jax.tree.leaves(kept)[0][:, 0], np.float64)
    held = np.broadcast_to(clamp, v.shape)
    assert (kept[:, held] == v[held].astype(np.float32)).all()
    states, p = conditional(model, params, v, clamp, unit)
    if unit.domain == Reals():
        kept, states = kept[:, ~held], states[:, ~held]

        def seen(x):
            return np.stack([*x.T, *(x**2).T, x[:, 0] * x[:, 1]], axis=1)

    else:

        def seen(x):
            return (x[:, None] == states).reshape(len(x), len(states), -1).all(-1)

    expected, got = seen(states), seen(kept).astype(np.float64)
    mean = p @ expected
    error = np.sqrt((p @ expected.astype(np.float64) ** 2 - mean**2) / NUM_CHAINS)
    z = np.abs(got.mean(0) - mean) / error
    assert z.max() < 5, f"max |z| = {z.max():.1f}"
    # The bands are narrow enough to tell the conditional from the marginal.
    free = p_without_the_held(model, params, states, unit, held)
    if free is not None:
        assert (np.abs(free - mean) / error).max() > 5


def p_without_the_held(model, params, states, unit, held):
    """Where states are discrete, the marginal of the free units."""
    if unit.domain == Reals():
        return None
    every, _ = states_of(unit)
    p = np.exp(np.asarray(log_marginal(model, params, every), np.float64))
    same = (np.asarray(every)[:, None] == states)[..., ~held.reshape(states.shape[1:])]
    free = p @ same.all(-1)
    return free / free.sum()


def test_every_chain_can_hold_other_units(getkey):
    """Imputation: each row has its own gaps."""
    model, rows = jboltz.RBM(B(4), B(3)), jnp.asarray([[1.0, 0, 1, 0], [0, 1, 1, 1]])
    mask = jnp.asarray([[True, True, False, False], [False, True, True, True]])
    params = draw_params(model, getkey)
    how = {"num_samples": 40, "warm_up": 0}
    chains, kept, _ = sample(model, params, getkey(), start=rows, clamp=mask, **how)
    moved = (kept != rows[:, None]).any(1)
    np.testing.assert_array_equal(moved, ~mask)
    # Chains remember what they hold.
    _, kept, _ = sample(model, params, getkey(), start=chains, **how)
    np.testing.assert_array_equal((kept != rows[:, None]).any(1), ~mask)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_mask_of_sites_holds_whole_sites(rows, getkey):
    """Of as many chains as there are sites or categories too; gaps are not read."""
    params = draw_params(POTTS, getkey, scale=0.1)
    start = np.full((rows, 2, 3), np.nan)
    start[:, 0] = np.eye(3)[:rows]
    how = {"warm_up": 0, "num_samples": 40, "start": jnp.asarray(start)}
    held = np.array([True, False])
    _, kept, _ = sample(POTTS, params, getkey(), clamp=held, **how)
    same = kept[:, :, 0] == start[:, None, 0]
    assert same.all()
    assert (kept[:, 0, 1] != kept[:, -1, 1]).any() or (kept[:, 0] != kept[:, 5]).any()
    if rows == 3:  # one mask a chain
        each = np.tile(held, (rows, 1))
        _, again, _ = sample(POTTS, params, getkey(), clamp=each, **how)
        np.testing.assert_array_equal(again[:, :, 0], kept[:, :, 0])


def test_class_numbers_can_be_held(getkey):
    params, numbers = draw_params(POTTS, getkey), np.array([[2, 0], [1, 1]])
    held = np.array([True, False])
    _, kept, _ = sample(POTTS, params, getkey(), warm_up=3, start=numbers, clamp=held)
    np.testing.assert_array_equal(kept[:, 0, 0], np.eye(3)[numbers[:, 0]])


# Where chains start, and what is seen of them.


@partial(jax.jit, static_argnums=(0, 3))
def start_dbm(model, params, key, num_chains, start):
    """The even layers of chains that start there."""
    chains = start_chains(Gibbs(model), params, key, num_chains, start, None)
    return chains.states.visible


def test_a_start_is_one_for_all_chains_or_one_a_chain(getkey):
    """Chain i has keys folded with i, whatever the others are."""
    model = jboltz.DBM((B(4), B(3), B(2)))
    params, key = draw_params(model, getkey), getkey()
    rows = jnp.asarray([[1, 0, 1, 1], [0, 0, 1, 0]])  # integers, as data may be
    one = start_dbm(model, params, key, 2, rows[0])
    many = start_dbm(model, params, key, None, rows[jnp.asarray([0, 0])])
    other = start_dbm(model, params, key, None, rows)
    for x, y, z in zip(one, many, other, strict=True):
        assert x.dtype == jnp.float32
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(x[0], z[0])


def test_a_dbm_starts_at_data_with_a_pass_upwards(getkey):
    model = jboltz.DBM((B(3), B(2), B(2)))
    # Weights so large that the pass upwards copies the first pixel into all layers.
    params = jax.tree.map(lambda x: jnp.full_like(x, -30), draw_params(model, getkey))
    first = jnp.zeros((3, 2)).at[0].set(60)
    params = params.replace(weights=(first, jnp.full((2, 2), 60.0)))
    start = jnp.asarray([[1.0, 0, 0], [0, 1, 1]])
    data, above = start_dbm(model, params, getkey(), None, start)
    np.testing.assert_array_equal(data, start)
    np.testing.assert_array_equal(above, [[1, 1], [0, 0]])


JOINED = jboltz.RBM(jboltz.Joined(B(3), jboltz.Softmax(1, 2)), B(2))
DEEP = jboltz.DBM((B(3), B(2), B(2)))
POTTS = jboltz.RBM(SITES, B(2))
DEEP_SITES = jboltz.DBM((SITES, B(3), B(2)))
SITE_0 = np.array([[True] * 3, [False] * 3])
PIXELS = np.array([True, False, True])
# model, what is held, and the mask of its visible state
MASKS = [
    (jboltz.RBM(B(3), B(2)), True, np.ones(3, bool)),
    (jboltz.RBM(B(3), B(2)), PIXELS, PIXELS),
    (JOINED, False, (np.zeros(3, bool), np.zeros((1, 2), bool))),
    (JOINED, (False, True), (np.zeros(3, bool), np.ones((1, 2), bool))),
    (JOINED, (PIXELS, np.array([[True]])), (PIXELS, np.ones((1, 2), bool))),
    (JOINED, (PIXELS, np.array([True])), (PIXELS, np.ones((1, 2), bool))),
    (POTTS, np.array([True, False]), np.array([[True] * 3, [False] * 3])),
    (DEEP_SITES, np.array([True, False]), (SITE_0, np.zeros(2, bool))),
    (DEEP, PIXELS, (PIXELS, np.zeros(2, bool))),
    (DEEP, True, (np.ones(3, bool), np.zeros(2, bool))),
    (DEEP, (PIXELS, True), (PIXELS, np.ones(2, bool))),
]


@pytest.mark.parametrize(("model", "clamp", "expected"), MASKS)
def test_a_clamp_is_read_alike_by_a_kernel_and_by_sample(model, clamp, expected):
    key = jax.random.key(0)
    params, num_chains = jax.eval_shape(model.init, key), 3
    v = jax.eval_shape(model.sample_start, params, key)
    chex.assert_trees_all_equal(as_mask(model, clamp, v), expected)
    many = jax.tree.map(lambda x: np.stack([x] * num_chains), expected)
    chex.assert_trees_all_equal(as_mask(model, clamp, v, num_chains), many)
    chex.assert_trees_all_equal(as_mask(model, many, v, num_chains), many)

    def held(v, params):
        sampler = jboltz.ClampedGibbs(model)
        chain = sampler.init(params, v, key, clamp=clamp)
        chains, _, _ = sample(model, params, key, warm_up=1, start=v, clamp=clamp)
        return chain, jax.tree.map(lambda x: x[0], chains.states)

    chex.assert_trees_all_equal_shapes(*jax.eval_shape(held, v, params))


@pytest.mark.parametrize("name", ["GRBM", "DBM", "DBN"])
def test_pictures_are_means_given_the_hidden_state(name, getkey):
    model, v, clamp, _ = CLAMPED[name]
    params = draw_params(model, getkey, scale=0.5)
    v, clamp = jnp.asarray(np.nan_to_num(v), jnp.float32), jnp.asarray(clamp)
    sampler = draw.sampler_for(model, None, v, clamp)
    state = sampler.init(params, whole(model, v), getkey(), clamp=whole(model, clamp))
    got = observe_visible_mean(model, params, state)
    mean = model.mean_visible_state(params, state.hidden)
    np.testing.assert_array_equal(got[clamp], v[clamp])
    np.testing.assert_array_equal(got[~clamp], mean[~clamp])
    assert ((mean != v) & (mean != 0)).all()


def whole(model, x):
    """A state of pixels, with the layers of a DBM that stand beside them."""
    return (x, jnp.zeros(2, x.dtype)) if isinstance(model, jboltz.DBM) else x


def test_samples_of_a_dbn_come_from_the_whole_net(getkey):
    model = jboltz.DBN.chain(B(4), B(2), B(3), B(2))
    params = draw_params(model, getkey)
    _, kept, _ = sample(model, params, getkey(), warm_up=30, num_chains=NUM_CHAINS)
    states = np.asarray(states_of(B(4))[0])
    p = np.exp(np.asarray(log_marginal(model, params, states), np.float64))
    frequency = (np.asarray(kept)[:, 0, None] == states).all(-1).mean(0)
    z = np.abs(frequency - p) / np.sqrt(p * (1 - p) / NUM_CHAINS)
    assert z.max() < 5, f"max |z| = {z.max():.1f}"


def test_first_step_continues_a_run(getkey):
    sampler, params, states = dyadic_case(getkey, 2)
    advance = partial(run_chains, sampler, params, key=getkey())
    whole, _ = advance(states, num_steps=4)
    part, _ = advance(states, num_steps=2)
    rest, _ = advance(part, num_steps=2, first_step=2)
    np.testing.assert_array_equal(whole.visible, rest.visible)
    assert (part.visible != rest.visible).any()


# Errors.

ERRORS = {
    "look(start=jnp.zeros(3))": "`start` has shape (3,) but it needs (4,), for all",
    "look(start=jnp.zeros((5, 4)), num_chains=2)": "`start` has shape (5, 4) but",
    "look(start=(jnp.zeros(4),))": "`start` is a tuple of 1",
    "look(start=v, clamp=jnp.zeros(3, bool))": "shape (3,) but needs bool",
    "look(start=v, clamp=jnp.zeros((2, 4), bool))": "and shape (2, 4) but needs",
    "look(start=v, clamp=jnp.zeros(4))": "`clamp` has dtype float32",
    "look(clamp=v > 0)": "`clamp` marks units to be held but `start` is None",
    "look(start=chains, clamp=v > 0)": "`clamp` was given with chains as `start`",
    "look(start=v, clamp=v > 0, sampler=Gibbs(rbm))": "`sampler` is Gibbs(",
    "look(start=chains, num_chains=3)": "`num_chains` is 3 but `start` is 2 chains",
    "look(num_chains=0)": "`num_chains` is 0 but needs to be a whole number",
    "look(num_samples=0)": "`num_samples` is 0 but",
    "potts(clamp=jnp.ones((3, 1), bool))": "shape (3, 1) but needs bool",
    "dbm(clamp=jnp.zeros(3, bool))": "shape (3,) but needs bool",
    "ClampedRecognition(dbn, num_proposals=0)": "`num_proposals` is 0 but",
    "ClampedRecognition(noisy)": "`model` has the layer NoisyReLU",
}


@pytest.fixture(scope="module")
def errors():
    setup = (
        "import jax, jax.numpy as jnp\n"
        "from functools import partial\n"
        "from jboltz import *\n"
        "key, v, B = jax.random.key(0), jnp.zeros(4), Bernoulli\n"
        "rbm, potts_rbm = RBM(B(4), B(2)), RBM(Softmax(2, 3), B(2))\n"
        "dbm_model, dbn = DBM((B(4), B(2), B(3))), DBN.chain(B(4), B(2))\n"
        "noisy = DBN.chain(B(4), NoisyReLU(2))\n"
        "look = partial(sample, rbm, rbm.init(key), key, warm_up=0)\n"
        "potts = partial(sample, potts_rbm, potts_rbm.init(key), key, warm_up=0,\n"
        "    start=jnp.eye(3)[:2])\n"
        "dbm = partial(sample, dbm_model, dbm_model.init(key), key, warm_up=0,\n"
        "    start=v)\n"
        "chains = ChainStates(GibbsState(jnp.zeros((2, 4)), jnp.zeros((2, 2))), 0)\n"
    )
    return errors_without_hook(setup, ERRORS)


@pytest.mark.parametrize("call", ERRORS)
def test_what_does_not_fit_is_refused(call, errors):
    assert ERRORS[call] in errors[call]


def test_a_dbm_of_one_hidden_layer_starts_at_its_data(getkey):
    model, data = jboltz.DBM((B(4), B(3))), jnp.ones((2, 4))
    params = model.init(getkey())
    _, (seen,), _ = jboltz.sample(
        model, params, getkey(), warm_up=1, start=data, clamp=jnp.ones(4, bool)
    )
    np.testing.assert_array_equal(seen[:, 0], data)


def test_a_sampler_of_another_model_is_refused(getkey):
    rbm, other = jboltz.RBM(B(4), B(3)), jboltz.Gibbs(jboltz.RBM(B(4), B(2)))
    params = rbm.init(getkey())
    with pytest.raises(ValueError, match=r"`sampler` is of RBM"):
        jboltz.sample(rbm, params, getkey(), warm_up=1, sampler=other)
