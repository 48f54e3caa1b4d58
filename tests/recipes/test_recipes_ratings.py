"""Recipe: ratings, where an item that a user did not rate is no part of the machine."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz


def board(num_users, num_items, density, seed=0):
    """Ratings 1 to 5 by biases and four factors; (users, items, stars)."""
    rng = np.random.default_rng(seed)
    users, items = rng.normal(size=(num_users, 4)), rng.normal(size=(num_items, 4))
    score = 3.5 + 0.45 * users @ items.T / 2
    score += 0.4 * rng.normal(size=(num_users, 1)) + 0.4 * rng.normal(size=num_items)
    score += 0.8 * rng.normal(size=score.shape)
    stars = np.clip(np.round(score), 1, 5).astype(int)
    popular = rng.gamma(0.7, size=num_items) + 0.05
    active = rng.gamma(1.0, size=(num_users, 1)) + 0.1
    rated = active * popular
    rated = rng.random(rated.shape) < np.minimum(density * rated / rated.mean(), 0.95)
    users, items = np.nonzero(rated)
    order = rng.permutation(len(users))
    return users[order], items[order], stars[users, items][order]


def biases(users, items, stars, shape, strength=5.0):
    """The mean plus shrunk biases of items and users."""
    mean, of_item, of_user = stars.mean(), np.zeros(shape[1]), np.zeros(shape[0])
    for _ in range(10):
        for of, index, other in (
            (of_item, items, of_user[users]),
            (of_user, users, of_item[items]),
        ):
            rest = np.bincount(index, stars - mean - other, len(of))
            of[:] = rest / (np.bincount(index, minlength=len(of)) + strength)
    return lambda users, items: mean + of_user[users] + of_item[items]


def rmse(predicted, stars):
    return float(np.sqrt(np.mean((np.clip(predicted, 1, 5) - stars) ** 2)))


def compare(num_users, num_items, density, num_hidden, num_epochs, rate):
    users, items, stars = board(num_users, num_items, density)
    is_test = np.arange(len(users)) % 10 == 0
    seen = (users[~is_test], items[~is_test], stars[~is_test])
    asked = (users[is_test], items[is_test])

    # The recipe: one-hot stars, and a mask with one entry per item.
    values = np.zeros((num_users, num_items, 5), bool)
    values[seen[0], seen[1], seen[2] - 1] = True
    mask = values.any(axis=2)
    data = jboltz.Batch(values=values, mask=mask)
    rbm = jboltz.RBM(jboltz.Softmax(num_items, 5), jboltz.Bernoulli(num_hidden))
    params = rbm.init(jax.random.key(0), data=data)
    estimator = jboltz.PresentOnly(rbm)
    optimizer = optax.chain(
        optax.add_decayed_weights(2e-4), optax.sgd(rate, momentum=0.9)
    )
    step = jboltz.make_train_step(estimator, optimizer)
    state = jboltz.init_train_state(params, estimator, optimizer, jax.random.key(1))
    how = {"batch_size": 50, "num_epochs": num_epochs}
    state, _ = jboltz.fit(step, state, data, jax.random.key(2), **how)

    def mean_stars(pair):
        user, item = pair
        v, present = jnp.asarray(values)[user], jnp.asarray(mask)[user]
        p = jboltz.conditional(rbm, state.params, v, item, present=present)
        return p @ jnp.arange(1.0, 6.0)

    pairs = tuple(map(jnp.asarray, asked))
    predicted = jax.jit(lambda x: jax.lax.map(mean_stars, x, batch_size=50))(pairs)

    stars = stars[is_test]
    by_biases = biases(*seen, mask.shape)(*asked)
    by_mean = np.full(len(stars), seen[2].mean())
    return rmse(predicted, stars), rmse(by_biases, stars), rmse(by_mean, stars)


def test_it_predicts_better_than_the_mean_rating():
    """Shrunk biases are better still on a board that was made of biases."""
    machine, _, mean = compare(300, 60, 0.4, num_hidden=20, num_epochs=20, rate=0.02)
    assert machine < mean - 0.03, (machine, mean)


@pytest.mark.slow
def test_a_board_of_943_users_and_1682_items():
    machine, _, mean = compare(943, 1682, 0.063, num_hidden=30, num_epochs=15, rate=0.2)
    assert machine < mean - 0.03, (machine, mean)
