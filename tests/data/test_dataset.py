"""Arrays become a data set; data sets are told apart and split."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.data import balanced_subset, fingerprint, from_arrays, hold_out
from jboltz.domains import Reals

IMAGES = np.arange(10 * 28 * 28, dtype=np.uint32).reshape(10, 28, 28).astype(np.uint8)
LABELS = np.arange(10)


def test_stored_images_are_flattened_and_not_copied():
    data = from_arrays(IMAGES, IMAGES[:4])
    assert data.train.shape == (10, 784)
    assert data.test.shape == (4, 784)
    assert data.image_shape == (28, 28)
    assert data.source == "array"
    assert np.shares_memory(data.train, IMAGES)
    np.testing.assert_array_equal(data.train.reshape(10, 28, 28), IMAGES)
    assert "10 training and 4 test" in data.note


@pytest.mark.parametrize(
    "values",
    [
        IMAGES > 100,
        (IMAGES > 100).astype(np.int32),
        (IMAGES > 100).astype(np.float64),
        (IMAGES > 100).astype(np.float16),
        jnp.asarray(IMAGES > 100),
        jnp.asarray(IMAGES > 100, jnp.bfloat16),
        (IMAGES > 100).tolist(),
    ],
    ids=["bool", "int32", "float64", "float16", "jax bool", "jax bfloat16", "list"],
)
def test_everything_but_stored_images_becomes_float32(values):
    data = from_arrays(values, values)
    assert data.train.dtype == data.test.dtype == np.float32
    np.testing.assert_array_equal(data.train, (IMAGES > 100).reshape(10, 784))


def test_jax_images_stay_uint8():
    data = from_arrays(jnp.asarray(IMAGES))
    assert isinstance(data.train, np.ndarray)
    assert data.train.dtype == np.uint8
    np.testing.assert_array_equal(data.train, IMAGES[:9].reshape(9, 784))


def test_without_test_set_the_last_examples_are_held_out():
    data = from_arrays(IMAGES, train_labels=LABELS, held_out=3)
    np.testing.assert_array_equal(data.train, IMAGES[:7].reshape(7, 784))
    np.testing.assert_array_equal(data.test, IMAGES[7:].reshape(3, 784))
    np.testing.assert_array_equal(data.train_labels, LABELS[:7])
    np.testing.assert_array_equal(data.test_labels, LABELS[7:])
    assert data.train_labels.dtype == np.int32
    assert "last 3" in data.note


def test_flat_images_keep_the_shape_that_is_given():
    flat = IMAGES.reshape(10, 784)
    assert from_arrays(flat).image_shape is None
    assert from_arrays(flat, image_shape=(28, 28)).image_shape == (28, 28)


def test_real_values_are_accepted_where_they_are_meant():
    values = np.linspace(-3, 3, 20).reshape(10, 2)
    data = from_arrays(values, domain=Reals())
    np.testing.assert_array_equal(data.train, values[:9].astype(np.float32))
    with pytest.raises(ValueError, match=r"`train`.*from -3\.0 to 3\.0"):
        from_arrays(values)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"test": IMAGES[:, :14]}, ValueError, "`test` has 392 features .* has 784"),
        ({"test": IMAGES / 255}, ValueError, "as float32 but `train` .* as uint8"),
        ({"test": IMAGES / 1.0}, ValueError, "`test`.*to 255"),
        ({"test": IMAGES[:0]}, ValueError, "`test` is empty"),
        ({"test": IMAGES, "held_out": 2}, ValueError, "`held_out` is 2 but"),
        ({"held_out": 0}, ValueError, "`held_out` is 0 but"),
        ({"held_out": 10}, ValueError, "`held_out` is 10 but `train` .* has 10"),
        ({"test_labels": LABELS}, ValueError, "`test_labels` came without `test`"),
        ({"train_labels": LABELS[:5]}, ValueError, r"shape \(5,\) but there are 10"),
        ({"train_labels": np.eye(10, dtype=int)}, ValueError, "argmax"),
        ({"train_labels": LABELS - 1}, ValueError, "from -1 to 8"),
        ({"train_labels": LABELS / 2}, TypeError, "dtype float64 but labels"),
        ({"train_labels": list("abcdefghij")}, TypeError, "`train_labels` has dtype"),
        ({"test": IMAGES, "test_labels": [1]}, ValueError, "`test_labels` has shape"),
        ({"image_shape": (28, 27)}, ValueError, r"\(28, 27\) but .* 784"),
    ],
)
def test_arguments_that_do_not_fit_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        from_arrays(IMAGES, **arguments)


@pytest.mark.parametrize("train", [IMAGES[:1], IMAGES[0, 0], IMAGES[:0], 3])
def test_too_little_to_split_raises(train):
    with pytest.raises(ValueError, match="`train`"):
        from_arrays(train)


def test_fingerprint_is_that_of_the_contents():
    data = from_arrays(IMAGES, IMAGES[:4], train_labels=LABELS)
    same = from_arrays(IMAGES.copy(), IMAGES[:4].copy(), train_labels=LABELS, name="b")
    assert fingerprint(data) == fingerprint(same)
    assert len(bytes.fromhex(fingerprint(data))) == 32


@pytest.mark.parametrize("field", ["train", "test", "train_labels", "test_labels"])
def test_fingerprint_changes_with_one_value(field):
    data = from_arrays(IMAGES, train_labels=LABELS)
    changed = getattr(data, field).copy()
    changed.flat[-1] += 1
    changed = dataclasses.replace(data, **{field: changed})
    assert fingerprint(data) != fingerprint(changed)


def test_fingerprint_changes_with_shape_type_and_missing_labels():
    data = from_arrays(IMAGES, train_labels=LABELS)
    variants = [
        data,
        dataclasses.replace(data, train=data.train.reshape(18, 392)),
        dataclasses.replace(data, train=data.train.view(np.int8)),
        dataclasses.replace(data, train_labels=None),
        dataclasses.replace(data, train=data.test, test=data.train),
    ]
    assert len({fingerprint(variant) for variant in variants}) == len(variants)


def test_fingerprint_does_not_depend_on_memory_layout():
    data = from_arrays(IMAGES)
    fortran = dataclasses.replace(data, train=np.asfortranarray(data.train))
    assert fingerprint(data) == fingerprint(fortran)


def test_validation_is_the_end_of_the_training_set():
    data = from_arrays(IMAGES, IMAGES, train_labels=LABELS)
    held = hold_out(data, 3)
    np.testing.assert_array_equal(np.concatenate([held.train, held.test]), data.train)
    labels = np.concatenate([held.train_labels, held.test_labels])
    np.testing.assert_array_equal(labels, LABELS)
    assert len(held.test) == len(held.test_labels) == 3
    assert np.shares_memory(held.test, data.train)
    assert len(hold_out(from_arrays(IMAGES, IMAGES)).test) == 1  # a sixth of 10


@pytest.mark.parametrize("count", [0, -1, 10, 10_000])
def test_validation_that_does_not_fit_raises(count):
    with pytest.raises(ValueError, match=f"`held_out` is {count} but"):
        hold_out(from_arrays(IMAGES, IMAGES), count)


def test_raw_real_values_get_a_warning_with_the_numbers():
    values = 50 + 10 * np.linspace(-3, 3, 20).reshape(10, 2)
    with pytest.warns(UserWarning, match=r"`train` has features with means from 4\d"):
        from_arrays(values, domain=Reals())


OF_CLASSES = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [30, 30, 5]))


@pytest.mark.parametrize(
    ("num_labels", "counts"),
    [(3, [1, 1, 1]), (12, [4, 4, 4]), (25, [10, 10, 5]), (65, [30, 30, 5])],
)
def test_classes_share_evenly_while_they_last(num_labels, counts):
    chosen = balanced_subset(OF_CLASSES, num_labels, 0)
    assert len(np.unique(chosen)) == num_labels
    np.testing.assert_array_equal(np.bincount(OF_CLASSES[chosen]), counts)


def test_an_uneven_number_is_spread_by_one_at_most():
    counts = np.bincount(OF_CLASSES[balanced_subset(OF_CLASSES, 11, 0)])
    assert np.ptp(counts) == 1


def test_a_larger_number_holds_the_smaller_and_the_seed_decides():
    few, many = (set(balanced_subset(OF_CLASSES, n, 3)) for n in (10, 40))
    assert few < many
    assert few != set(balanced_subset(OF_CLASSES, 10, 4))


@pytest.mark.parametrize("num_labels", [2, 66])
def test_too_few_and_too_many_are_refused(num_labels):
    with pytest.raises(
        ValueError, match=f"`num_labels` is {num_labels} but .* 65 .* 3"
    ):
        balanced_subset(OF_CLASSES, num_labels, 0)
