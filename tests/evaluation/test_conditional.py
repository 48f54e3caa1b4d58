"""The distribution of a few sites given the others, against sums over their values."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.checks import visible_domain
from tests.helpers import draw_like, errors_without_hook

B = jboltz.Bernoulli
RATINGS = jboltz.RBM(jboltz.Softmax(3, 4), B(2))
ROW = np.eye(4)[[1, 3, 0]]
JOINED = jboltz.RBM(jboltz.Joined(B(3), jboltz.Softmax(2, 3)), B(2))
# model, a visible state with NaN where it is asked for, the sites
CASES = {
    "binary": (jboltz.RBM(B(4), B(3)), np.array([np.nan, 1, np.nan, 0]), (0, 2)),
    "one site": (jboltz.RBM(B(4), B(3)), np.array([1.0, 1, 0, np.nan]), 3),
    "spins": (jboltz.RBM(jboltz.Spin(3), B(2)), np.array([1.0, -1, 1]), [2, 0]),
    "counts": (jboltz.RBM(jboltz.Binomial(3, 2), B(2)), np.array([2.0, 1, 0]), (1, 2)),
    "categories": (RATINGS, ROW, np.array([2, 0])),
    "joined": (
        JOINED,
        (np.array([1.0, np.nan, 0]), np.eye(3)[:2]),
        ((1,), (1, 0)),
    ),
    "DBM": (
        jboltz.DBM((B(3), B(2), B(2))),
        (np.array([1.0, np.nan, 0]), np.array([1.0, 0])),
        ((1,), ()),
    ),
}


def params_of(model, getkey):
    return draw_like(jax.eval_shape(model.init, getkey()), getkey())


def table(model, params, v, sites):
    """p of all values of the sites, one after another; they have one axis each."""
    arrays = v if isinstance(v, tuple) else (v,)
    sites = sites if isinstance(v, tuple) else (sites,)
    places = [
        (part, site) for part, index in enumerate(sites) for site in np.ravel(index)
    ]
    places = [(part, int(site)) for part, site in places]
    domains = visible_domain(model).leaves
    counts = [domains[part].num_states for part, _ in places]
    log_p = np.zeros(counts)
    for values in itertools.product(*map(range, counts)):
        state = [np.array(x) for x in arrays]
        for (part, site), value in zip(places, values, strict=True):
            state[part][site] = domains[part].values(np.asarray(value))
        state = tuple(map(jnp.asarray, state)) if isinstance(v, tuple) else state[0]
        log_p[values] = -model.free_energy(params, jax.tree.map(jnp.asarray, state))
    p = np.exp(log_p - log_p.max())
    return p / p.sum()


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_joint_table_of_the_sites(name, getkey, x64):
    model, v, sites = CASES[name]
    params = params_of(model, getkey)
    got = jboltz.conditional(model, params, v, sites)
    expected = table(model, params, v, sites)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_sites_may_differ_between_examples(getkey):
    params = params_of(RATINGS, getkey)
    rows = jnp.stack([ROW, ROW[::-1]])
    items = jnp.asarray([0, 2])

    def p(v, item):
        return jboltz.conditional(RATINGS, params, v, item)

    got = jax.jit(jax.vmap(p))(rows, items)
    for row, item, each in zip(rows, items, got, strict=True):
        np.testing.assert_allclose(each, p(row, int(item)), rtol=1e-5)


@pytest.mark.parametrize(
    ("unit", "smaller"),
    [
        (jboltz.Softmax(3, 4), jboltz.Softmax(2, 4)),
        (jboltz.Spin(3), jboltz.Spin(2)),
        (jboltz.Binomial(3, 2), jboltz.Binomial(2, 2)),
    ],
    ids=["Softmax", "Spin", "Binomial"],
)
def test_absent_sites_are_no_part_of_the_machine(unit, smaller, getkey, x64):
    """It is the conditional of the machine from which they were cut out."""
    model, cut = jboltz.RBM(unit, B(2)), jboltz.RBM(smaller, B(2))
    params = params_of(model, getkey)
    rows = params.weights.reshape(3, -1, 2)[:2].reshape(-1, 2)
    bias = params.visible.replace(bias=params.visible.bias[:2])
    cut_params = params.replace(visible=bias, weights=rows)
    v = np.array(unit.domain.values(np.array([0, 1, 1])), float)
    v[2] = np.nan
    present = np.array([True, True, False])
    got = jboltz.conditional(model, params, v, 0, present=present)
    expected = jboltz.conditional(cut, cut_params, v[:2], 0)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_a_sampler_fills_the_sites_so_often(getkey):
    """Chains with the rest held: counts are binomial, 5σ."""
    model = jboltz.RBM(B(4), B(3))
    params, v = params_of(model, getkey), jnp.asarray([1.0, 1, 0, 0])
    p = float(jboltz.conditional(model, params, v, 3)[1])
    held, num_chains = jnp.arange(4) < 3, 4000
    _, drawn, _ = jboltz.sample(
        model,
        params,
        getkey(),
        warm_up=30,
        num_chains=num_chains,
        start=v,
        clamp=held,
    )
    z = (float(drawn[:, 0, 3].mean()) - p) / np.sqrt(p * (1 - p) / num_chains)
    assert abs(z) < 5


SETUP = """
import jax, jax.numpy as jnp, numpy as np
from jboltz import *
key, B = jax.random.key(0), Bernoulli
rbm, potts, real = RBM(B(40), B(3)), RBM(Softmax(3, 4), B(2)), RBM(Gaussian(3), B(2))
both = RBM(Joined(B(2), Softmax(1, 2)), B(2))
def look(sites, v=np.zeros(40), model=rbm, **how):
    return conditional(model, model.init(key), v, sites, **how)
one_hot = np.eye(4)[:3]
"""
ERRORS = {
    "conditional(DBN((rbm,)), (), np.zeros(40), 0)": "a conditional of sites needs",
    "look(40)": "`sites` is 40 but sites are numbered 0 to 39",
    "look(-1)": "`sites` is -1 but",
    "look([1, 1])": "each is named once",
    "look(np.arange(40) < 3)": "pass such integers",
    "look('a')": "pass such integers",
    "look(())": "`sites` are 0 sites",
    "look(np.arange(17))": "`sites` are 17 sites with 1.311e+05 states",
    "look(0, np.zeros(3), real)": "1 sites with inf states",
    "look(0, np.zeros((2, 40)))": "`v` has shape (2, 40) but",
    "look(0, np.full(40, 0.5))": "`v` (float32, from 0.0 to 0.5) is gray",
    "look(0, np.full(40, np.nan))": "`v` has 39 NaN",
    "look(0, np.zeros((3, 4)), potts)": "`v` (float32) has [0.0, 0.0, 0.0, 0.0] in",
    "look(0, one_hot, potts, present=np.ones(3))": "`present` has dtype float",
    "look(0, one_hot, potts, present=np.ones(4, bool))": "`present` has dtype bool",
    "look(0, (np.zeros(2), np.eye(2)[:1]), both)": "has 2 arrays; pass a tuple",
    "look(0, model=SpikeAndSlab(3, 2), v=np.zeros(3))": "1 sites with inf states",
}


@pytest.fixture(scope="module")
def errors():
    return errors_without_hook(SETUP, ERRORS)


@pytest.mark.parametrize("call", ERRORS)
def test_what_does_not_fit_is_refused(call, errors):
    assert errors[call].startswith(("InvalidValue", "InvalidType"))
    assert ERRORS[call] in errors[call]
