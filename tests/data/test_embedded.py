"""The digits in the package are MNIST's, chosen by the rule that is written there."""

import importlib.resources

import numpy as np
import pytest

from jboltz.data import load_mnist
from jboltz.data.mnist import load_embedded


def test_balanced_stored_and_not_sorted():
    data = load_mnist("embedded")
    assert data.train.shape == (10_000, 784)
    assert data.test.shape == (2_000, 784)
    assert data.train.dtype == data.test.dtype == np.uint8
    assert data.image_shape == (28, 28)
    assert data.source == "embedded"
    assert np.bincount(data.train_labels).tolist() == [1_000] * 10
    assert np.bincount(data.test_labels).tolist() == [200] * 10
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.train.max() == 255


def test_note_says_how_many_and_how_to_get_all():
    assert load_mnist("embedded").note == (
        "MNIST: only 10000 of 60000 training and 2000 of 10000 test images, those that "
        "come with jboltz; for all of MNIST take source 'auto', in "
        "a program by `--data.source auto`."
    )


def test_no_image_is_in_both_sets():
    data = load_mnist("embedded")
    train = {image.tobytes() for image in data.train}
    assert not train & {image.tobytes() for image in data.test}


def test_rule_on_the_real_files_gives_these_bits(real_mnist_dir):
    embedded = load_mnist("embedded")
    mnist = load_mnist("manual", manual_dir=real_mnist_dir)

    def first(labels, count):
        where = [np.flatnonzero(labels == digit)[:count] for digit in range(10)]
        return np.sort(np.concatenate(where))

    train, test = first(mnist.train_labels, 1_000), first(mnist.test_labels, 200)
    assert train.max() < 50_000  # none of MNIST's validation split
    np.testing.assert_array_equal(embedded.train, mnist.train[train])
    np.testing.assert_array_equal(embedded.train_labels, mnist.train_labels[train])
    np.testing.assert_array_equal(embedded.test, mnist.test[test])
    np.testing.assert_array_equal(embedded.test_labels, mnist.test_labels[test])


def test_flipped_bit_is_noticed(tmp_path, monkeypatch):
    name = "mnist_12k.npz"
    original = importlib.resources.files("jboltz.data") / "digits" / name
    content = bytearray(original.read_bytes())
    content[1_000_000] ^= 1
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / name).write_bytes(content)
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match="reinstall jboltz"):
        load_embedded("no network")


def test_the_licence_lies_beside_the_digits():
    folder = importlib.resources.files("jboltz.data") / "digits"
    text = (folder / "LICENSE-MNIST.txt").read_text()
    assert "mnist_12k.npz is under that licence. It is NOT under the Apache" in text
    assert "https://creativecommons.org/licenses/by-sa/3.0/legalcode" in text
