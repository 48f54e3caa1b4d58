"""Patches are pieces of the images, uniformly chosen; whitening does what it says."""

import numpy as np
import pytest

from jboltz import data
from jboltz.data.patches import extract_patches, fit_whitening, normalize_contrast


def numbered_images():
    """Each pixel tells its image, row and column in its three colours."""
    image, row, column = np.indices((6, 9, 11))
    return np.stack([image, row, column], axis=-1).astype(np.uint8)


def test_patches_are_pieces_of_the_images():
    patches, _ = extract_patches(numbered_images(), 50, size=4, seed=0)
    assert patches.shape == (50, 4 * 4 * 3)
    assert patches.dtype == np.float32
    pieces = np.rint(patches * 255).astype(int).reshape(50, 4, 4, 3)
    np.testing.assert_allclose(patches, pieces.reshape(50, -1) / 255, rtol=1e-7)
    corners = pieces[:, :1, :1]
    row, column = np.indices((4, 4))
    offsets = np.stack([0 * row, row, column], axis=-1)
    np.testing.assert_array_equal(pieces, corners + offsets)


def test_places_are_uniform():
    """Binomial counts: 5 standard errors for each of 6 · 6 · 8 places."""
    num_patches, num_places = 100_000, 6 * 6 * 8
    patches, _ = extract_patches(numbered_images(), num_patches, size=4, seed=1)
    image, row, column = np.rint(patches[:, :3] * 255).astype(int).T
    counts = np.bincount((image * 6 + row) * 8 + column, minlength=num_places)
    assert len(counts) == num_places
    expected = num_patches / num_places
    error = np.sqrt(expected * (1 - 1 / num_places))
    assert np.abs(counts - expected).max() < 5 * error


def test_the_seed_decides():
    images = numbered_images()
    first, again, other = (
        extract_patches(images, 9, size=8, seed=s)[0] for s in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    # For ever: these are the remainders of the first raw words.
    corners = np.rint(first[:, :3] * 255).astype(int)
    words = np.random.Philox(3).random_raw(9) % (6 * 2 * 4)
    np.testing.assert_array_equal((corners @ [8, 4, 1]), words)


def test_places_are_those_of_the_patches():
    """Each patch begins with its image, row and column."""
    patches, places = extract_patches(numbered_images(), 40, size=4, seed=5)
    corners = np.rint(patches[:, :3] * 255).astype(int)
    np.testing.assert_array_equal(corners, np.stack(places, axis=1))


def test_whole_images_and_grey_ones():
    images = numbered_images()[..., :1]
    patches, _ = extract_patches(images, 3, size=9, seed=0)
    assert patches.shape == (3, 81)
    square = np.zeros((2, 5, 5, 1), np.uint8)
    assert extract_patches(square, 2, size=5, seed=0)[0].shape == (2, 25)


@pytest.mark.parametrize(
    ("images", "num_patches", "size", "message"),
    [
        (numbered_images().reshape(6, -1), 3, 4, "reshape flat images"),
        (numbered_images()[..., 0], 3, 4, r"images\[\.\.\., None\]"),
        (numbered_images() / 255, 3, 4, "is float64 of shape"),
        (numbered_images()[:0], 3, 4, r"of shape \(0, 9, 11, 3\)"),
        (numbered_images(), 3, 10, "pass a number from 1 to 9"),
        (numbered_images(), 3, 0, "`size` is 0"),
        (numbered_images(), 0, 4, "`num_patches` is 0"),
    ],
)
def test_patches_that_cannot_be_cut(images, num_patches, size, message):
    with pytest.raises(ValueError, match=message):
        extract_patches(images, num_patches, size=size, seed=0)


def test_contrast_is_that_of_pixels_from_0_to_255():
    patches = np.random.default_rng(0).uniform(0, 1, (20, 12))
    pixels = 255 * patches
    centred = pixels - pixels.mean(axis=1, keepdims=True)
    expected = centred / np.sqrt(pixels.var(axis=1, keepdims=True) + 10)
    normal = normalize_contrast(patches)
    np.testing.assert_allclose(normal, expected, rtol=1e-12)
    assert np.all(normalize_contrast(np.full((2, 12), 0.5)) == 0)


# Whitening.


def correlated(num_examples, seed):
    """Draws whose covariance has eigenvalues from 1 to 1e-4, and their mean is 0.5."""
    rng = np.random.default_rng(0)
    mixing, _ = np.linalg.qr(rng.normal(size=(10, 10)))
    draws = np.random.default_rng(seed).normal(size=(num_examples, 10))
    return 0.5 + (draws * np.logspace(0, -2, 10)) @ mixing.T


def whiten(whitening, x):
    return (x - whitening.mean) @ whitening.matrix


def unwhiten(whitening, z):
    return z @ whitening.inverse + whitening.mean


@pytest.mark.parametrize("epsilon", [1e-6, 1e-2])
def test_covariance_becomes_what_is_promised(epsilon):
    x = correlated(70_000, 1)  # more than one block of rows
    z = whiten(fit_whitening(x, epsilon, 10), x)
    assert np.abs(z.mean(axis=0)).max() < 1e-4
    variances = np.linalg.eigvalsh(np.cov(x.T, ddof=0))[::-1]
    expected = np.diag(variances / (variances + epsilon))
    np.testing.assert_allclose(np.cov(z.T, ddof=0), expected, atol=1e-4)


def test_held_out_data_become_white():
    """Entries of a covariance of n white draws: variance 1/n, 2/n on the diagonal;
    once more for the covariance that was fitted."""
    num_examples = 20_000
    whitening = fit_whitening(correlated(num_examples, 2), 1e-9, 10)
    z = whiten(whitening, correlated(num_examples, 3))
    error = np.abs(np.cov(z.T) - np.eye(10))
    assert error.max() < 5 * np.sqrt(2 * 2 / num_examples)
    assert np.abs(z.mean(axis=0)).max() < 5 * np.sqrt(2 / num_examples)


def test_the_inverse_undoes_the_matrix():
    x = correlated(1000, 4).astype(np.float32)
    whitening = fit_whitening(x, 1e-3, 10)
    z = whiten(whitening, x)
    assert z.dtype == np.float32
    np.testing.assert_allclose(unwhiten(whitening, z), x, atol=1e-5)


def test_direction_without_variance_stays_silent():
    x = np.repeat(np.random.default_rng(5).normal(size=(100, 1)), 2, axis=1)
    z = whiten(fit_whitening(x, 1e-8, 2), x)
    np.testing.assert_allclose(z[:, 1], 0, atol=1e-3)


def test_an_epsilon_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match=r"`epsilon` is 0\.0 but"):
        fit_whitening(correlated(9, 8), 0.0, 10)


def test_leading_components_are_white_and_come_back_as_a_projection():
    rng = np.random.default_rng(5)
    patches = rng.normal(size=(5_000, 6)) @ rng.normal(size=(6, 6))
    whitening = fit_whitening(patches, 1e-9, 3)
    z = whiten(whitening, patches)
    assert z.shape == (5_000, 3)
    np.testing.assert_allclose(np.cov(z.T, ddof=0), np.eye(3), atol=1e-5)
    variances = np.linalg.eigvalsh(np.cov(patches.T, ddof=0))
    lost = np.mean((unwhiten(whitening, z) - patches) ** 2) * 6
    np.testing.assert_allclose(lost, variances[:3].sum(), rtol=1e-4)
    for number in (0, 7):
        with pytest.raises(ValueError, match="num_components"):
            fit_whitening(patches, 1e-9, number)


def test_each_patch_is_of_the_image_it_is_said_to_be_cut_from():
    pixels = np.random.default_rng(0).integers(0, 256, (190, 8, 8, 3), dtype=np.uint8)
    images = data.from_arrays(pixels[:170], pixels[170:])
    patches = data.whitened_patches(
        images,
        data.PatchSpec(
            patch_size=4,
            num_patches=130,
            num_components=48,
            epsilon=1e-9,
            contrast="raw",
        ),
        seed=0,
    )
    assert patches.shape == (4, 4, 3)
    assert len(patches.validation) == len(patches.test) == 13
    train = images.train.reshape(-1, 8, 8, 3) / 255
    for part in ("train", "validation"):
        white = getattr(patches, part)
        pixels = unwhiten(patches.whitening, white).reshape(-1, 4, 4, 3)
        for pixel, index in zip(pixels[:12], patches.images[part], strict=False):
            windows = np.lib.stride_tricks.sliding_window_view(
                train[index], (4, 4), axis=(0, 1)
            )
            distances = np.abs(np.moveaxis(windows, 2, -1) - pixel[None, None])
            assert distances.max(axis=(2, 3, 4)).min() < 1e-3
    assert patches.images["train"].max() < 153 <= patches.images["validation"].min()
