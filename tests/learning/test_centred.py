"""The centred gradient is the plain one in other coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, Bernoulli, Gaussian
from jboltz.base import Estimator
from jboltz.learning.centred import Centred, centre
from jboltz.models.dbm import DBM
from tests.helpers import draw_like, errors_without_hook

MODELS = {
    "RBM": jboltz.RBM(Bernoulli(4), Bernoulli(3)),
    "real": jboltz.RBM(Gaussian(4), Bernoulli(3)),
    "DBM": DBM((Bernoulli(4), Bernoulli(3), Gaussian(2), Bernoulli(2))),
}


def to_normal(model, centred, offsets):
    """b_l = b̃_l − W_l o_{l+1} − W_{l−1}ᵀ o_{l−1}."""
    units, weights = model.parts(centred)
    units = list(units)
    for i, W in enumerate(weights):
        units[i] = model.units[i].shift(units[i], -(W @ offsets[i + 1]))
        units[i + 1] = model.units[i + 1].shift(units[i + 1], -(offsets[i] @ W))
    return model.from_parts(tuple(units), weights)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_a_gradient_step_in_centred_coordinates(name, getkey, x64):
    """T⁻¹ T⁻ᵀ g by autodiff through the map from centred to normal parameters."""
    model = MODELS[name]
    shapes = jax.eval_shape(model.init, getkey())
    params, gradient = draw_like(shapes, getkey()), draw_like(shapes, getkey())
    offsets = tuple(jax.random.normal(getkey(), (u.size,)) for u in model.units)

    def normal(centred):
        return to_normal(model, centred, offsets)

    # The map is linear, so where it is linearised does not matter.
    _, transpose = jax.vjp(normal, params)
    (in_centred,) = transpose(gradient)
    _, expected = jax.jvp(normal, (params,), (in_centred,))
    got = centre(model, gradient, offsets)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12),
        got,
        expected,
    )


def test_flipped_bits_are_learnt_as_well_as_the_bits(getkey):
    """Invariance: v → 1 − v maps W → −W, b → −b, c → c + ΣW, and updates alike."""
    model = MODELS["RBM"]
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())

    def flip(p):
        return jboltz.RBMParams(
            visible=jboltz.BernoulliParams(-p.visible.bias),
            hidden=jboltz.BernoulliParams(p.hidden.bias + p.weights.sum(0)),
            weights=-p.weights,
        )

    gradient = draw_like(params, getkey())
    # The same loss seen in flipped parameters: flip is its own inverse.
    (flipped_gradient,) = jax.vjp(flip, flip(params))[1](gradient)
    offsets = (jnp.full(4, 0.2), jnp.full(3, 0.6))
    plain = centre(model, gradient, offsets)
    _, expected = jax.jvp(flip, (params,), (plain,))
    got = centre(model, flipped_gradient, (1 - offsets[0], offsets[1]))
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
        got,
        expected,
    )


@pytest.mark.parametrize("name", ["RBM", "DBM"])
def test_offsets_follow_the_data(name, getkey):
    model = MODELS[name]
    sampler = jboltz.Gibbs(model)
    inner = (
        jboltz.ContrastiveDivergence(model, sampler)
        if name == "RBM"
        else jboltz.MeanFieldPCD(model, sampler, 3)
    )
    estimator = Centred(inner, rate=0.25)
    assert isinstance(estimator, Estimator)
    params = model.init(getkey())
    state = estimator.init(params, getkey())
    values = jnp.ones((5, 4))
    key = getkey()
    gradient, after, _ = estimator.estimate(params, state, Batch(values=values), key)
    np.testing.assert_allclose(state.offsets[0], 0.5)
    np.testing.assert_allclose(after.offsets[0], 0.5 + 0.25 * 0.5)
    plain, _, _ = inner.estimate(params, state.inner, Batch(values=values), key)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
        gradient,
        centre(model, plain, after.offsets),
    )


def test_it_trains_in_fit(getkey):
    model = MODELS["RBM"]
    estimator = Centred(jboltz.ContrastiveDivergence(model, jboltz.Gibbs(model)))
    optimizer = optax.sgd(0.1)
    state = jboltz.init_train_state(
        model.init(getkey()), estimator, optimizer, getkey()
    )
    step = jboltz.make_train_step(estimator, optimizer)
    data = np.ones((8, 4), np.float32)
    state, _ = jboltz.fit(step, state, data, getkey(), batch_size=4, num_epochs=2)
    assert (state.params.visible.bias > 0).all()


def test_a_rate_outside_0_to_1_is_refused():
    errors = errors_without_hook(
        "from jboltz import *\nrbm = RBM(Bernoulli(4), Bernoulli(3))\n"
        "cd = ContrastiveDivergence(rbm, Gibbs(rbm))\n",
        ["Centred(cd, rate=1.5)", "Centred(cd, rate=-0.1)"],
    )
    assert all(e.startswith("ValueError") and "`rate`" in e for e in errors.values())
