"""The GRBM and the spike-and-slab RBM of the notes, on the same draws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.models.spike_and_slab import SpikeSlab
from jboltz.units.gaussian import GaussianParams
from tests.helpers import draw_like, rng_of
from tests.parity import reference, streams
from tests.parity.notes import (
    NotesContrastiveDivergence,
    NotesGaussianRBM,
    NotesSpikeAndSlab,
)
from tests.parity.reference import torch

SIZES, SIZE = (6, 4), 5
BATCH_SIZE, NUM_EXAMPLES, NUM_EPOCHS, LEARNING_RATE = 8, 24, 3, 0.05
NUM_STEPS = 2
SGD = optax.sgd(LEARNING_RATE)


def to_torch(nested):
    return jax.tree.map(lambda x: torch.tensor(np.asarray(x)), nested)


def assert_same(ours, theirs):
    ours, theirs = np.asarray(ours), theirs.numpy()
    assert ours.dtype == theirs.dtype == np.float64
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def trajectory(estimator, params, num_visible, contrast, getkey, optimizer=SGD):
    """Three epochs of `fit`, beside `contrast(x, key of the update)` of the notes,
    which returns the loss."""
    data, key = rng_of(getkey()).normal(size=(NUM_EXAMPLES, num_visible)), getkey()
    start = jboltz.init_train_state(params, estimator, optimizer, getkey())
    state, histories = jboltz.fit(
        jboltz.make_train_step(estimator, optimizer),
        start,
        jnp.asarray(data),
        key,
        batch_size=BATCH_SIZE,
        num_epochs=NUM_EPOCHS,
    )
    moved = np.abs(state.params.weights - params.weights).max()
    assert moved > 0.05, "the trajectory is too short to tell anything"
    for epoch, history in enumerate(histories):
        losses = [
            contrast(to_torch(data[rows]), key_update)
            for rows, _, key_update in streams.epoch(
                key, epoch, NUM_EXAMPLES, BATCH_SIZE
            )
        ]
        assert_same(history["reconstruction_error"], torch.stack(losses))
    return state.params


def grbm_in_torch(params, visible_bias, hidden_bias, sigma):
    return reference.GRBM(
        *to_torch((params.weights.T, visible_bias, hidden_bias)), sigma
    )


def test_grbm_at_sigma_1_is_the_gaussian_rbm(getkey, x64):
    """Log-variance 0, which stays: the notes do not learn it."""
    model = jboltz.RBM(jboltz.Gaussian(SIZES[0]), jboltz.Bernoulli(SIZES[1]))
    estimator = jboltz.ContrastiveDivergence(
        model, jboltz.Gibbs(model), num_steps=NUM_STEPS
    )
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    params = params.replace(
        visible=params.visible.replace(log_variance=jnp.zeros(SIZES[0]))
    )
    optimizer = optax.partition(
        {"train": SGD, "freeze": optax.set_to_zero()},
        jboltz.RBMParams(
            visible=GaussianParams(mean="train", log_variance="freeze"),
            hidden="train",
            weights="train",
        ),
    )
    theirs = grbm_in_torch(params, params.visible.mean, params.hidden.bias, 1.0)

    def contrast(x, key):
        draws = streams.chains_from_data(
            key, len(x), SIZES, NUM_STEPS, "float64", visible_draws=streams.normals
        )
        return theirs.contrastive_divergence(
            x, LEARNING_RATE, NUM_STEPS, to_torch(draws)
        )

    ours = trajectory(estimator, params, SIZES[0], contrast, getkey, optimizer)
    assert_same(ours.weights, theirs.W.T)
    assert_same(ours.visible.mean, theirs.b)
    assert_same(ours.hidden.bias, theirs.c)
    assert not ours.visible.log_variance.any()


def test_grbm_at_another_sigma(getkey, x64):
    model = NotesGaussianRBM(*SIZES, sigma=0.6)
    estimator = NotesContrastiveDivergence(model, num_steps=NUM_STEPS)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    theirs = grbm_in_torch(params, params.visible_bias, params.hidden_bias, 0.6)

    def contrast(x, key):
        draws = streams.chains_of_notes(key, len(x), SIZES, NUM_STEPS, "float64")
        return theirs.contrastive_divergence(
            x, LEARNING_RATE, NUM_STEPS, to_torch(draws)
        )

    ours = trajectory(estimator, params, SIZES[0], contrast, getkey)
    assert_same(ours.weights, theirs.W.T)
    assert_same(ours.visible_bias, theirs.b)
    assert_same(ours.hidden_bias, theirs.c)


def test_spike_and_slab(getkey, x64):
    model = NotesSpikeAndSlab(SIZE, SIZE, sigma=0.7)
    estimator = NotesContrastiveDivergence(model, num_steps=NUM_STEPS)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale=0.3)
    biases = params.visible_bias, params.spike_bias, params.slab_bias
    theirs = reference.SsRBM(*to_torch((params.weights.T, *biases)), 0.7)

    def contrast(x, key):
        draws = streams.slab_chains_of_notes(key, len(x), SIZE, NUM_STEPS, "float64")
        return theirs.contrastive_divergence(
            x, LEARNING_RATE, NUM_STEPS, to_torch(draws)
        )

    ours = trajectory(estimator, params, SIZE, contrast, getkey)
    assert_same(ours.weights, theirs.W.T)
    assert_same(ours.visible_bias, theirs.v_bias)
    assert_same(ours.spike_bias, theirs.s_bias)
    assert_same(ours.slab_bias, theirs.z_bias)


# No joint. If p(v, h) existed, log p(h | v) − log p(v | h) = log p(h) − log p(v), whose
# mixed second difference in v and h is zero.


def mixed_difference(log_ratio, v, h):
    """Of log p(h | v) − log p(v | h), over two v and two h."""
    return (
        log_ratio(v[0], h[0])
        - log_ratio(v[0], h[1])
        - log_ratio(v[1], h[0])
        + log_ratio(v[1], h[1])
    )


def log_normal(x, mean, sigma):
    return -0.5 * np.sum((x - mean) ** 2) / sigma**2  # and a constant


def log_bernoulli(h, p):
    return np.sum(np.log(np.where(h == 1, p, 1 - p)))


@pytest.mark.parametrize("sigma", [1.0, 0.6], ids="σ={}".format)
def test_only_at_sigma_1_has_the_grbm_a_joint(sigma, getkey, x64):
    model = NotesGaussianRBM(*SIZES, sigma=sigma)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    v, key = rng_of(getkey()).normal(size=(2, SIZES[0])), getkey()
    h = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
    noise = sigma * jax.random.normal(key, (SIZES[0],))

    def log_ratio(v, h):
        p = model.mean_spikes(params, jnp.asarray(v))
        mean = model.sample_visible(params, jnp.asarray(h), key) - noise
        return log_bernoulli(h, p) - log_normal(v, mean, sigma)

    difference = mixed_difference(log_ratio, v, h)
    crossed = (v[0] - v[1]) @ params.weights @ (h[0] - h[1])
    np.testing.assert_allclose(difference, crossed * (1 - 1 / sigma**2), atol=1e-9)
    assert (abs(difference) < 1e-9) == (sigma == 1.0)
    assert not model.exact


@pytest.mark.parametrize("sigma", [1.0, 0.7], ids="σ={}".format)
def test_the_spike_and_slab_rbm_of_the_notes_has_no_joint(sigma, getkey, x64):
    """At σ = 1 neither: an off slab reaches v, and v does not reach it."""
    model = NotesSpikeAndSlab(SIZE, SIZE, sigma=sigma)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    rng, key = rng_of(getkey()), getkey()
    v, s = rng.normal(size=(2, 2, SIZE))
    h = np.array([[1.0, 0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0, 0.0]])
    _, key_slabs = jax.random.split(key)
    noise = sigma * np.asarray(jax.random.normal(key_slabs, (SIZE,)))
    noise_v = sigma * jax.random.normal(key, (SIZE,))

    def log_ratio(v, hidden):
        h, s = hidden
        p = model.mean_spikes(params, jnp.asarray(v))
        # The draw of the slabs, with a bias that turns every spike on.
        on = params.replace(spike_bias=jnp.full(SIZE, 1e9))
        slab = model.sample_hidden(on, jnp.asarray(v), key).slabs - noise
        state = SpikeSlab(spikes=jnp.asarray(h), slabs=jnp.asarray(s))
        mean = model.sample_visible(params, state, key) - noise_v
        up = log_bernoulli(h, p) + log_normal(s, h * np.asarray(slab), sigma)
        return up - log_normal(v, mean, sigma)

    difference = mixed_difference(log_ratio, v, list(zip(h, s, strict=True)))
    assert abs(difference) > 0.1
    assert not model.exact


def test_sizes_that_the_notes_cannot_train_are_refused():
    with pytest.raises(ValueError, match="`num_visible` is 784 and `num_hidden` 500"):
        NotesSpikeAndSlab(784, 500)


def test_bad_input_is_refused_by_name(getkey):
    model = NotesGaussianRBM(3, 2)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    with pytest.raises(ValueError, match="`num_steps` is 0 but a chain needs"):
        NotesContrastiveDivergence(model, 0)
    with pytest.raises(ValueError, match=r"`v` has shape \(2,\)"):
        model.sample_hidden(params, jnp.zeros(2), getkey())
    with pytest.raises(ValueError, match=r"`h` has shape \(3,\)"):
        model.sample_visible(params, jnp.zeros(3), getkey())
    batch = jboltz.Batch(values=jnp.zeros((2, 3)), weights=jnp.ones(2))
    with pytest.raises(ValueError, match="`batch` has weights or a mask"):
        NotesContrastiveDivergence(model).estimate(params, (), batch, getkey())
