"""The deep Boltzmann machine is the joint that its energy says, at any depth."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.base import EnergyModel, FreeEnergyModel
from jboltz.models.dbm import DBM, DBMParams, interleave
from jboltz.models.rbm import RBM, RBMParams
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.gaussian import Gaussian
from jboltz.units.softmax import Softmax
from tests.helpers import draw_like, errors_without_hook, states_of

CLOSED_FORM, AUTODIFF = 1e-9, 1e-7  # relative, in float64
# One to three hidden layers, binary, categorical and real.
MODELS = [
    DBM((Bernoulli(3), Bernoulli(2))),
    DBM((Bernoulli(3), Bernoulli(2), Bernoulli(2))),
    DBM((Bernoulli(2), Bernoulli(2), Softmax(1, 3), Bernoulli(2))),
    DBM((Gaussian(1), Bernoulli(2), Bernoulli(2))),
]
each_model = pytest.mark.parametrize(
    "model", MODELS, ids=lambda m: "-".join(type(u).__name__ for u in m.units)
)


def draw_case(model, getkey, scale=0.7):
    return draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale)


def block_states(model, first):
    """All states of every second layer from `first` on, as a tuple of arrays with one
    leading axis, and their log weights."""
    layers = [states_of(unit) for unit in model.units[first::2]]
    index = list(itertools.product(*(range(len(states)) for states, _ in layers)))
    columns = np.array(index).T
    states = tuple(s[jnp.asarray(i)] for (s, _), i in zip(layers, columns, strict=True))
    weights = sum(w[jnp.asarray(i)] for (_, w), i in zip(layers, columns, strict=True))
    return states, weights


@partial(jax.jit, static_argnums=0)
def energies_of(model, params, v, h):
    energy = jax.vmap(model.energy, in_axes=(None, None, 0))
    return jax.vmap(energy, in_axes=(None, 0, None))(params, v, h)


def log_joint(model, params):
    """Even states, odd states, and log w − E of each pair."""
    (v, log_v), (h, log_h) = block_states(model, 0), block_states(model, 1)
    energies = energies_of(model, params, v, h)
    return v, h, log_v[:, None] + log_h[None] - energies


@each_model
def test_it_is_an_energy_model(model, getkey):
    assert isinstance(model, EnergyModel)
    assert isinstance(model, FreeEnergyModel)
    assert hash(model) == hash(DBM(model.units))
    params = model.init(getkey())
    v = model.sample_start(params, getkey())
    h = model.sample_hidden(params, v, getkey())
    for unit, x in zip(model.units, interleave(v, h), strict=True):
        assert x.shape == unit.shape
    assert model.mean_visible_state(params, h).shape == model.units[0].shape


def test_energy_is_that_of_the_paper(x64):
    """E = −Σ b·x − x₀ᵀW₀x₁ − x₁ᵀW₁x₂ in NumPy, with three layers."""
    rng = np.random.default_rng(3)
    sizes = (4, 3, 2)
    x = [rng.integers(0, 2, n) * 1.0 for n in sizes]
    b = [rng.normal(size=n) for n in sizes]
    W = [rng.normal(size=shape) for shape in itertools.pairwise(sizes)]
    expected = -sum(bl @ xl for bl, xl in zip(b, x, strict=True))
    expected -= x[0] @ W[0] @ x[1] + x[1] @ W[1] @ x[2]
    model = DBM(tuple(Bernoulli(n) for n in sizes))
    params = DBMParams(
        units=tuple(BernoulliParams(bias=jnp.asarray(bl)) for bl in b),
        weights=tuple(jnp.asarray(w) for w in W),
    )
    x = [jnp.asarray(xl) for xl in x]
    got = model.energy(params, (x[0], x[2]), (x[1],))
    np.testing.assert_allclose(got, expected, rtol=CLOSED_FORM)


@each_model
def test_free_energy_sums_the_odd_layers_out(model, getkey, x64):
    params = draw_case(model, getkey)
    (v, _), (h, log_h) = block_states(model, 0), block_states(model, 1)

    def both(params):
        free = jax.vmap(model.free_energy, in_axes=(None, 0))(params, v)
        summed = -jax.nn.logsumexp(log_h[None] - energies_of(model, params, v, h), 1)
        return free, summed

    free, summed = both(params)
    np.testing.assert_allclose(free, summed, rtol=CLOSED_FORM, atol=CLOSED_FORM)
    weights = jnp.arange(1.0, len(free) + 1) / len(free)
    slopes = jax.jacrev(lambda p: jnp.stack([weights @ x for x in both(p)]))(params)
    jax.tree.map(
        lambda x: np.testing.assert_allclose(x[0], x[1], rtol=AUTODIFF, atol=1e-9),
        slopes,
    )


def test_a_single_hidden_layer_is_the_rbm(getkey, x64):
    model = MODELS[0]
    rbm = RBM(*model.units)
    params = draw_case(model, getkey)
    same = RBMParams(*params.units, *params.weights)
    (v,), (h,) = model.sample_start(params, getkey()), (jnp.asarray([1.0, 0.0]),)
    key = getkey()
    for got, expected in (
        (model.energy(params, (v,), (h,)), rbm.energy(same, v, h)),
        (model.free_energy(params, (v,)), rbm.free_energy(same, v)),
        (model.mean_visible_state(params, (h,)), rbm.mean_visible_state(same, h)),
        (model.mean_activities(params, v)[1], rbm.mean_hidden_state(same, v)),
        (
            model.compose(
                (same,),
            ),
            params,
        ),
        (model.parts(params), rbm.parts(same)),
        (model.from_parts(*model.parts(params)), params),
        (rbm.from_parts(*rbm.parts(same)), same),
    ):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12), got, expected)
    assert model.sample_hidden(params, (v,), key)[0].shape == h.shape


# Composition out of RBMs.


@pytest.mark.parametrize("depth", [2, 3])
def test_composed_inputs_are_means_of_those_of_the_layers_alone(depth, getkey, x64):
    """The identity behind the copies: what reaches layer l is the mean of what the RBM
    below sends up (doubled) and what the RBM above sends down (doubled)."""
    model = DBM(tuple(Bernoulli(n) for n in (4, 3, 2, 3)[: depth + 1]))
    layers = model.pretraining_layers()
    stack = tuple(
        draw_like(jax.eval_shape(layer.init, getkey()), getkey()) for layer in layers
    )
    params = model.compose(stack)
    x = [jax.random.uniform(getkey(), (u.size,)).round() for u in model.units]
    for index in range(1, depth):
        below, above = layers[index - 1], layers[index]
        v, h = x[index - 1], x[index + 1]
        up = below.hidden_inputs(
            stack[index - 1], jnp.broadcast_to(v, below.visible.shape)
        )
        down = above.visible_inputs(
            stack[index], jnp.broadcast_to(h, above.hidden.shape)
        )
        bias_up = stack[index - 1].hidden.bias
        bias_down = stack[index].visible.bias
        expected = (up + bias_up + down + bias_down) / 2
        block, name = (x[::2], "h") if index % 2 else (x[1::2], "v")
        inputs = model._inputs(params, tuple(block), first=index % 2)[index // 2]
        got = inputs + params.units[index].bias
        np.testing.assert_allclose(got, expected, rtol=CLOSED_FORM, err_msg=name)


def test_pretraining_doubles_the_ends_alone():
    model = DBM(tuple(Bernoulli(n) for n in (4, 3, 2, 5)))
    shapes = [
        (layer.visible.shape, layer.hidden.shape)
        for layer in model.pretraining_layers()
    ]
    assert shapes == [((2, 4), (3,)), ((3,), (2,)), ((2,), (2, 5))]


def test_bad_input_is_told_what_is_needed():
    setup = (
        "import jax, jax.numpy as jnp, jboltz\n"
        "from jboltz import DBM, Bernoulli\n"
        "dbm = DBM((Bernoulli(4), Bernoulli(3), Bernoulli(2)))\n"
        "params = dbm.init(jax.random.key(0))\n"
        "v, h = (jnp.zeros(4), jnp.zeros(2)), (jnp.zeros(3),)\n"
        "rbm = jboltz.RBM(Bernoulli(4), Bernoulli(3)).init(jax.random.key(0))\n"
    )
    errors = errors_without_hook(
        setup,
        [
            "DBM((Bernoulli(4),))",
            "dbm.compose((rbm, rbm))",
            "dbm.energy(params, h, v)",
            "dbm.energy(params, v[:1], h)",
            "dbm.free_energy(params, (jnp.zeros((7, 4)), jnp.zeros(2)))",
        ],
    )
    words = [
        ("InvalidValue", "1 layers", "hidden layer"),
        ("InvalidValue", "stack", "(4, 3)", "[4, 3, 2]", "pretraining_layers"),
        ("InvalidValue", "(3,)", "(4,)"),
        ("InvalidValue", "2 layers", "3"),
        ("InvalidValue", "batched", "vmap"),
    ]
    for error, expected in zip(errors.values(), words, strict=True):
        assert all(word in error for word in expected), error
