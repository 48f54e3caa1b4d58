"""The deep belief network, against hand-written NumPy and enumeration."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.models.dbn import DBN
from jboltz.models.rbm import RBM, RBMParams
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.gaussian import Gaussian
from tests.helpers import binary_states, draw_like, rng_of

# Equal widths too: there a layer that is fed the wrong one does not fail by its shape.
SIZES = {"5-4-3-2": (5, 4, 3, 2), "3-3-3-3": (3, 3, 3, 3)}
each_size = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def draw_case(units, getkey):
    dbn = DBN.chain(*units)
    return dbn, draw_like(jax.eval_shape(dbn.init, getkey()), getkey(), scale=1.0)


def draw_means(size, getkey):
    return jnp.asarray(rng_of(getkey()).uniform(size=size))


def draw_bits(size, getkey):
    return jnp.asarray(rng_of(getkey()).integers(0, 2, size) * 1.0)


def arrays(params):
    """(W, b, c) of each layer, in NumPy."""
    return [
        (
            np.asarray(layer.weights),
            np.asarray(layer.visible.bias),
            np.asarray(layer.hidden.bias),
        )
        for layer in params
    ]


def up(params, v):
    """The means of every layer, v first."""
    means = [np.asarray(v)]
    for W, _, c in arrays(params):
        means.append(sigmoid(c + means[-1] @ W))
    return means


def down(params, h):
    for W, b, _ in reversed(arrays(params)):
        h = sigmoid(b + W @ h)
    return h


@each_size
def test_encode_goes_up_in_means_each_layer_fed_by_the_one_below(sizes, getkey, x64):
    dbn, params = draw_case(map(Bernoulli, sizes), getkey)
    v = draw_means(sizes[0], getkey)
    means = up(params, v)
    for depth in range(len(params) + 1):
        code = dbn.encode(params[:depth], v)
        np.testing.assert_allclose(code, means[depth], rtol=1e-9)


@each_size
def test_decode_goes_down_in_means_each_layer_fed_by_the_one_above(sizes, getkey, x64):
    dbn, params = draw_case(map(Bernoulli, sizes), getkey)
    for depth in range(1, len(params) + 1):
        h = draw_means(sizes[depth], getkey)
        picture = dbn.decode(params[:depth], h)
        np.testing.assert_allclose(picture, down(params[:depth], h), rtol=1e-9)


@each_size
def test_reconstruct_goes_up_to_its_depth_and_down_again(sizes, getkey, x64):
    dbn, params = draw_case(map(Bernoulli, sizes), getkey)
    v = draw_means(sizes[0], getkey)
    for depth in range(1, len(params) + 1):
        got = dbn.reconstruct(params, v, depth=depth)
        expected = down(params[:depth], up(params, v)[depth])
        np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("depth", [-1, 0, 4])
def test_a_depth_that_is_no_layer_is_refused(depth, getkey):
    dbn, params = draw_case(map(Bernoulli, (5, 4, 3, 2)), getkey)
    with pytest.raises(ValueError, match=rf"`depth` is {depth} .*layers 1 to 3"):
        dbn.reconstruct(params, jnp.zeros(5), depth=depth)


@each_size
def test_sample_up_draws_each_layer_from_the_sample_below(sizes, getkey, x64):
    """Layer i with the uniforms of `fold_in(key, i)`."""
    dbn, params = draw_case(map(Bernoulli, sizes), getkey)
    v, key = draw_bits(sizes[0], getkey), getkey()
    sample = np.asarray(v)
    for index, (W, _, c) in enumerate(arrays(params)):
        u = jax.random.uniform(jax.random.fold_in(key, index), c.shape)
        sample = (np.asarray(u) < sigmoid(c + sample @ W)).astype(float)
        got = dbn.sample_up(params[: index + 1], v, key)
        np.testing.assert_array_equal(got, sample)


@each_size
def test_sample_down_draws_hidden_layers_and_returns_the_visible_mean(
    sizes, getkey, x64
):
    """Layer i with the uniforms of `fold_in(key, i)`; the lowest is a mean."""
    dbn, params = draw_case(map(Bernoulli, sizes), getkey)
    key = getkey()
    for depth in range(1, len(params) + 1):
        top = draw_bits(sizes[depth], getkey)
        h, layers = np.asarray(top), arrays(params[:depth])
        for index in range(depth - 1, 0, -1):
            W, b, _ = layers[index]
            u = jax.random.uniform(jax.random.fold_in(key, index), b.shape)
            h = (np.asarray(u) < sigmoid(b + W @ h)).astype(float)
        W, b, _ = layers[0]
        got = dbn.sample_down(params[:depth], top, key)
        np.testing.assert_allclose(got, sigmoid(b + W @ h), rtol=1e-9)


def test_a_real_hidden_layer_hands_on_its_state_not_its_activity(getkey, x64):
    """For σ ≠ 1, E[h] = μ + I; the activity E[h]/σ² is for the weights alone."""
    units = (Bernoulli(3), Gaussian(2), Bernoulli(2))
    dbn, params = draw_case(units, getkey)
    v = binary_states(3)[5]
    lower, upper = params
    h = lower.hidden.mean + v @ lower.weights
    variance = np.exp(upper.visible.log_variance)
    code = sigmoid(upper.hidden.bias + (h / variance) @ upper.weights)
    np.testing.assert_allclose(dbn.encode(params[:1], v), h, rtol=1e-9)
    np.testing.assert_allclose(dbn.encode(params, v), code, rtol=1e-9)

    h = upper.visible.mean + upper.weights @ code
    inputs = lower.weights @ (h / np.exp(lower.hidden.log_variance))
    picture = sigmoid(lower.visible.bias + inputs)
    got = dbn.decode(params, jnp.asarray(code))
    np.testing.assert_allclose(got, picture, rtol=1e-9)


def test_a_stack_of_equals_is_the_rbm_it_began_as(getkey, x64):
    """With W₂ = W₁ᵀ, b₁ = c₁ and b₂ = b₀, p_DBN(v) = p_RBM₁(v).

    p_DBN(v) = Σ_h p(v | h) p_RBM₂(h), with h the visible layer of the second RBM.
    """
    first, second = RBM(Bernoulli(4), Bernoulli(3)), RBM(Bernoulli(3), Bernoulli(4))
    dbn = DBN((first, second))
    params = draw_like(jax.eval_shape(first.init, getkey()), getkey(), scale=1.0)
    tied = RBMParams(
        visible=params.hidden, hidden=params.visible, weights=params.weights.T
    )
    v, h = np.asarray(binary_states(4)), binary_states(3)

    def marginal(layer, layer_params, states):
        log_p = -jax.vmap(layer.free_energy, in_axes=(None, 0))(layer_params, states)
        return np.asarray(jax.nn.softmax(log_p))

    down_one_layer = jax.vmap(dbn.decode, in_axes=(None, 0))
    mean = np.asarray(down_one_layer((params,), h))  # p(vᵢ = 1 | h), (8, 4)
    likelihood = np.where(v[:, None] == 1, mean, 1 - mean).prod(axis=-1)
    of_dbn = likelihood @ marginal(second, tied, h)
    np.testing.assert_allclose(of_dbn, marginal(first, params, v), rtol=1e-9)

    # The identity is one of the tied stack alone.
    other = tied.replace(hidden=BernoulliParams(bias=tied.hidden.bias + 1))
    of_other = likelihood @ marginal(second, other, h)
    assert np.abs(of_other - of_dbn).max() > 1e-3


def test_init_draws_layer_i_from_the_key_folded_with_i(getkey):
    dbn, key = DBN.chain(Bernoulli(5), Bernoulli(4), Bernoulli(4)), getkey()
    params = dbn.init(key)
    assert len(params) == 2
    for index, layer in enumerate(dbn.layers):
        expected = layer.init(jax.random.fold_in(key, index))
        np.testing.assert_array_equal(params[index].weights, expected.weights)


def test_chain_pairs_each_unit_with_the_next():
    units = Gaussian(5), Bernoulli(4), Bernoulli(3)
    expected = (RBM(units[0], units[1]), RBM(units[1], units[2]))
    assert DBN.chain(*units) == DBN(expected)
    assert hash(DBN.chain(*units)) == hash(DBN(expected))


@pytest.mark.parametrize(
    "upper", [Bernoulli(5), Gaussian(4)], ids=["other size", "other unit"]
)
def test_layers_that_do_not_chain_are_refused_naming_both(upper):
    lower = RBM(Bernoulli(6), Bernoulli(4))
    with pytest.raises(ValueError, match="do not chain") as caught:
        DBN((lower, RBM(lower.hidden, lower.hidden), RBM(upper, Bernoulli(2))))
    message = str(caught.value)
    assert f"layer 2 ends in {lower.hidden}" in message
    assert f"layer 3 begins with {upper}" in message


@pytest.mark.parametrize("units", [(), (Bernoulli(3),)], ids=["no unit", "one unit"])
def test_an_empty_stack_is_refused(units):
    with pytest.raises(ValueError, match="`layers` is empty"):
        DBN.chain(*units)


def test_a_batch_is_refused_with_the_way_to_map_over_it(getkey):
    dbn, params = draw_case(map(Bernoulli, (5, 4, 3)), getkey)
    for function, width in [(dbn.encode, 5), (dbn.decode, 3)]:
        with pytest.raises(ValueError, match=r"jax\.vmap") as caught:
            function(params, jnp.zeros((7, width)))
        assert f"{(7, width)}" in str(caught.value)
        assert f"{(width,)}" in str(caught.value)


def test_a_dbn_is_a_spec(getkey):
    """No arrays inside: it is frozen and hashes by value, so jit takes it as static."""
    dbn = DBN.chain(Bernoulli(3), Bernoulli(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        dbn.layers = ()
    encode = jax.jit(lambda dbn, *args: dbn.encode(*args), static_argnums=0)
    for _ in range(2):
        encode(DBN.chain(Bernoulli(3), Bernoulli(2)), dbn.init(getkey()), jnp.zeros(3))
    assert encode._cache_size() == 1
