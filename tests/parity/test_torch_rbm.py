"""The RBM of the notes, its CD-k, the blog's CD and PCD, on the same uniforms."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.learning.contrastive import HalfStepContrastiveDivergence
from tests.helpers import enable_x64, random_params
from tests.parity import reference, streams
from tests.parity.reference import torch

SIZES = (12, 8)
MODEL = jboltz.RBM(jboltz.Bernoulli(12), jboltz.Bernoulli(8))
SAMPLER = jboltz.Gibbs(MODEL)
BATCH_SIZE, NUM_EPOCHS, LEARNING_RATE = 8, 3, 0.3
OPTIMIZER = optax.sgd(LEARNING_RATE)
WEIGHTS_ONLY = optax.partition(
    {"train": OPTIMIZER, "freeze": optax.set_to_zero()},
    jboltz.RBMParams(visible="freeze", hidden="freeze", weights="train"),
)

in_both_precisions = pytest.mark.parametrize("dtype", ["float64", "float32"])


def precision(dtype):
    return enable_x64() if dtype == "float64" else contextlib.nullcontext()


def to_torch(x):
    return torch.tensor(np.asarray(x))


def all_to_torch(nested):
    return jax.tree.map(to_torch, nested)


def rbm_in_torch(params):
    """The same parameters in the notes' layout."""
    bias = params.visible.bias, params.hidden.bias
    return reference.RBM(to_torch(params.weights.T), *all_to_torch(bias))


def assert_same(ours, theirs, dtype):
    """Equal to 1e-9 in float64 and to 2e-5 in float32."""
    ours, theirs = np.asarray(ours), theirs.numpy()
    assert ours.dtype == theirs.dtype == dtype
    tolerance = {"float64": 1e-9, "float32": 2e-5}[dtype]
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def assert_same_params(params, rbm, dtype):
    assert_same(params.weights, rbm.W.T, dtype)
    assert_same(params.visible.bias, rbm.b, dtype)
    assert_same(params.hidden.bias, rbm.c, dtype)


def binary_states(key, num_states, size):
    return jnp.round(jax.random.uniform(key, (num_states, size)))


def batched(f):
    return jax.vmap(f, in_axes=(None, 0))


@in_both_precisions
def test_energies_and_means(dtype, getkey):
    with precision(dtype):
        params = random_params(MODEL.init(getkey()), getkey())
        v = binary_states(getkey(), BATCH_SIZE, SIZES[0])
        h = binary_states(getkey(), BATCH_SIZE, SIZES[1])
        rbm, v_t, h_t = rbm_in_torch(params), to_torch(v), to_torch(h)
        energy = jax.vmap(MODEL.energy, in_axes=(None, 0, 0))(params, v, h)
        assert_same(energy, rbm.energy(v_t, h_t), dtype)
        free_energy = batched(MODEL.free_energy)(params, v)
        assert_same(free_energy, rbm.free_energy(v_t), dtype)
        up = batched(MODEL.mean_hidden_state)(params, v)
        down = batched(MODEL.mean_visible_state)(params, h)
        # The uniforms of these two draws are of no interest, only the means are.
        assert_same(up, rbm.sample_h(v_t, torch.full_like(h_t, 2))[0], dtype)
        assert_same(down, rbm.sample_v(h_t, torch.full_like(v_t, 2))[0], dtype)


@in_both_precisions
def test_gradient_of_the_free_energy_is_that_of_autograd(dtype, getkey):
    with precision(dtype):
        params = random_params(MODEL.init(getkey()), getkey())
        v = binary_states(getkey(), BATCH_SIZE, SIZES[0])
        rbm = rbm_in_torch(params)
        leaves = [x.requires_grad_() for x in (rbm.W, rbm.b, rbm.c)]
        rbm.free_energy(to_torch(v)).mean().backward()
        gradient = jax.grad(lambda p: jnp.mean(batched(MODEL.free_energy)(p, v)))(
            params
        )
        assert_same(gradient.weights.T, leaves[0].grad, dtype)
        assert_same(gradient.visible.bias, leaves[1].grad, dtype)
        assert_same(gradient.hidden.bias, leaves[2].grad, dtype)


@in_both_precisions
def test_forward_is_one_gibbs_step(dtype, getkey):
    with precision(dtype):
        params = random_params(MODEL.init(getkey()), getkey())
        v = binary_states(getkey(), BATCH_SIZE, SIZES[0])
        key_init, key_run = getkey(), getkey()
        chains = jboltz.init_chains(SAMPLER, params, v, key_init)
        chains, _ = jboltz.run_chains(SAMPLER, params, chains, key_run, num_steps=1)

        u_h = streams.uniforms(streams.each(key_init, BATCH_SIZE), SIZES[1], dtype)
        ((u_v, _),) = streams.chain_steps(key_run, BATCH_SIZE, SIZES, 1, dtype)
        rbm = rbm_in_torch(params)
        expected = rbm.forward(*all_to_torch((v, u_h, u_v)))
        np.testing.assert_array_equal(chains.visible, expected)


def one_update(estimator, getkey):
    """One update in float32: the state before, the data, the key, what came out."""
    params = random_params(MODEL.init(getkey()), getkey())
    x, key, key_init = binary_states(getkey(), 16, SIZES[0]), getkey(), getkey()
    train_step = jax.jit(jboltz.make_train_step(estimator, OPTIMIZER))
    start = jboltz.init_train_state(params, estimator, OPTIMIZER, key_init)
    state, metrics = train_step(start, jboltz.Batch(values=x), key)
    return start, to_torch(x), key, state, metrics


@pytest.mark.parametrize("k", [1, 2, 5], ids="k={}".format)
def test_one_update_of_contrastive_divergence(k, getkey):
    estimator = jboltz.ContrastiveDivergence(MODEL, SAMPLER, num_steps=k)
    start, x, key, state, metrics = one_update(estimator, getkey)

    rbm = rbm_in_torch(start.params)
    draws = streams.chains_from_data(key, len(x), SIZES, k, "float32")
    loss = rbm.contrastive_divergence(x, LEARNING_RATE, k, all_to_torch(draws))
    assert_same_params(state.params, rbm, "float32")
    assert_same(metrics["reconstruction_error"], loss, "float32")


def test_one_update_of_the_contrastive_divergence_of_the_blog(getkey):
    estimator = HalfStepContrastiveDivergence(MODEL, SAMPLER, num_steps=1)
    start, x, key, state, metrics = one_update(estimator, getkey)

    rbm = rbm_in_torch(start.params)
    draws = blog_draws(key, len(x), 1, "float32")
    ascent, loss = rbm.blog_contrastive_divergence(x, 1, all_to_torch(draws))
    rbm.W += LEARNING_RATE * ascent
    assert_same(state.params.weights, rbm.W.T, "float32")
    assert_same(metrics["reconstruction_error"], loss, "float32")


def test_one_update_of_persistent_contrastive_divergence(getkey):
    estimator = jboltz.PersistentContrastiveDivergence(MODEL, SAMPLER, num_chains=5)
    start, x, key, state, _ = one_update(estimator, getkey)

    rbm = rbm_in_torch(start.params)
    chains = start.estimator_state.visible, start.estimator_state.hidden
    draws = streams.chain_steps(key, 5, SIZES, 1, "float32")
    v, h = rbm.persistent_contrastive_divergence(
        x, LEARNING_RATE, all_to_torch(chains), all_to_torch(draws)
    )
    assert_same_params(state.params, rbm, "float32")
    np.testing.assert_array_equal(state.estimator_state.visible, v)
    np.testing.assert_array_equal(state.estimator_state.hidden, h)


def trajectory(estimator, optimizer, num_examples, getkey):
    """Three epochs of `fit`, and the batches that they saw."""
    params = random_params(MODEL.init(getkey()), getkey())
    x, key = binary_states(getkey(), num_examples, SIZES[0]), getkey()
    key_init = getkey()
    start = jboltz.init_train_state(params, estimator, optimizer, key_init)
    state, histories = jboltz.fit(
        jboltz.make_train_step(estimator, optimizer),
        start,
        x,
        key,
        batch_size=BATCH_SIZE,
        num_epochs=NUM_EPOCHS,
    )
    moved = np.abs(state.params.weights - start.params.weights).max()
    assert moved > 0.1, "the trajectory is too short to tell anything"
    batches = [
        [
            (to_torch(x[rows]), key_update)
            for rows, _, key_update in streams.epoch(
                key, epoch, num_examples, BATCH_SIZE
            )
        ]
        for epoch in range(NUM_EPOCHS)
    ]
    return start, state, histories, batches, key_init


@pytest.mark.parametrize(
    ("k", "num_examples"), [(1, 22), (2, 24), (5, 24)], ids=["k=1 short", "k=2", "k=5"]
)
def test_trajectory_of_contrastive_divergence(k, num_examples, getkey, x64):
    estimator = jboltz.ContrastiveDivergence(MODEL, SAMPLER, num_steps=k)
    start, state, histories, batches, _ = trajectory(
        estimator, OPTIMIZER, num_examples, getkey
    )

    rbm = rbm_in_torch(start.params)
    for history, epoch in zip(histories, batches, strict=True):
        losses = []
        for x, key in epoch:
            draws = streams.chains_from_data(key, len(x), SIZES, k, "float64")
            losses.append(
                rbm.contrastive_divergence(x, LEARNING_RATE, k, all_to_torch(draws))
            )
        assert_same(history["reconstruction_error"], torch.stack(losses), "float64")
    assert_same_params(state.params, rbm, "float64")


def blog_draws(key, num_examples, k, dtype):
    """The blog's uniforms: all but the last are drawn and overwritten unused."""
    key_init, _ = jax.random.split(key)
    u = streams.uniforms(streams.each(key_init, num_examples), SIZES[1], dtype)
    return [np.zeros_like(u)] * (k - 1) + [u]


@pytest.mark.parametrize("k", [1, 3], ids="k={}".format)
def test_trajectory_of_the_contrastive_divergence_of_the_blog(k, getkey, x64):
    """As written there k has no effect, and the biases stay as they are."""
    estimator = HalfStepContrastiveDivergence(MODEL, SAMPLER, num_steps=1)
    start, state, histories, batches, _ = trajectory(
        estimator, WEIGHTS_ONLY, 24, getkey
    )

    rbm = rbm_in_torch(start.params)
    for history, epoch in zip(histories, batches, strict=True):
        losses = []
        for x, key in epoch:
            draws = all_to_torch(blog_draws(key, len(x), k, "float64"))
            ascent, loss = rbm.blog_contrastive_divergence(x, k, draws)
            rbm.W += LEARNING_RATE * ascent
            losses.append(loss)
        assert_same(history["reconstruction_error"], torch.stack(losses), "float64")
    assert_same_params(state.params, rbm, "float64")
    np.testing.assert_array_equal(state.params.visible.bias, start.params.visible.bias)
    np.testing.assert_array_equal(state.params.hidden.bias, start.params.hidden.bias)


@pytest.mark.parametrize(
    ("k", "num_examples"), [(1, 22), (2, 24)], ids=["k=1 short", "k=2"]
)
def test_trajectory_of_persistent_contrastive_divergence(k, num_examples, getkey, x64):
    """The number of chains is another one than that of the examples."""
    num_chains = 5
    estimator = jboltz.PersistentContrastiveDivergence(
        MODEL, SAMPLER, num_chains=num_chains, num_steps=k
    )
    start, state, _, batches, key_init = trajectory(
        estimator, OPTIMIZER, num_examples, getkey
    )

    rbm = rbm_in_torch(start.params)
    u_v, u_h = all_to_torch(
        streams.persistent_start(key_init, num_chains, SIZES, "float64")
    )
    v = reference.bernoulli(torch.sigmoid(rbm.b).expand(num_chains, -1), u_v)
    chains = v, rbm.sample_h(v, u_h)[1]
    for epoch in batches:
        for x, key in epoch:
            draws = streams.chain_steps(key, num_chains, SIZES, k, "float64")
            chains = rbm.persistent_contrastive_divergence(
                x, LEARNING_RATE, chains, all_to_torch(draws)
            )
    assert_same_params(state.params, rbm, "float64")
    np.testing.assert_array_equal(state.estimator_state.visible, chains[0])
    np.testing.assert_array_equal(state.estimator_state.hidden, chains[1])


PAIRS = {
    "momentum": (
        optax.sgd(LEARNING_RATE, momentum=0.9),
        lambda leaves: torch.optim.SGD(leaves, lr=LEARNING_RATE, momentum=0.9),
    ),
    "adam": (
        optax.adam(LEARNING_RATE),
        lambda leaves: torch.optim.Adam(leaves, lr=LEARNING_RATE),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_optimizers_take_the_steps_of_torch(name, getkey, x64):
    """The gradient has the sign of a loss: it goes into any optimizer as it is."""
    ours, theirs = PAIRS[name]
    estimator = jboltz.ContrastiveDivergence(MODEL, SAMPLER, num_steps=1)
    start, state, _, batches, _ = trajectory(estimator, ours, 24, getkey)

    rbm = rbm_in_torch(start.params)
    leaves = [rbm.W, rbm.b, rbm.c]
    optimizer = theirs(leaves)
    for epoch in batches:
        for x, key in epoch:
            draws = streams.chains_from_data(key, len(x), SIZES, 1, "float64")
            v_k = rbm.gibbs(x, all_to_torch(draws))
            for leaf, ascent in zip(leaves, rbm.statistics(x, v_k), strict=True):
                leaf.grad = -ascent
            optimizer.step()
    assert_same_params(state.params, rbm, "float64")
