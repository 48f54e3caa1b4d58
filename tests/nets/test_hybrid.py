"""A hybrid sees one example at a time, and is the net that it says it is."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jboltz
from jboltz import Bernoulli
from jboltz.nets.finetune import evaluate_classifier, label_examples
from jboltz.nets.hybrid import (
    ConvNet,
    ImageAndCodeNet,
    encode,
    fit_code_scaler,
    patches,
    square_side,
)
from tests.helpers import draw_like

NET = ConvNet((6, 5), num_classes=3, channels=(2, 3), kernels=(3, 1), num_dense=4)
JOINED = ImageAndCodeNet(NET)
DBN = jboltz.DBN.chain(Bernoulli(6), Bernoulli(5), Bernoulli(4))
close = chex.assert_trees_all_close


def uniform(key, *shape):
    return jax.random.uniform(key, shape)


def test_it_is_the_convolutional_net_of_flax(getkey, x64):
    """Of `nn.Conv` and `nn.max_pool`, its kernels those of the dense layers."""

    class Expected(nn.Module):
        @nn.compact
        def __call__(self, x):
            for name, count, size in (("conv_1", 2, 3), ("conv_2", 3, 1)):
                x = nn.Conv(count, (size, size), name=name)(x)
                x = nn.max_pool(nn.relu(x), (2, 2), (2, 2))
            x = nn.relu(nn.Dense(4, name="dense")(x.ravel()))
            return nn.Dense(3, name="head")(x)

    v = uniform(getkey(), 30)
    params = draw_like(NET.init(getkey(), v)["params"], getkey())
    image = v.reshape(6, 5, 1)
    template = jax.eval_shape(Expected().init, getkey(), image)["params"]
    as_flax = jax.tree.map(lambda x, like: x.reshape(like.shape), params, template)
    expected = Expected().apply({"params": as_flax}, image)
    close(NET.apply({"params": params}, v), expected, rtol=1e-10)


def test_a_patch_is_the_square_around_a_pixel(getkey):
    x = uniform(getkey(), 4, 5, 2)
    found = patches(x, 3)
    np.testing.assert_array_equal(found[2, 3], x[1:4, 2:5].ravel())
    np.testing.assert_array_equal(found[0, 0].reshape(3, 3, 2)[0], 0)
    np.testing.assert_array_equal(found[0, 0].reshape(3, 3, 2)[1:, 1:], x[:2, :2])


def test_a_code_is_seen_row_by_row(getkey):
    """The net sees, at row i and column j of a map, unit s·i + j."""
    side = square_side(36)
    net = ConvNet((side, side), 3, channels=(2,), kernels=(1,), num_dense=4)
    code = jnp.zeros(36).at[6 * 3 + 4].set(1.0)
    params = net.init(getkey(), code)["params"]
    # One layer of identities: what reaches the dense layer is the map, halved.
    params["conv_1"] = {"kernel": jnp.ones((1, 2)), "bias": jnp.zeros(2)}
    halved = jnp.zeros((3, 3, 2)).at[3 // 2, 4 // 2].set(1.0)
    inputs = halved.ravel() @ params["dense"]["kernel"]
    found = net.apply({"params": params}, code, method="features")
    close(found, nn.relu(inputs), rtol=1e-6)


def test_an_example_does_not_depend_on_its_batch(getkey, x64):
    images, codes = uniform(getkey(), 5, 30), (uniform(getkey(), 5, 7),)
    params = JOINED.init(getkey(), images[0], (codes[0][0],))["params"]
    one = partial(JOINED.apply, {"params": params})
    together = jax.vmap(one)(images, codes)
    for i in range(5):
        close(one(images[i], (codes[0][i],)), together[i], rtol=1e-12)
    others = jax.vmap(one)(images.at[1:].set(0.5), (codes[0].at[1:].set(0.5),))
    close(others[0], together[0], rtol=1e-12)
    assert jnp.all(others[1] != together[1])


def test_without_its_code_a_joined_net_is_the_convolutional_one(getkey):
    v, code = uniform(getkey(), 30), uniform(getkey(), 7)
    params = JOINED.init(getkey(), v, (code,))["params"]
    alone = NET.apply({"params": params["convnet"]}, v)
    mute = params | {"code": {"kernel": jnp.zeros((7, 3))}}
    np.testing.assert_array_equal(JOINED.apply({"params": mute}, v, (code,)), alone)


def test_the_head_is_linear_in_features_and_code_joined(getkey, x64):
    v, code = uniform(getkey(), 30), uniform(getkey(), 7)
    params = draw_like(JOINED.init(getkey(), v, (code,))["params"], getkey())
    convnet, head = {"params": params["convnet"]}, params["convnet"]["head"]
    features = NET.apply(convnet, v, method="features")
    kernel = jnp.concatenate([head["kernel"], params["code"]["kernel"]])
    expected = jnp.concatenate([features, code]) @ kernel + head["bias"]
    close(JOINED.apply({"params": params}, v, (code,)), expected, rtol=1e-10)


def test_dropout_leaves_out_features_and_code_in_training_alone(getkey):
    net = ImageAndCodeNet(ConvNet((6, 5), 3, (2, 3), (3, 1), num_dense=4, dropout=0.5))
    v, code = uniform(getkey(), 30), jnp.ones(7)
    params = net.init(getkey(), v, (code,))["params"]
    apply = partial(net.apply, {"params": params}, v, (code,))
    still = JOINED.apply({"params": params}, v, (code,))
    np.testing.assert_array_equal(apply(), still)
    # Of one class the head sees the code alone, of another the dense layer alone.
    head = {"kernel": jnp.ones((4, 3)).at[:, 0].set(0.0), "bias": jnp.zeros(3)}
    params["convnet"] |= {"head": head}
    params["code"] = {"kernel": jnp.ones((7, 3)).at[:, 1].set(0.0)}
    keys = jax.random.split(getkey(), 8)
    draws = jax.vmap(lambda key: apply(is_training=True, rngs={"dropout": key}))(keys)
    assert jnp.std(draws[:, 0]) > 0
    assert jnp.std(draws[:, 1]) > 0
    assert set((draws[:, 0] / 2).tolist()) <= {*map(float, range(8))}


def test_it_is_judged_as_any_classifier(getkey):
    images, labels = uniform(getkey(), 4, 30), np.arange(4) % 3
    codes = uniform(getkey(), 4, 7)
    params = JOINED.init(getkey(), images[0], (codes[0],))["params"]
    found = evaluate_classifier(
        JOINED, params, label_examples(images, labels, 3, above=(codes,))
    )
    logits = jax.vmap(partial(JOINED.apply, {"params": params}))(images, (codes,))
    expected = -jax.nn.log_softmax(logits)[jnp.arange(4), labels].mean()
    close(found["cross_entropy"], expected, rtol=1e-5)


def test_codes_have_mean_0_and_one_scale(getkey, x64):
    params = draw_like(DBN.init(getkey()), getkey())
    images = uniform(getkey(), 50, 6)
    coder = fit_code_scaler(DBN, params, images)
    codes = encode(DBN, coder, images)
    close(codes.mean(axis=0), jnp.zeros(4), atol=1e-12)
    close(jnp.mean(codes**2), 1.0, rtol=1e-12)
    raw = jax.vmap(DBN.encode, in_axes=(None, 0))(params, images)
    close(codes * coder.scale + coder.mean[None], raw, rtol=1e-10)
    # uint8 images are scaled, and an image is coded alone.
    stored = jnp.round(255 * images).astype(jnp.uint8)
    expected = encode(DBN, coder, stored[:1] / 255)
    close(encode(DBN, coder, stored)[:1], expected, rtol=1e-5)


def test_codes_that_do_not_vary_are_0(getkey):
    coder = fit_code_scaler(DBN, DBN.init(getkey()), jnp.ones((3, 6)))
    close(encode(DBN, coder, jnp.ones((3, 6))), jnp.zeros((3, 4)), atol=1e-6)


@pytest.mark.parametrize("size", [1, 4, 400])
def test_a_square_has_a_side(size):
    assert square_side(size) ** 2 == size


def test_what_is_no_square_is_refused():
    with pytest.raises(ValueError, match=r"`size` is 200 units.* 196 or 225 units"):
        square_side(200)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (ConvNet((6, 3), 3), "image_shape.*2 times.*4 × 4"),
        (ConvNet((6, 6), 3, kernels=(5, 2)), "kernels.*odd"),
        (ConvNet((6, 6), 3, channels=(4,)), "channels.*kernels"),
    ],
)
def test_what_makes_no_net_is_refused(net, words, getkey):
    size = np.prod(net.image_shape)
    with pytest.raises(ValueError, match=words):
        net.init(getkey(), jnp.zeros(size))


def test_another_size_is_refused(getkey):
    with pytest.raises(ValueError, match=r"shape \(31,\) but a ConvNet of .*\(30,\)"):
        NET.init(getkey(), jnp.zeros(31))
