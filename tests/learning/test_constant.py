"""Hidden units that say nothing: the start that prevents them, and the warning."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.base import Batch
from jboltz.learning.constant import warn_if_constant

NUM_CLASSES, NUM_DOCUMENTS, NUM_WORDS = 4, 600, 2000
LABELS = np.arange(NUM_DOCUMENTS) % NUM_CLASSES


def sparse_text():
    """600 documents of 2 000 words, 2 % of them on; half of a document's words are
    from the quarter that its class has to itself."""
    rng = np.random.default_rng(0)
    own = np.arange(NUM_WORDS) // (NUM_WORDS // NUM_CLASSES) == LABELS[:, None]
    return (rng.random(own.shape) < np.where(own, 0.05, 0.01)).astype(np.float32)


TEXT = sparse_text()
MODEL = jboltz.RBM(jboltz.Bernoulli(NUM_WORDS), jboltz.Bernoulli(40))
ESTIMATOR = jboltz.Centred(
    jboltz.PersistentContrastiveDivergence(MODEL, jboltz.Gibbs(MODEL), 20)
)
OPTIMIZER = optax.sgd(0.2)
STEP = jboltz.make_train_step(ESTIMATOR, OPTIMIZER)


def train(params, num_epochs, data=TEXT, on_epoch=None):
    key = jax.random.key(1)
    state = jboltz.init_train_state(params, ESTIMATOR, OPTIMIZER, key)
    state, _ = jboltz.fit(
        STEP, state, data, key, batch_size=20, num_epochs=num_epochs, on_epoch=on_epoch
    )
    means = jax.vmap(MODEL.mean_hidden_state, (None, 0))(state.params, data)
    return np.asarray(means)


def spread(means):
    return means.max(axis=0) - means.min(axis=0)


def accuracy(means):
    """On every other quartet of documents, by least squares on the rest."""
    x = np.c_[means, np.ones(len(means))]
    test = np.arange(len(x)) // NUM_CLASSES % 2 == 0
    classes = np.eye(NUM_CLASSES)[LABELS]
    weights, *_ = np.linalg.lstsq(x[~test], classes[~test], rcond=1e-4)
    return np.mean(np.argmax(x[test] @ weights, axis=1) == LABELS[test])


def test_sparse_text_is_learnt_from_a_start_at_the_data():
    """Without a warning, which is an error here."""
    means = train(MODEL.init(jax.random.key(0), data=TEXT), 12)
    assert np.mean(spread(means) < 0.01) <= 0.05
    assert accuracy(means) >= 0.95


def test_sparse_text_from_biases_of_0_ends_in_constant_units_and_one_warning():
    epochs = []
    message = (
        r"40 of 40 hidden units are constant after epoch 1: .*`model\.init\(key, d"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        means = train(
            MODEL.init(jax.random.key(0)), 3, on_epoch=lambda *_: epochs.append(None)
        )
    assert len(caught) == 1
    assert len(epochs) == 3
    assert np.all(spread(means) < 0.001)


def test_a_stream_warns_at_its_end():
    key = jax.random.key(2)
    state = jboltz.init_train_state(
        MODEL.init(jax.random.key(0)), ESTIMATOR, OPTIMIZER, key
    )
    batches = TEXT.reshape(30, 20, -1)
    with pytest.warns(UserWarning, match="40 of 40 .* after step 30 of the stream"):
        jboltz.fit_stream(STEP, state, batches, key)


def test_data_that_are_all_alike_say_nothing_of_the_units():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(MODEL.init(jax.random.key(0)), 1, np.repeat(TEXT[:1], 600, axis=0))


def test_half_of_the_units_may_be_constant():
    """20 of 40 are driven far below, and stay there; one more is one too many."""
    params = MODEL.init(jax.random.key(0), data=TEXT)

    def with_dead(count):
        bias = jnp.where(jnp.arange(40) < count, -100.0, 0.0)
        return params.replace(hidden=params.hidden.replace(bias=bias))

    train(with_dead(20), 1)
    with pytest.warns(UserWarning, match="21 of 40 hidden units"):
        train(with_dead(21), 1)


def test_a_deep_boltzmann_machine_is_looked_at_too():
    dbm = jboltz.DBM(tuple(map(jboltz.Bernoulli, (6, 4, 3))))
    params, data = dbm.init(jax.random.key(0)), np.eye(6)[np.arange(12) % 6]
    hidden = [p.replace(bias=p.bias - 100.0) for p in params.units[1:]]
    params = params.replace(units=(params.units[0], *hidden))
    rows = Batch(values=jnp.asarray(data, jnp.float32))
    warn = partial(
        warn_if_constant,
        data=rows,
        index=jnp.arange(12)[None],
        prepare=jax.tree_util.Partial(jboltz.unchanged),
        key=jax.random.key(0),
        where="epoch 1",
    )
    with pytest.warns(UserWarning, match="7 of 7 hidden units"):
        assert warn(dbm, params=params)
    assert not warn(object(), params=params)
