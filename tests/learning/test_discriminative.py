"""The classification RBM: exact gradients, and mixtures of them."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, Bernoulli, Joined, Softmax
from jboltz.base import Estimator
from jboltz.data import load_mnist
from jboltz.learning.discriminative import pair_with_labels
from jboltz.models.labelled import label_log_probabilities
from tests.helpers import draw_like, errors_without_hook, rng_of, states_of

MODEL = jboltz.RBM(Joined(Bernoulli(4), Softmax(1, 3)), Bernoulli(3))
LABELS = np.array([0, 2, 1, 2, 0])
close = partial(chex.assert_trees_all_close, rtol=1e-9, atol=1e-12)


def draw_case(getkey):
    params = draw_like(jax.eval_shape(MODEL.init, getkey()), getkey(), scale=1.0)
    rng = rng_of(getkey())
    x = jnp.asarray(rng.integers(0, 2, (5, 4)) * 1.0)
    weights = jnp.asarray(rng.uniform(size=5))
    y = jax.nn.one_hot(LABELS, 3)[:, None]
    return params, Batch(values=(x, y), weights=weights)


@jax.jit
def enumerated(params, batch):
    """The weighted mean of −log p(y | x), from the energy of every (y, h)."""
    labels, h = jnp.eye(3)[:, None], states_of(MODEL.hidden)[0]

    def loss(x, y):
        def negative_energy(label, h):
            return -MODEL.energy(params, (x, label), h)

        every = jax.vmap(jax.vmap(negative_energy, (None, 0)), (0, None))
        log_joint = jax.nn.logsumexp(every(labels, h), axis=1)
        return jax.nn.logsumexp(log_joint) - log_joint[jnp.argmax(y)]

    return jnp.average(jax.vmap(loss)(*batch.values), weights=batch.weights)


@partial(jax.jit, static_argnums=0)
def estimate(estimator, params, state, batch, key):
    return estimator.estimate(params, state, batch, key)


def test_the_gradient_is_that_of_the_enumerated_conditional(getkey, x64):
    params, batch = draw_case(getkey)
    estimator = jboltz.Discriminative(MODEL)
    assert isinstance(estimator, Estimator)
    gradient, state, metrics = estimate(estimator, params, (), batch, getkey())
    assert state == ()
    loss, expected = jax.jit(jax.value_and_grad(enumerated))(params, batch)
    close(gradient, expected)
    close(metrics["cross_entropy"], loss)
    log_p = jax.vmap(partial(label_log_probabilities, MODEL, params))
    wrong = np.argmax(log_p(batch.values[0]), axis=1) != LABELS
    close(metrics["error"], jnp.asarray(np.average(wrong, weights=batch.weights)))


def test_a_hybrid_is_its_two_parts(getkey, x64):
    """Linear in the weight: without it one of them, and what it adds is the other."""
    params, batch = draw_case(getkey)
    pcd = jboltz.PersistentContrastiveDivergence(MODEL, jboltz.Gibbs(MODEL), 4)
    state, key = pcd.init(params, getkey()), getkey()
    generative, chains, metrics = estimate(pcd, params, state, batch, key)
    alone, _, judged = estimate(jboltz.Discriminative(MODEL), params, (), batch, key)
    none, after, both = estimate(
        jboltz.HybridDiscriminative(pcd, 0.0), params, state, batch, key
    )
    close(none, alone)
    close(after, chains)
    close(both, metrics | judged)
    large, _, _ = estimate(
        jboltz.HybridDiscriminative(pcd, 1e3), params, state, batch, key
    )
    close(jax.tree.map(lambda x, y: (x - y) / 1e3, large, alone), generative, atol=1e-9)


def test_it_learns_digits_in_fit(getkey):
    """Centred, from rows as stored: unseen ones better than by the nearest of the ten
    mean digits."""
    digits = load_mnist("embedded")
    images, labels = digits.train[:500], digits.train_labels[:500]
    rows = pair_with_labels(images, labels, 10)
    model = jboltz.RBM(Joined(Bernoulli(784), Softmax(1, 10)), Bernoulli(20))
    cd = jboltz.ContrastiveDivergence(model, jboltz.Gibbs(model))
    estimator = jboltz.Centred(jboltz.HybridDiscriminative(cd, 0.01))
    optimizer = optax.adam(0.01)
    state = jboltz.init_train_state(
        model.init(getkey()), estimator, optimizer, getkey()
    )
    state, histories = jboltz.fit(
        jboltz.make_train_step(estimator, optimizer),
        state,
        rows,
        getkey(),
        batch_size=50,
        num_epochs=40,
        prepare=jax.tree_util.Partial(jboltz.LayerFeatures((model,)), ()),
    )
    assert histories[-1]["cross_entropy"].mean() < histories[0]["cross_entropy"].mean()
    log_p = jboltz.classify(model, state.params, digits.test[:500])
    found = jboltz.error_rate(log_p, digits.test_labels[:500])
    means = np.stack([images[labels == k].mean(axis=0) for k in range(10)])
    distances = ((digits.test[:500, None] - means) ** 2).sum(axis=-1)
    nearest = np.mean(distances.argmin(axis=1) != digits.test_labels[:500])
    assert found.error < nearest


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (None, "`labels` is None"),
        (LABELS + 1, "from 1 to 3 but 3 classes"),
        (LABELS - 1, "from -1 to 1"),
        (LABELS[:-1], r"shape \(4,\) but there are 5 examples"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, words):
    with pytest.raises(ValueError, match=words):
        pair_with_labels(np.zeros((5, 4), np.uint8), labels, 3)


def test_rubbish_is_refused():
    errors = errors_without_hook(
        "from jboltz import *\nnan = float('nan')\n"
        "plain = RBM(Bernoulli(4), Bernoulli(3))\n"
        "rbm = RBM(Joined(Bernoulli(4), Softmax(1, 3)), Bernoulli(3))\n",
        [
            "Discriminative(plain)",
            "HybridDiscriminative(ContrastiveDivergence(plain, Gibbs(plain)), 1.0)",
            "HybridDiscriminative(ContrastiveDivergence(rbm, Gibbs(rbm)), -0.1)",
            "HybridDiscriminative(ContrastiveDivergence(rbm, Gibbs(rbm)), nan)",
        ],
    )
    first, second, *weights = errors.values()
    assert "`visible` is Bernoulli(size=4)" in first
    assert first == second
    assert all("`weight` is" in error for error in weights)
