"""Units of units: what the conformance suite does not know of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.base import Batch, is_exact
from jboltz.domains import OneHot, Product, UnitInterval
from jboltz.learning.contrastive import ContrastiveDivergence
from jboltz.models.rbm import RBM
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.composite import Copies, Joined
from jboltz.units.noisy_relu import NoisyReLU
from jboltz.units.softmax import Softmax
from tests.helpers import draw_like, errors_without_hook


def test_copies_double_the_evidence_and_leave_each_draw_alone(getkey, x64):
    """The bottom RBM of a DBM: p(h | x, x) = σ(c + 2Wᵀx), p(x | h) = σ(b + Wh)."""
    model = RBM(Copies(Bernoulli(3), 2), Bernoulli(2))
    params = draw_like(model.init(getkey()), getkey())
    x, h = jnp.asarray([1.0, 0.0, 1.0]), jnp.asarray([1.0, 1.0])
    sigmoid, W = jax.nn.sigmoid, params.weights
    np.testing.assert_allclose(
        model.mean_hidden_state(params, jnp.stack([x, x])),
        sigmoid(params.hidden.bias + 2 * x @ W),
        rtol=1e-9,
    )
    means = model.mean_visible_state(params, h)
    assert means.shape == (2, 3)
    expected = sigmoid(params.visible.bias + W @ h)
    np.testing.assert_allclose(means, jnp.stack([expected] * 2), rtol=1e-9)


def test_copies_are_drawn_with_keys_of_their_own(getkey):
    unit, key = Copies(Bernoulli(200), 3), getkey()
    x = unit.sample(unit.init(), jnp.zeros(200), key)
    for index in range(3):
        own = jax.random.fold_in(key, index)
        one = unit.unit.sample(unit.init(), jnp.zeros(200), own)
        np.testing.assert_array_equal(x[index], one)


def test_copies_of_joined_units_are_joined_copies(getkey, x64):
    joined = Joined(Bernoulli(2), Softmax(1, 3))
    outside, inside = Copies(joined, 2), Joined(*(Copies(u, 2) for u in parts(joined)))
    assert outside.shape == inside.shape == ((2, 2), (2, 1, 3))
    assert outside.domain == inside.domain == Product((UnitInterval(), OneHot(3)))
    params = draw_like(joined.init(), getkey())
    inputs = jax.random.normal(getkey(), (5,))
    x = outside.sample(params, inputs, getkey())
    for method, argument in (("energy", x), ("activity", x), ("mean", inputs)):
        np.testing.assert_allclose(
            getattr(outside, method)(params, argument),
            getattr(inside, method)(params, argument),
            rtol=1e-9,
        )


def parts(joined):
    return joined.first, joined.second


def test_composites_are_exact_where_their_units_are():
    exact, rough = Bernoulli(1), NoisyReLU(1)
    assert is_exact(Copies(exact, 2))
    assert is_exact(Joined(exact, exact))
    assert not is_exact(Copies(rough, 2))
    assert not is_exact(Joined(exact, rough))
    assert not is_exact(Joined(rough, exact))


def test_an_image_beside_its_label_learns_by_contrastive_divergence(getkey):
    model = RBM(Joined(Bernoulli(4), Softmax(1, 3)), NoisyReLU(2))
    estimator = ContrastiveDivergence(model, Gibbs(model), num_steps=2)
    params = model.init(getkey())
    keys = jax.random.split(getkey(), 10)
    values = jax.vmap(model.sample_start, in_axes=(None, 0))(params, keys)
    gradient, _, metrics = jax.jit(estimator.estimate)(
        params, (), Batch(values=values), getkey()
    )
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
    # Labels agree or differ in two of three entries, bits in one.
    assert 0 < metrics["reconstruction_error"] < 1


@pytest.fixture(scope="module")
def errors():
    setup = (
        "import jax.numpy as jnp\n"
        "from jboltz import RBM, Bernoulli, Joined, Softmax\n"
        "unit = Joined(Bernoulli(2), Softmax(1, 3))\n"
        "model = RBM(unit, Bernoulli(2))\n"
        "params = unit.init()\n"
    )
    return errors_without_hook(setup, CALLS)


CALLS = {
    "unit.energy(params, jnp.zeros(2))": "of shape (2,) but Joined",
    "unit.energy(params, (jnp.zeros(2),))": "`x` is a tuple of 1 but Joined",
    "unit.activity(params, (jnp.zeros(2), jnp.zeros((3, 1))))": "`x[1]` has shape",
    "model.free_energy(None, (jnp.zeros((7, 2)), jnp.zeros((7, 1, 3))))": "`v[0]` has",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_state_of_other_parts_is_refused_by_name(call, errors):
    assert errors[call].startswith("InvalidValue: "), errors[call]
    assert CALLS[call] in errors[call]


def test_a_fit_pools_the_copies(getkey):
    values = jax.random.bernoulli(getkey(), 0.3, (10, 2, 3)).astype(float)
    fitted = Copies(Bernoulli(3), 2).fit(values)
    assert isinstance(fitted, BernoulliParams)
    expected = Bernoulli(3).fit(values.reshape(20, 3))
    np.testing.assert_allclose(fitted.bias, expected.bias)
