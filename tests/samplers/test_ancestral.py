"""`generate` draws pictures from the DBN's own distribution."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.models.dbn import DBN
from jboltz.models.labelled import LabelledDBN
from jboltz.samplers.ancestral import generate, generate_labelled
from jboltz.samplers.chains import run
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.gaussian import Gaussian
from tests.helpers import binary_states, draw_like, rng_of

NUM_PICTURES = 40_000
STACKS = {
    "one layer": (Bernoulli(4), Bernoulli(2)),
    "two layers": (Bernoulli(4), Bernoulli(2), Bernoulli(3)),
    "three layers": (Bernoulli(4), Bernoulli(2), Bernoulli(3), Bernoulli(2)),
    "real pixels": (Gaussian(3), Bernoulli(2), Bernoulli(3)),
}
each_stack = pytest.mark.parametrize("units", STACKS.values(), ids=STACKS.keys())


def draw_case(units, getkey):
    dbn = DBN.chain(*units)
    return dbn, draw_like(jax.eval_shape(dbn.init, getkey()), getkey(), scale=0.7)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def layer_arrays(params):
    """(W, b, c), b the visible parameters as they are."""
    return np.asarray(params.weights), params.visible, np.asarray(params.hidden.bias)


def enumerate_dbn(dbn, params):
    """p of each state of the top RBM's visible layer, and of each h¹: NumPy's sums.

    The top is enumerated as p(h, h′) ∝ exp(b·h + c·h′ + hᵀWh′); the layers below it
    are Bernoulli products. A DBN of one layer has no h¹ below its top: its pictures
    are means under that layer's own hidden states.
    """
    W, visible, c = layer_arrays(params[-1])
    upper = np.asarray(binary_states(dbn.layers[-1].hidden.size))
    if len(params) == 1:
        lower = np.asarray(binary_states(dbn.layers[0].visible.size))
    else:
        lower = np.asarray(binary_states(dbn.layers[-1].visible.size))
    b = np.asarray(visible.bias)
    p = np.exp((lower @ b)[:, None] + (upper @ c)[None] + lower @ W @ upper.T)
    p /= p.sum()
    top = p.sum(1)
    if len(params) == 1:
        return top, p.sum(0)
    h, p_h = lower, top
    for layer in params[-2:0:-1]:
        W, visible, _ = layer_arrays(layer)
        mean = sigmoid(np.asarray(visible.bias) + h @ W.T)
        below = np.asarray(binary_states(W.shape[0]))
        given = np.where(below[None] == 1, mean[:, None], 1 - mean[:, None]).prod(-1)
        h, p_h = below, p_h @ given
    return top, p_h


def pictures_of(dbn, params):
    """The visible mean under each state of the layer above the visible one."""
    W, visible, _ = layer_arrays(params[0])
    h = np.asarray(binary_states(dbn.layers[0].hidden.size))
    if isinstance(dbn.layers[0].visible, Gaussian):
        return np.asarray(visible.mean) + h @ W.T
    return sigmoid(np.asarray(visible.bias) + h @ W.T)


@partial(jax.jit, static_argnums=0)
def generate_all(dbn, params, starts, key, num_steps):
    keys = jax.random.split(key, len(starts))
    one = partial(generate, dbn, params, num_steps=num_steps)
    return jax.vmap(one)(starts, keys)


def assert_distributed(pictures, dbn, params):
    """Every picture is the mean under a state of h¹, as often as p(h¹) says."""
    assert_follow(pictures, pictures_of(dbn, params), enumerate_dbn(dbn, params)[1])


def assert_follow(pictures, expected, p):
    """Every picture is one of the `expected`, as often as `p` says."""
    distance = np.abs(np.asarray(pictures)[:, None] - expected).max(axis=-1)
    assert distance.min(axis=1).max() < 1e-5, "a picture is no visible mean"
    counts = np.bincount(distance.argmin(axis=1), minlength=len(p))
    assert NUM_PICTURES * p.min() >= 500
    z = (counts - NUM_PICTURES * p) / np.sqrt(NUM_PICTURES * p * (1 - p))
    assert np.abs(z).max() < 5, f"max |z| = {np.abs(z).max():.1f}"

    # And the mean picture is p(v = 1), or E[v], of the whole DBN.
    mean = p @ expected
    error = np.sqrt((p @ expected**2 - mean**2) / NUM_PICTURES)
    z = (np.asarray(pictures, np.float64).mean(0) - mean) / error
    assert np.abs(z).max() < 5


@each_stack
@pytest.mark.parametrize("num_steps", [0, 3])
def test_from_exact_starts_pictures_follow_the_enumerated_dbn(units, num_steps, getkey):
    """Starts drawn exactly from the top RBM: any number of steps stays at p."""
    dbn, params = draw_case(units, getkey)
    top, _ = enumerate_dbn(dbn, params)
    choice = rng_of(getkey()).choice(len(top), NUM_PICTURES, p=top)
    starts = binary_states(dbn.layers[-1].visible.size)[choice]
    pictures = generate_all(dbn, params, starts, getkey(), jnp.asarray(num_steps))
    assert_distributed(pictures, dbn, params)


def starts_from(how, dbn, params, getkey):
    """NUM_PICTURES states of the top RBM's visible layer, not drawn from p."""
    top, size = dbn.layers[-1], dbn.layers[-1].visible.size
    keys = jax.random.split(getkey(), NUM_PICTURES)
    if how == "noise":
        draw = partial(top.visible.sample, params[-1].visible, jnp.zeros(size))
        return jax.vmap(draw)(keys)
    if how == "data":
        draw = partial(dbn.sample_up, params[:-1], jnp.ones(dbn.layers[0].visible.size))
        return jax.vmap(draw)(keys)
    sampler = Gibbs(top)

    def persist(key):
        chain = sampler.init(params[-1], jnp.ones(size), key)
        chain, _ = run(sampler, params[-1], chain, key, num_steps=jnp.asarray(10))
        return chain.visible

    return jax.vmap(persist)(keys)


def sticky_case(getkey):
    """Two layers whose weights remember the start for a few steps."""
    dbn, params = draw_case(STACKS["two layers"], getkey)
    weights = jnp.asarray([[2.0, -2.0, 1.5], [1.0, 2.0, -1.5]])
    return dbn, (params[0], params[1].replace(weights=weights))


@pytest.mark.parametrize("how", ["data", "noise", "persistent"])
def test_from_other_starts_long_chains_reach_the_enumerated_dbn(how, getkey):
    dbn, params = sticky_case(getkey)
    starts = jax.jit(partial(starts_from, how, dbn, params, getkey))()
    pictures = generate_all(dbn, params, starts, getkey(), jnp.asarray(60))
    assert_distributed(pictures, dbn, params)


def test_chains_without_a_step_are_told_apart(getkey):
    """From one state, the pictures of a sticky DBN are not yet its own."""
    dbn, params = sticky_case(getkey)
    starts = jnp.ones((NUM_PICTURES, dbn.layers[-1].visible.size))
    pictures = generate_all(dbn, params, starts, getkey(), jnp.asarray(0))
    with pytest.raises(AssertionError, match="max"):
        assert_distributed(pictures, dbn, params)


def test_pictures_of_a_class_follow_the_dbn_given_the_label(getkey):
    """Of NumPy's sums over p(h¹, y, h²) ∝ exp(b·h¹ + d·y + c·h² + (h¹, y)ᵀWh²)."""
    model = LabelledDBN.chain(*map(Bernoulli, (4, 2, 3)), num_classes=3)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale=0.7)
    W, visible, c = layer_arrays(params[1])
    h, upper = np.asarray(binary_states(2)), np.asarray(binary_states(3))
    label = jnp.asarray([[0.0, 0.0, 1.0]])
    joined = np.concatenate([h, np.repeat(np.asarray(label), len(h), axis=0)], axis=1)
    field = (
        (h @ np.asarray(visible.first.bias))[:, None] + joined @ W @ upper.T + upper @ c
    )
    p = np.exp(field).sum(axis=1)
    p /= p.sum()

    def draw(start, key):
        one = partial(generate_labelled, model, params, label=label)
        return one(start=start, key=key, num_steps=3)

    starts = jnp.asarray(h)[rng_of(getkey()).choice(len(h), NUM_PICTURES, p=p)]
    keys = jax.random.split(getkey(), NUM_PICTURES)
    pictures = jax.jit(jax.vmap(draw))(starts, keys)
    assert_follow(pictures, pictures_of(model.below, params[:1]), p)


@pytest.mark.parametrize("num_steps", [0, 5])
def test_a_traced_number_of_steps_draws_the_same_picture(num_steps, getkey):
    dbn, params = draw_case(STACKS["three layers"], getkey)
    start, key = jnp.ones(3), getkey()
    static = generate(dbn, params, start, key, num_steps=num_steps)
    traced = generate(dbn, params, start, key, num_steps=jnp.asarray(num_steps))
    np.testing.assert_allclose(static, traced, rtol=1e-6)


def test_a_picture_is_a_chain_in_the_top_and_one_pass_down(getkey):
    """Three keys: the start's hidden layer, the chain, the pass down."""
    dbn, params = draw_case(STACKS["three layers"], getkey)
    start, key = jnp.asarray([1.0, 0.0, 1.0]), getkey()
    key_init, key_run, key_down = jax.random.split(key, 3)
    sampler = Gibbs(dbn.layers[-1])
    chain = sampler.init(params[-1], start, key_init)
    chain, _ = run(sampler, params[-1], chain, key_run, num_steps=5)
    expected = dbn.sample_down(params, chain.hidden, key_down)
    got = generate(dbn, params, start, key, num_steps=5)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (7, 3)], ids=["too long", "batched"])
def test_a_start_of_the_wrong_shape_is_refused(shape, getkey):
    dbn, params = draw_case(STACKS["three layers"], getkey)
    with pytest.raises(ValueError, match=r"needs shape \(3,\)"):
        generate(dbn, params, jnp.zeros(shape), getkey(), num_steps=1)
