"""Generation quality by brute force, by scikit-learn, and where it must be perfect."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import sobel
from sklearn.neighbors import NearestNeighbors

from jboltz.evaluation.generation import (
    adversarial_accuracy,
    diversity,
    nearest_distance,
    precision_recall,
    sharpness,
)
from tests.helpers import rng_of, standard_errors

# One shape, and one compiled program a measure.
balls = jax.jit(partial(precision_recall, num_neighbours=3))
accuracy = jax.jit(adversarial_accuracy)


def numbers(metrics):
    return {name: float(x) for name, x in metrics.items()}


@pytest.fixture
def sets(getkey, x64):
    """Real points and fake ones that are shifted and narrower."""
    rng = rng_of(getkey())
    return rng.normal(size=(40, 5)), 0.7 * rng.normal(size=(30, 5)) + 0.4


def distances(x, y):
    return np.array([[np.sqrt(np.sum((a - b) ** 2)) for b in y] for a in x])


def test_balls_are_those_of_brute_force(sets):
    real, fake = sets
    radii = {}
    for name, x in (("real", real), ("fake", fake)):
        radii[name] = np.sort(distances(x, x), axis=1)[:, 3]
    between = distances(real, fake)
    inside = between <= radii["real"][:, None]
    expected = {
        "precision": np.mean([inside[:, j].any() for j in range(30)]),
        "recall": np.mean([(between[i] <= radii["fake"]).any() for i in range(40)]),
        "density": inside.sum() / (3 * 30),
        "coverage": np.mean([inside[i].any() for i in range(40)]),
    }
    assert numbers(balls(*sets)) == pytest.approx(expected, rel=1e-12)
    assert 0.1 < expected["recall"] < expected["precision"]


def test_neighbours_are_those_of_scikit_learn(sets):
    real, fake = sets
    near = {
        name: NearestNeighbors().fit(x) for name, x in (("real", real), ("fake", fake))
    }

    def nearest(x, name, skip=0):
        return near[name].kneighbors(x, skip + 1)[0][:, skip]

    found = nearest_distance(*map(jnp.asarray, (fake, real)))
    np.testing.assert_allclose(found, nearest(fake, "real") / np.sqrt(5), rtol=1e-9)
    is_real = nearest(real, "real", 1) < nearest(real, "fake")
    is_fake = nearest(fake, "fake", 1) < nearest(fake, "real")
    assert numbers(accuracy(*sets)) == pytest.approx(
        {
            "real_accuracy": is_real.mean(),
            "fake_accuracy": is_fake.mean(),
            "adversarial_accuracy": (is_real.mean() + is_fake.mean()) / 2,
        },
        rel=1e-12,
    )


def test_copies_are_precise_and_given_away(sets):
    real, _ = sets
    found = numbers(balls(real, real) | accuracy(real, real))
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    assert found["adversarial_accuracy"] == 0


def test_what_is_far_off_is_neither_precise_nor_confused(sets):
    real, fake = sets
    found = numbers(balls(real, fake + 100) | accuracy(real, fake + 100))
    assert found.pop("adversarial_accuracy") == 1
    assert found.pop("real_accuracy") == found.pop("fake_accuracy") == 1
    assert set(found.values()) == {0.0}


def test_samples_of_one_distribution_cannot_be_told_apart(getkey):
    """The nearest of N + M − 1 exchangeable points; 100 independent pairs of sets."""
    draws = rng_of(getkey()).normal(size=(100, 50, 3))
    found = jax.vmap(lambda x: adversarial_accuracy(x[:20], x[20:]))(jnp.asarray(draws))
    for name, expected in (("real_accuracy", 19 / 49), ("fake_accuracy", 29 / 49)):
        assert standard_errors(np.asarray(found[name]), expected) < 5


def test_diversity_is_that_of_all_pairs(sets):
    real, _ = sets
    pairs = distances(real, real)[np.triu_indices(40, 1)]
    found = numbers(diversity(jnp.asarray(real)))
    assert found["pairwise_distance"] == pytest.approx(pairs.mean() / np.sqrt(5))
    assert found["total_variance"] == pytest.approx(np.mean(pairs**2) / 2, rel=1e-9)


def test_sharpness_is_that_of_the_masks(getkey, x64):
    images = rng_of(getkey()).uniform(size=(3, 6, 7))
    laplacian = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    edges, variances = [], []
    for image in images:
        seen = [
            [np.sum(laplacian * image[i : i + 3, j : j + 3]) for j in range(5)]
            for i in range(4)
        ]
        variances.append(np.var(seen))
        inner = (sobel(image, axis)[1:-1, 1:-1] for axis in (0, 1))
        edges.append(np.mean(sum(g**2 for g in inner)))
    assert numbers(sharpness(jnp.asarray(images))) == pytest.approx(
        {
            "laplacian_variance": np.mean(variances),
            "tenengrad": np.mean(edges),
            "saturation": np.mean(np.abs(2 * images - 1)),
        },
        rel=1e-9,
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: precision_recall(x, x[:3], num_neighbours=3), "`fake` has 3 points"),
        (lambda x: precision_recall(x, x, num_neighbours=0), "at least 1"),
        (lambda x: adversarial_accuracy(x[:1], x), "`real` has 1 points"),
        (lambda x: diversity(x[:1]), "`points` has 1 points"),
        (lambda x: sharpness(jnp.zeros((1, 2, 9))), "2 × 9 .* 3 × 3"),
    ],
)
def test_too_little_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(jnp.zeros((4, 2)))
