"""Fine-tuning: its gradient, what it keeps, what it freezes, and what it refuses."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch
from jboltz.learning.best import BestSoFar, keep_least
from jboltz.nets.classifier import Classifier
from jboltz.nets.finetune import (
    CrossEntropy,
    LabelledExamples,
    bounded,
    evaluate_classifier,
    label_examples,
    per_layer,
    scale_images,
)
from tests.helpers import draw_like

NET = Classifier(hidden=(5, 4), num_classes=3)
ESTIMATOR = BestSoFar(CrossEntropy(NET))
OPTIMIZER = optax.sgd(0.5, momentum=0.9)
STEP = jboltz.make_train_step(ESTIMATOR, OPTIMIZER)
LABELS = np.arange(22) % 3
IMAGES = np.random.default_rng(0).uniform(0, 255, (22, 6)).astype(np.uint8)
EXAMPLES = label_examples(IMAGES, LABELS, 3)
keep_best = keep_least(partial(evaluate_classifier, NET, examples=EXAMPLES), "error")
bit_for_bit = chex.assert_trees_all_equal


def start(key, optimizer=OPTIMIZER):
    params = NET.init(key, jnp.zeros(6))["params"]
    return jboltz.init_train_state(params, ESTIMATOR, optimizer, key)


def fit(state, key, num_epochs, step=STEP, **options):
    options = {"batch_size": 8, "prepare": scale_images} | options
    return jboltz.fit(step, state, EXAMPLES, key, num_epochs=num_epochs, **options)


def test_gradient_is_the_softmax_less_the_labels(getkey, x64):
    """Of the logits, and so of the head's bias: mean(p − y)."""
    shapes = NET.init(getkey(), jnp.zeros(6))["params"]
    params = draw_like(jax.tree.map(jnp.float64, shapes), getkey())
    batch = Batch(
        values=LabelledExamples(images=IMAGES / 255.0, labels=EXAMPLES.labels)
    )
    memory = ESTIMATOR.init(params, getkey())
    gradient, _, metrics = ESTIMATOR.estimate(params, memory, batch, getkey())
    logits = jax.vmap(lambda v: NET.apply({"params": params}, v))(batch.values.images)
    p, y = jax.nn.softmax(logits), jax.nn.one_hot(LABELS, 3)
    expected = jnp.mean(p - y, axis=0)
    chex.assert_trees_all_close(gradient["head"]["bias"], expected, rtol=1e-10)
    loss = -jnp.mean(jnp.log(jnp.sum(p * y, axis=1)))
    chex.assert_trees_all_close(metrics["cross_entropy"], loss, rtol=1e-10)
    found = evaluate_classifier(NET, params, batch.values)
    error = jnp.asarray(np.mean(np.asarray(p).argmax(axis=1) != LABELS))
    chex.assert_trees_all_close(found["error"], error, rtol=1e-10)
    chex.assert_trees_all_close(found["cross_entropy"], loss, rtol=1e-10)


def test_an_example_counts_as_often_as_its_weight(getkey):
    params = NET.init(getkey(), jnp.zeros(6))["params"]
    values = scale_images(EXAMPLES, getkey())
    weights = jnp.where(jnp.arange(22) < 10, 1.0, 0.0)
    first = Batch(values=jax.tree.map(lambda x: x[:10], values))
    weighted = Batch(values=values, weights=weights)
    memory = ESTIMATOR.init(params, getkey())
    found = ESTIMATOR.estimate(params, memory, weighted, getkey())
    expected = ESTIMATOR.estimate(params, memory, first, getkey())
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-7)


def test_it_learns_and_resumes_bit_for_bit(getkey):
    """The best epoch travels in the state, so that a resumed run keeps it, too."""
    key, state, states = getkey(), start(getkey()), []
    options = {"end_epoch": keep_best}
    whole, histories = fit(
        state, key, 40, on_epoch=lambda _, s, __: states.append(s), **options
    )
    first, _ = fit(state, key, 20, **options)
    rest, later = fit(first, key, 40, first_epoch=20, **options)
    bit_for_bit((rest, later), (whole, histories[20:]))
    errors = [history["held_out_error"].item() for history in histories]
    best = int(np.argmin(errors))
    assert errors[best] < errors[0]
    bit_for_bit(whole.estimator_state.params, states[best].params)
    assert whole.estimator_state.error == min(errors)


def test_an_epoch_leaves_the_types_of_the_state(getkey):
    """Else the second epoch would be compiled anew."""
    before = start(getkey())
    after, _ = keep_best(before)

    def types(state):
        return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state)

    assert types(after.estimator_state) == types(before.estimator_state)


def test_a_factor_of_0_freezes_a_layer_and_others_scale_the_rate(getkey):
    state, key = start(getkey()), getkey()

    def moved(factors):
        optimizer = per_layer(optax.sgd, optax.constant_schedule(0.1), factors)
        step = jboltz.make_train_step(ESTIMATOR, optimizer)
        first = jboltz.init_train_state(state.params, ESTIMATOR, optimizer, key)
        last, _ = fit(first, key, 1, step, batch_size=22)
        return jax.tree.map(jnp.subtract, last.params, state.params)

    whole = moved({"hidden_1": 1.0, "hidden_2": 1.0, "head": 1.0})
    part = moved({"hidden_1": 0.0, "hidden_2": 0.5, "head": 1.0})
    assert not any(jnp.any(x) for x in jax.tree.leaves(part["hidden_1"]))
    half = jax.tree.map(lambda x: x / 2, whole["hidden_2"])
    chex.assert_trees_all_close(part["hidden_2"], half, rtol=1e-4, atol=1e-7)
    chex.assert_trees_all_close(part["head"], whole["head"], rtol=1e-4, atol=1e-7)


def test_max_norm_bounds_what_arrives_at_a_unit(getkey):
    factors = dict.fromkeys(("hidden_1", "hidden_2", "head"), 1.0)
    optimizer = per_layer(
        optax.sgd, optax.constant_schedule(1.0), factors, max_norm=0.3
    )
    state = start(getkey(), optimizer)
    step = jboltz.make_train_step(ESTIMATOR, optimizer)
    last, _ = fit(state, getkey(), 1, step)
    for layer in last.params.values():
        assert jnp.linalg.norm(layer["kernel"], axis=0).max() <= 0.3 * (1 + 1e-5)
    kernel = {"kernel": jnp.array([[3.0, 0.1], [4.0, 0.0]]), "bias": jnp.ones(2)}
    expected = {"kernel": jnp.array([[0.6, 0.1], [0.8, 0.0]]), "bias": jnp.ones(2)}
    chex.assert_trees_all_close(bounded(kernel, 1.0), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "num_classes", "words"),
    [
        (None, 3, "`labels` is None"),
        (LABELS / 1.0, 3, "dtype float64.*integers"),
        (LABELS[:-1], 3, r"\(21,\).*22 examples"),
        (LABELS, 2, "0 to 2 but 2 classes"),
        (LABELS - 1, 3, "-1 to 1"),
        (LABELS, 23, "22 entries but there are 23 classes"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, num_classes, words):
    with pytest.raises(ValueError, match=words):
        label_examples(IMAGES, labels, num_classes)


def test_values_of_different_lengths_are_refused(getkey):
    rows = LabelledExamples(images=IMAGES, labels=LABELS[:5])
    with pytest.raises(ValueError, match=r"`values` has shape \(5,\).*22 rows"):
        jboltz.fit(STEP, start(getkey()), rows, getkey(), batch_size=2, num_epochs=1)
