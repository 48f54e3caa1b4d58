"""The greedy fold: what each layer is fed, going on where it stopped, and learning."""

from functools import partial
from typing import get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.learning.discriminative import pair_with_labels
from jboltz.learning.pretrain import Features, unit_interval
from tests.helpers import binary_states, errors_without_hook, random_params

WIDTHS = (6, 5, 4, 3)
DBN = jboltz.DBN.chain(*map(jboltz.Bernoulli, WIDTHS))
OPTIMIZER = optax.sgd(0.1)
FEATURES = get_args(Features)

bit_for_bit = chex.assert_trees_all_equal


def random_stack(dbn, key):
    """In numpy, in which the tests compute with it."""
    return jax.device_get(random_params(dbn.init(key), key))


def gray_rows(key, num_rows=8):
    return jax.random.randint(key, (num_rows, WIDTHS[0]), 0, 256).astype(jnp.uint8)


def each(key, count):
    return [jax.random.fold_in(key, index) for index in range(count)]


def uniforms(keys, size):
    return np.stack([jax.random.uniform(key, (size,)) for key in keys])


def up(params, v):
    """p(h = 1 | v) in numpy, of rows v."""
    return 1 / (1 + np.exp(-(v @ params.weights + params.hidden.bias)))


# What a layer is fed.


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_means_of_the_gray_values_go_up_and_are_drawn_once(layer, getkey):
    stack = random_stack(DBN, getkey())[: layer - 1]
    rows, key = gray_rows(getkey()), getkey()
    values = jboltz.LayerFeatures(DBN.layers[:layer])(stack, rows, key)

    means = np.asarray(rows, np.float32) / 255
    for params in stack:
        means = up(params, means)
    drawn = uniforms(each(key, len(rows)), WIDTHS[layer - 1]) < means
    np.testing.assert_array_equal(values, drawn)
    assert values.dtype == jnp.float32


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_samples_go_up_from_drawn_pixels(layer, getkey):
    stack = random_stack(DBN, getkey())[: layer - 1]
    rows, key = gray_rows(getkey()), getkey()
    values = jboltz.LayerFeatures(DBN.layers[:layer], "samples")(stack, rows, key)

    pairs = [jax.random.split(key) for key in each(key, len(rows))]
    pixels = uniforms([first for first, _ in pairs], WIDTHS[0])
    states = (pixels < np.asarray(rows, np.float32) / 255).astype(np.float32)
    for index, params in enumerate(stack):
        keys = [jax.random.fold_in(second, index) for _, second in pairs]
        means = up(params, states)
        states = (uniforms(keys, WIDTHS[index + 1]) < means).astype(np.float32)
    np.testing.assert_array_equal(values, states)


@pytest.mark.parametrize("features", ["means", "samples"])
def test_draws_of_a_row_do_not_depend_on_the_batch_size(features, getkey):
    stack = random_stack(DBN, getkey())[:1]
    layer_input = jboltz.LayerFeatures(DBN.layers[:2], features)
    rows, key = gray_rows(getkey()), getkey()
    np.testing.assert_array_equal(
        layer_input(stack, rows, key)[:5], layer_input(stack, rows[:5], key)
    )


@pytest.mark.parametrize("features", ["means", "samples"])
def test_real_data_are_not_drawn(features, getkey):
    """Only binary units ask for binary states: the first layer here takes the data as
    they are, the second a draw of the means or states above them."""
    dbn = jboltz.DBN.chain(jboltz.Gaussian(6), jboltz.Bernoulli(5), jboltz.Bernoulli(4))
    stack = random_stack(dbn, getkey())[:1]
    rows, key = jax.random.normal(getkey(), (8, 6)), getkey()
    first = jboltz.LayerFeatures(dbn.layers[:1], features)((), rows, key)
    np.testing.assert_array_equal(first, rows)

    second = jboltz.LayerFeatures(dbn.layers[:2], features)(stack, rows, key)
    precision = np.exp(-stack[0].visible.log_variance)
    means = up(stack[0], np.asarray(rows) * precision)
    keys = each(key, len(rows))
    if features == "samples":
        keys = [jax.random.fold_in(jax.random.split(key)[1], 0) for key in keys]
    np.testing.assert_array_equal(second, uniforms(keys, 5) < means)


def test_probabilities_are_handed_up_as_they_are(getkey):
    """The gray levels, and the mean states above them: what "means" draws from."""
    rows, key, stack = gray_rows(getkey()), getkey(), random_stack(DBN, getkey())[:2]
    expected = np.asarray(rows, np.float32) / 255
    for count in (1, 2, 3):
        layer_input = jboltz.LayerFeatures(DBN.layers[:count], "probabilities")
        values = layer_input(stack[: count - 1], rows, key)
        np.testing.assert_allclose(values, expected, rtol=1e-5)
        expected = up(stack[count - 1], expected) if count < 3 else None


def test_a_gray_level_is_the_probability_of_a_drawn_one():
    """All 256 of them: black is never drawn, white always; floats stay as they are."""
    levels = jnp.arange(256, dtype=jnp.uint8)[None]
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    np.testing.assert_allclose(unit_interval(levels)[0], expected, rtol=1e-7)
    np.testing.assert_array_equal(unit_interval(jnp.asarray(expected)), expected)
    layer = jboltz.RBM(jboltz.Bernoulli(256), jboltz.Bernoulli(1))
    draws = jboltz.LayerFeatures((layer,))(
        (), jnp.tile(levels, (4000, 1)), jax.random.key(1)
    )
    counts = np.asarray(draws).sum(axis=0)
    assert (counts[0], counts[255]) == (0, 4000)
    p = expected[1:-1]
    error = np.abs(counts[1:-1] - 4000 * p) / np.sqrt(4000 * p * (1 - p))
    # The counts of the darkest and the brightest levels are too small to be normal.
    assert np.max(error[4000 * p * (1 - p) > 500]) < 5


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dark_pixels_of_half_precision_are_drawn_as_rarely(dtype, getkey):
    """Uniforms of the type itself would draw 1.2e-4 too often."""
    size = 1_000_000
    layer = jboltz.RBM(jboltz.Bernoulli(size), jboltz.Bernoulli(1))
    rows = jnp.full((1, size), 1.2e-4, dtype)
    draws = jboltz.LayerFeatures((layer,))((), rows, getkey())
    expected = size * float(rows[0, 0])
    assert draws.dtype == dtype
    count = int(jnp.sum(draws > 0))
    assert abs(count - expected) < 5 * np.sqrt(expected)


def test_other_integers_are_refused(getkey):
    layer_input = jboltz.LayerFeatures(DBN.layers[:1])
    rows = np.zeros((2, 6), np.int32)
    with pytest.raises(TypeError, match="The data are int32 but must be uint8 images"):
        layer_input((), jnp.asarray(rows), getkey())


def test_bools_are_states(getkey):
    """In a `prepare` as in none: `check_values` asks for binary data as bools."""
    layer_input = jboltz.LayerFeatures(DBN.layers[:1])
    rows = jnp.asarray([[True, False] * 3])
    for values in (layer_input((), rows, getkey()), jboltz.unchanged(rows, getkey())):
        assert values.dtype == jnp.float32
        np.testing.assert_array_equal(values, rows)


@pytest.mark.parametrize("features", FEATURES)
def test_labels_stand_beside_what_comes_from_below(features, getkey):
    """Layers without labels, and what of the top one is none, are fed as ever."""
    labelled = jboltz.LabelledDBN.chain(*map(jboltz.Bernoulli, WIDTHS), num_classes=3)
    stack, rows, key = random_stack(DBN, getkey())[:2], gray_rows(getkey()), getkey()
    pairs = pair_with_labels(rows, np.arange(8) % 3, 3)
    for count in (1, 2, 3):
        plain = jboltz.LayerFeatures(DBN.layers[:count], features)
        expected = plain(stack[: count - 1], rows, key)
        if count == 3:
            expected = (expected, np.tile(np.eye(3), (3, 1))[:8, None])
        fed = jboltz.LayerFeatures(labelled.layers[:count], features)
        bit_for_bit(fed(stack[: count - 1], pairs, key), expected)
    with pytest.raises(ValueError, match=r"images alone.*Softmax.*\(images, labels\)"):
        fed(stack, rows, key)


def test_features_that_do_not_exist_are_refused():
    setup = "import jboltz as j; layer = j.RBM(j.Bernoulli(2), j.Bernoulli(1))"
    call = "j.LayerFeatures((layer,), 'sample')"
    expected = (
        "InvalidValue: `features` is 'sample' but needs to be one of ('means', "
        "'samples', 'probabilities')."
    )
    assert errors_without_hook(setup, [call]) == {call: expected}


def test_parameters_below_are_arguments_not_constants(getkey):
    """So a program that a layer's input is part of is compiled once for all values."""
    layer_input = jboltz.LayerFeatures(DBN.layers[:2])
    rows, key = gray_rows(getkey()), getkey()
    num_traces = 0

    @jax.jit
    def program(prepare):
        nonlocal num_traces
        num_traces += 1
        return prepare(rows, key)

    for _ in range(2):
        stack = random_stack(DBN, getkey())[:1]
        values = program(jax.tree_util.Partial(layer_input, stack))
        np.testing.assert_array_equal(values, layer_input(stack, rows, key))
    assert num_traces == 1


# The fold.


def fit_layer(index, prepare, key, *, rows):
    """Two epochs of CD from a fresh start."""
    layer = DBN.layers[index]
    estimator = jboltz.ContrastiveDivergence(layer, jboltz.Gibbs(layer))
    state, _ = jboltz.fit(
        jboltz.make_train_step(estimator, OPTIMIZER),
        jboltz.init_train_state(layer.init(key), estimator, OPTIMIZER, key),
        rows,
        key,
        batch_size=4,
        num_epochs=2,
        prepare=prepare,
    )
    return state.params


def test_going_on_above_any_layer_is_an_uninterrupted_run(getkey):
    key, rows, calls = getkey(), gray_rows(getkey()), []
    train = partial(fit_layer, rows=rows)
    whole = jboltz.greedy(
        DBN.layers,
        key,
        fit_layer=train,
        on_layer=lambda index, stack: calls.append((index, stack)),
    )
    assert len(whole) == 3
    bit_for_bit(calls, [(index, whole[: index + 1]) for index in range(3)])
    for num_done in range(4):
        trained = []

        def fit_and_note(index, prepare, key, trained=trained):
            trained.append(index)
            return train(index, prepare, key)

        done = jax.device_get(whole[:num_done])
        stack = jboltz.greedy(DBN.layers, key, fit_layer=fit_and_note, done=done)
        bit_for_bit(stack, whole)
        assert trained == list(range(num_done, 3))


@pytest.mark.parametrize("features", FEATURES)
def test_each_layer_has_its_key_and_sees_the_layers_below(features, getkey):
    key, rows, key_rows = getkey(), gray_rows(getkey()), getkey()
    params = random_stack(DBN, getkey())
    seen = []

    def fit_layer(index, prepare, key):
        seen.append((index, prepare(rows, key_rows), jax.random.key_data(key)))
        return params[index]

    stack = jboltz.greedy(DBN.layers, key, fit_layer=fit_layer, features=features)
    bit_for_bit(stack, params)
    for layer in range(3):
        layer_input = jboltz.LayerFeatures(DBN.layers[: layer + 1], features)
        index, values, key_data = seen[layer]
        assert index == layer
        np.testing.assert_array_equal(
            values, layer_input(params[:layer], rows, key_rows)
        )
        np.testing.assert_array_equal(
            key_data, jax.random.key_data(jax.random.fold_in(key, layer))
        )


# Learning.


def bars_and_stripes(side):
    """All images of whole rows, and of whole columns, each once."""
    patterns = np.asarray(binary_states(side))
    bars = np.repeat(patterns[:, :, None], side, axis=2)
    both = np.concatenate([bars, bars.transpose(0, 2, 1)])
    return np.unique(both.reshape(-1, side**2), axis=0)


def log_likelihood(dbn, stack, v):
    """Mean log p(v) of a DBN of two layers, its first hidden layer enumerated."""
    lower, top = dbn.layers
    h = binary_states(top.visible.size)
    log_p_h = jax.nn.log_softmax(-jax.vmap(partial(top.free_energy, stack[1]))(h))
    p = jax.vmap(partial(lower.mean_visible_state, stack[0]))(h)
    log_p = v @ jnp.log(p).T + (1 - v) @ jnp.log1p(-p).T
    return float(jnp.mean(jax.nn.logsumexp(log_p + log_p_h[None], axis=1)))


def test_pretraining_learns_bars_and_stripes(getkey):
    """Every pixel is on half of the time, so independent pixels reach −9 log 2 nats at
    most, and no model more than −log 14: it gets past half of the way."""
    dbn = jboltz.DBN.chain(
        jboltz.Bernoulli(9), jboltz.Bernoulli(8), jboltz.Bernoulli(8)
    )
    images = bars_and_stripes(3)
    assert images.shape == (14, 9)
    np.testing.assert_array_equal(images.mean(axis=0), np.full(9, 0.5))
    optimizer = optax.sgd(0.1)

    def fit_layer(index, prepare, key):
        layer = dbn.layers[index]
        estimator = jboltz.ContrastiveDivergence(layer, jboltz.Gibbs(layer))
        key_init, key_fit = jax.random.split(key)
        state, _ = jboltz.fit(
            jboltz.make_train_step(estimator, optimizer),
            jboltz.init_train_state(
                layer.init(key_init), estimator, optimizer, key_init
            ),
            np.tile(images, (40, 1)),
            key_fit,
            batch_size=14,
            num_epochs=100,
            prepare=prepare,
        )
        return state.params

    key = getkey()
    before = log_likelihood(dbn, dbn.init(key), images)
    stack = jboltz.greedy(dbn.layers, key, fit_layer=fit_layer)
    after = log_likelihood(dbn, stack, images)
    np.testing.assert_allclose(before, -9 * np.log(2), atol=1e-2)
    assert -(9 * np.log(2) + np.log(14)) / 2 < after < -np.log(14)


def test_gray_levels_stay_counts_where_the_units_are_counts(getkey):
    layer = jboltz.RBM(jboltz.Binomial(3, 255), jboltz.Bernoulli(2))
    rows = jnp.asarray([[0, 128, 255]], jnp.uint8)
    values = jboltz.LayerFeatures((layer,))((), rows, getkey())
    np.testing.assert_array_equal(values, [[0.0, 128.0, 255.0]])
