"""The centred gradient is the plain one in other coordinates."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, Bernoulli, Gaussian
from jboltz.base import Estimator
from jboltz.learning.best import BestSoFar
from jboltz.learning.centred import Centred, Mask, centre, enhanced_gradient
from jboltz.learning.transforms import by_field, project, within
from jboltz.models.dbm import DBM
from jboltz.units.bernoulli import BernoulliParams
from tests.helpers import draw_like, errors_without_hook, rng_of

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
            visible=BernoulliParams(-p.visible.bias),
            hidden=BernoulliParams(p.hidden.bias + p.weights.sum(0)),
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


@dataclasses.dataclass(frozen=True)
class Held:
    """A sampler that stays: what chains do is no part of what is tested."""

    model: Any

    def init(self, params, v, key):
        return jboltz.Gibbs(self.model).init(params, v, key)

    def step(self, params, state, key):
        del params, key
        return state, {}


def held_case(getkey, num_chains=7):
    """An RBM, an estimator of explicit chains, their state and a weighted batch."""
    model = MODELS["RBM"]
    pcd = jboltz.PersistentContrastiveDivergence(model, Held(model), num_chains)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 1.0)
    rng = rng_of(getkey())
    chains = pcd.init(params, getkey())
    values = jnp.asarray(rng.integers(0, 2, (5, 4)), float)
    batch = Batch(values=values, weights=jnp.asarray(rng.uniform(size=5)))
    return pcd, params, chains, batch


def test_the_enhanced_gradient_is_the_difference_of_covariances(getkey, x64):
    """Cho, Raiko & Ilin (2011), eqs. 9–11: ΔW = Cov_d(v, h) − Cov_m(v, h), and
    Δb = ⟨v⟩_d − ⟨v⟩_m − ΔW ½(⟨h⟩_d + ⟨h⟩_m), likewise Δc; rows may have weights."""
    pcd, params, chains, batch = held_case(getkey)
    estimator = enhanced_gradient(pcd)
    state = estimator.init(params, getkey()).replace(inner=chains)
    gradient, after, _ = jax.jit(estimator.estimate)(params, state, batch, getkey())

    def moments(v, weights):
        inputs = np.asarray(v @ params.weights) + np.asarray(params.hidden.bias)
        h = 1 / (1 + np.exp(-inputs))
        mean_v = np.average(v, axis=0, weights=weights)
        mean_h = np.average(h, axis=0, weights=weights)
        products = np.asarray(v)[:, :, None] * h[:, None, :]
        second = np.average(products, axis=0, weights=weights)
        return mean_v, mean_h, second - np.outer(mean_v, mean_h)

    v_d, h_d, cov_d = moments(batch.values, batch.weights)
    v_m, h_m, cov_m = moments(chains.visible, None)
    W = cov_d - cov_m
    close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    close(-gradient.weights, W)
    close(-gradient.visible.bias, v_d - v_m - W @ (h_d + h_m) / 2)
    close(-gradient.hidden.bias, h_d - h_m - (v_d + v_m) / 2 @ W)
    close(after.offsets[0], (v_d + v_m) / 2)
    close(after.offsets[1], (h_d + h_m) / 2)


def test_enhanced_learns_flipped_bits_as_well_as_the_bits(getkey, x64):
    """One visible and one hidden unit turned over, in model, data and chains: what the
    update does to the flipped model is what it does to the model, flipped. The plain
    gradient fails."""
    pcd, params, chains, batch = held_case(getkey)
    v_sign, h_sign = jnp.array([1.0, -1, 1, 1]), jnp.array([1.0, 1, -1])
    v_flip, h_flip = (1 - v_sign) / 2, (1 - h_sign) / 2

    def flip(p):
        """E(v, h) of the flipped model is E at the flipped v and h, up to a constant:
        v → s v + f in each bit."""
        W = p.weights
        visible = v_sign * (p.visible.bias + W @ h_flip)
        hidden = h_sign * (p.hidden.bias + v_flip @ W)
        return jboltz.RBMParams(
            visible=BernoulliParams(visible),
            hidden=BernoulliParams(hidden),
            weights=v_sign[:, None] * W * h_sign[None],
        )

    estimates = {e: jax.jit(e.estimate) for e in (pcd, enhanced_gradient(pcd))}

    def turn(v):
        return v_sign[None] * v + v_flip[None]

    def learn(estimator, params, chains, batch):
        state = chains
        if estimator is not pcd:
            state = estimator.init(params, jax.random.key(0)).replace(inner=chains)
        gradient, _, _ = estimates[estimator](params, state, batch, jax.random.key(1))
        return jax.tree.map(lambda x, g: x - 0.5 * g, params, gradient)

    def distance(estimator):
        turned = chains.replace(visible=turn(chains.visible))
        flipped = Batch(values=turn(batch.values), weights=batch.weights)
        there = learn(estimator, flip(params), turned, flipped)
        here = flip(learn(estimator, params, chains, batch))
        gaps = jax.tree.map(lambda x, y: np.max(np.abs(x - y)), there, here)
        return max(jax.tree.leaves(gaps))

    assert distance(enhanced_gradient(pcd)) < 1e-12
    assert distance(pcd) > 1e-2


@pytest.mark.parametrize("name", ["real", "DBM"])
def test_midpoints_are_half_way_to_the_means_of_the_chains(name, getkey, x64):
    """Read off the gradient, for units whose activity is not their state too."""
    model = MODELS[name]
    if name == "real":
        inner = jboltz.PersistentContrastiveDivergence(model, Held(model), 6)
    else:
        inner = jboltz.MeanFieldPCD(model, Held(model), 6, tolerance=1e-12)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    estimator = enhanced_gradient(inner, rate=0.5)
    state = estimator.init(params, getkey())
    values = jnp.asarray(rng_of(getkey()).integers(0, 2, (5, 4)), float)
    batch = Batch(values=values)
    _, after, _ = jax.jit(estimator.estimate)(params, state, batch, getkey())
    moved = [2 * x - y for x, y in zip(after.offsets, state.offsets, strict=True)]
    data = jax.vmap(partial(model.mean_activities, params))(values)
    bottom = jax.vmap(partial(model.units[0].activity, model.parts(params)[0][0]))
    chains = state.inner.visible if name == "real" else state.inner.visible[0]
    expected = (data[0].mean(axis=0) + bottom(chains).mean(axis=0)) / 2
    np.testing.assert_allclose(moved[0], expected, rtol=1e-9, atol=1e-12)


def test_a_rate_outside_0_to_1_is_refused():
    errors = errors_without_hook(
        "from jboltz import *\nrbm = RBM(Bernoulli(4), Bernoulli(3))\n"
        "cd = ContrastiveDivergence(rbm, Gibbs(rbm))\n",
        ["Centred(cd, rate=1.5)", "Centred(cd, rate=-0.1)"],
    )
    assert all(e.startswith("InvalidValue") and "`rate`" in e for e in errors.values())


def test_of_some_weights_it_is_the_gradient_with_the_others_held(getkey, x64):
    """By autodiff through the map of the trained weights and all biases alone."""
    model = MODELS["DBM"]
    shapes = jax.eval_shape(model.init, getkey())
    params, gradient = draw_like(shapes, getkey()), draw_like(shapes, getkey())
    offsets = tuple(jax.random.normal(getkey(), (u.size,)) for u in model.units)
    rng = rng_of(getkey())
    arrays = [rng.integers(0, 2, W.shape) for W in params.weights]
    masks = tuple(map(Mask.of, arrays))

    def normal(centred):
        units, weights = model.parts(centred)
        moving = tuple(m * W for m, W in zip(arrays, weights, strict=True))
        return to_normal(model, model.from_parts(units, moving), offsets)

    _, transpose = jax.vjp(normal, params)
    _, expected = jax.jvp(normal, (params,), transpose(gradient))
    got = centre(model, gradient, offsets, masks)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12),
        got,
        expected,
    )


def test_a_mask_in_the_optimizer_is_refused(getkey):
    model, masks = MODELS["RBM"], (np.eye(4, 3),)
    params = model.init(getkey())
    inner = jboltz.ContrastiveDivergence(model, jboltz.Gibbs(model))

    def start(optimizer, estimator):
        jboltz.init_train_state(params, estimator, optimizer, getkey())

    def zero_outside(updates, state, params=None):
        del params
        return updates.replace(weights=updates.weights * masks[0]), state

    some = optax.GradientTransformation(lambda _: optax.EmptyState(), zero_outside)
    of_some = optax.chain(some, optax.sgd(0.1))
    late = optax.chain(optax.sgd(optax.linear_schedule(0.0, 0.1, 10)), some)
    frozen = by_field(optax.sgd(0.1), weights=optax.set_to_zero())
    for optimizer, count in (
        (of_some, 9),
        (late, 9),
        (optax.MultiSteps(of_some, 2), 9),
        (frozen, 12),
    ):
        for estimator in (Centred(inner), BestSoFar(Centred(inner))):
            with pytest.raises(ValueError, match=f"leaves {count} weights .*masks"):
                start(optimizer, estimator)
        start(optimizer, inner)
    start(of_some, Centred(inner, masks=masks))
    # What moves nothing at first, or nothing downwards, is no mask.
    slow = optax.sgd(optax.linear_schedule(0.0, 0.1, 10))
    positive = project(within(0.0, jnp.inf))
    for optimizer in (
        slow,
        by_field(optax.sgd(0.1), weights=slow),
        optax.MultiSteps(optax.sgd(0.1), 2),
        optax.chain(optax.sgd(0.1), positive),
        optax.chain(optax.centralize(), optax.sgd(0.1)),
        optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau()),
        optax.lbfgs(),  # the step refuses it
    ):
        start(optimizer, Centred(inner))
    jax.jit(lambda: start(optax.sgd(0.1), Centred(inner)))()


def test_masks_that_are_equal_make_equal_steps(getkey):
    """And two of them are trained with one after the other."""
    model = MODELS["RBM"]
    inner = jboltz.ContrastiveDivergence(model, jboltz.Gibbs(model))
    data, sgd = np.eye(4, dtype=np.float32), optax.sgd(0.1)
    params = model.init(getkey())

    def train(mask):
        estimator = Centred(inner, masks=(mask,))
        state = jboltz.init_train_state(params, estimator, sgd, jax.random.key(0))
        step = jboltz.make_train_step(estimator, sgd)
        key = jax.random.key(1)
        end, _ = jboltz.fit(step, state, data, key, batch_size=2, num_epochs=1)
        return step, end.params.weights - params.weights

    half = np.arange(12).reshape(4, 3) % 2
    (one, moved), (again, same), (other, _) = map(train, (half, half == 1, 1 - half))
    assert one == again != other
    assert hash(one) == hash(again)
    np.testing.assert_array_equal(moved, same)
    np.testing.assert_array_equal(moved != 0, half == 1)


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ((np.ones((4, 3)), np.ones((4, 3))), r"`masks` has shapes .*have \[\(4, 3\)\]"),
        ((np.ones((3, 4)),), r"`masks` has shapes"),
        (tuple(np.ones((4, 3))), "matrix of 0 and 1"),
        ((np.full((4, 3), 0.5),), "matrix of 0 and 1"),
        ((np.full((4, 3), np.nan),), "matrix of 0 and 1"),
        (("a",), "matrix of 0 and 1"),
    ],
)
def test_masks_of_other_weights_are_refused(masks, words, getkey):
    model = MODELS["RBM"]
    inner = jboltz.ContrastiveDivergence(model, jboltz.Gibbs(model))
    with pytest.raises(ValueError, match=words):
        Centred(inner, masks=masks).init(model.init(getkey()), getkey())
