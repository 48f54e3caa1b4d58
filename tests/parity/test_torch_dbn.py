"""The DBN of the notes: its up-pass, its pretraining, what that feeds each layer."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from tests.helpers import enable_x64, random_params
from tests.parity import reference, streams
from tests.parity.reference import torch

WIDTHS = (12, 8, 5)
DBN = jboltz.DBN.chain(*map(jboltz.Bernoulli, WIDTHS))
BATCH_SIZE, NUM_EPOCHS, LEARNING_RATE, K = 8, 3, 0.3, 1
OPTIMIZER = optax.sgd(LEARNING_RATE)

FEEDS = {"means": reference.means_of_gray, "samples": reference.samples_of_pixels}
# 22 leave a short last batch.
NUM_EXAMPLES = {"means": 22, "samples": 24}


def to_torch(x):
    return torch.tensor(np.asarray(x))


def in_torch(stack):
    """The same parameters in the notes' layout."""
    return [
        reference.RBM(
            to_torch(params.weights.T),
            to_torch(params.visible.bias),
            to_torch(params.hidden.bias),
        )
        for params in stack
    ]


def image_rows(key, num_rows):
    """Gray levels with plain black and white among them, as uint8."""
    levels = jax.random.randint(key, (num_rows, WIDTHS[0]), -64, 320)
    return np.clip(levels, 0, 255).astype(np.uint8)


@functools.cache
def pretrained(features):
    """The stack before and after pretraining in float64, the losses of each batch."""
    key_data, key_init, key_train = jax.random.split(jax.random.key(7), 3)
    data = jnp.asarray(image_rows(key_data, NUM_EXAMPLES[features]) / 255)
    start = random_params(DBN.init(key_init), key_init)
    histories = []

    def fit_layer(index, prepare, key):
        layer = DBN.layers[index]
        estimator = jboltz.ContrastiveDivergence(layer, jboltz.Gibbs(layer), K)
        state, history = jboltz.fit(
            jboltz.make_train_step(estimator, OPTIMIZER),
            jboltz.init_train_state(start[index], estimator, OPTIMIZER, key),
            data,
            key,
            batch_size=BATCH_SIZE,
            num_epochs=NUM_EPOCHS,
            prepare=prepare,
        )
        histories.append([epoch["reconstruction_error"] for epoch in history])
        return state.params

    stack = jboltz.greedy(DBN.layers, key_train, fit_layer=fit_layer, features=features)
    return data, key_train, start, stack, histories


def pretrained_in_torch(features, feed):
    """The same in the reference, on the same uniforms in the same order."""
    data, key, start, _, _ = pretrained(features)

    def batches(index, epoch):
        key_layer = jax.random.fold_in(key, index)
        widths, sizes = WIDTHS[: index + 1], WIDTHS[index : index + 2]
        epochs = streams.epoch(key_layer, epoch, len(data), BATCH_SIZE)
        for rows, key_prepare, key_update in epochs:
            count = len(rows)
            yield jax.tree.map(
                to_torch,
                (
                    rows,
                    streams.layer_input(
                        key_prepare, count, widths, features, "float64"
                    ),
                    streams.chains_from_data(key_update, count, sizes, K, "float64"),
                ),
            )

    dbn = reference.DBN(in_torch(start))
    losses = dbn.pretrain(
        to_torch(data), NUM_EPOCHS, LEARNING_RATE, K, batches, feed=feed
    )
    return dbn.rbms, losses


@pytest.mark.parametrize("features", FEEDS)
def test_pretraining(features, x64):
    """Both layers, three shuffled epochs, a short last batch: all parameters, and the
    loss of every epoch, the unweighted mean of its batches'."""
    _, _, start, stack, histories = pretrained(features)
    rbms, losses = pretrained_in_torch(features, FEEDS[features])
    assert np.shape(histories) == np.shape(losses) == (2, 3, 3)
    np.testing.assert_allclose(histories, losses, rtol=1e-9)
    epoch_losses = np.mean(histories, axis=-1)
    np.testing.assert_allclose(epoch_losses, np.mean(losses, axis=-1), rtol=1e-9)
    for before, params, rbm in zip(start, stack, rbms, strict=True):
        tolerance = {"rtol": 1e-9, "atol": 1e-9}
        np.testing.assert_allclose(params.weights, rbm.W.T, **tolerance)
        np.testing.assert_allclose(params.visible.bias, rbm.b, **tolerance)
        np.testing.assert_allclose(params.hidden.bias, rbm.c, **tolerance)
        assert np.abs(params.weights - before.weights).max() > 0.1


def means_of_drawn_pixels(below, gray, uniforms):
    """Binarised before the way up instead of after it only."""
    if below:
        noise = np.random.default_rng(0).uniform(size=gray.shape)
        gray = (torch.tensor(noise) < gray).to(gray.dtype)
    return reference.means_of_gray(below, gray, uniforms)


def undrawn_means(below, gray, uniforms):
    """Means handed up as they are."""
    if not below:
        return reference.means_of_gray(below, gray, uniforms)
    return torch.sigmoid(gray @ below[0].W.T + below[0].c)


def thresholded_means(below, gray, uniforms):
    """Means rounded instead of drawn from."""
    if below:
        uniforms = [torch.full_like(uniforms[0], 0.5)]
    return reference.means_of_gray(below, gray, uniforms)


@pytest.mark.parametrize(
    "feed",
    [means_of_drawn_pixels, undrawn_means, thresholded_means],
    ids=lambda feed: feed.__name__,
)
def test_another_feed_of_layer_2_is_told_apart(feed, x64):
    """The losses alone would not tell: on MNIST a wrong one moves them by 0.5 %."""
    stack = pretrained("means")[3]
    rbms, _ = pretrained_in_torch("means", feed)
    np.testing.assert_allclose(stack[0].weights, rbms[0].W.T, rtol=1e-9, atol=1e-9)
    assert np.abs(stack[1].weights - rbms[1].W.T.numpy()).max() > 1e-3


@pytest.mark.parametrize("features", FEEDS)
@pytest.mark.parametrize("layer", [1, 2])
def test_feed_of_stored_images(layer, features, getkey):
    """In float32, as training gets it: uint8 rows in, the reference's states out."""
    stack = random_params(DBN.init(getkey()), getkey())[: layer - 1]
    rows, key = image_rows(getkey(), BATCH_SIZE), getkey()
    layer_input = jboltz.LayerFeatures(DBN.layers[:layer], features)
    values = layer_input(stack, jnp.asarray(rows), key)

    draws = streams.layer_input(key, len(rows), WIDTHS[:layer], features, "float32")
    gray = torch.tensor(rows).float() / 255
    expected = FEEDS[features](in_torch(stack), gray, jax.tree.map(to_torch, draws))
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_forward_is_an_up_pass_of_samples(dtype, getkey):
    with enable_x64() if dtype == "float64" else contextlib.nullcontext():
        stack = random_params(DBN.init(getkey()), getkey())
        v = jnp.round(jax.random.uniform(getkey(), (BATCH_SIZE, WIDTHS[0])))
        keys = streams.each(getkey(), BATCH_SIZE)
        samples = [DBN.sample_up(stack, *x) for x in zip(v, keys, strict=True)]

        draws = [
            streams.uniforms([jax.random.fold_in(k, i) for k in keys], width, dtype)
            for i, width in enumerate(WIDTHS[1:])
        ]
        dbn = reference.DBN(in_torch(stack))
        expected = dbn.forward(to_torch(v), jax.tree.map(to_torch, draws))
        np.testing.assert_array_equal(jnp.stack(samples), expected)
