"""The quality of samples, in numbers to compare with the numbers of test examples.

A perfect model scores what an equally large set of test examples scores against the
same training examples.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jboltz.base import Metrics
from jboltz.errors import InvalidValue
from jboltz.products import full_product


def precision_recall(
    real: Float[Array, "real features"],
    fake: Float[Array, "fake features"],
    *,
    num_neighbours: int = 5,
) -> Metrics:
    """Precision, recall, density and coverage, by balls around the points.

    B(x) is the closed ball around x whose radius is the distance to its k-th nearest
    neighbour in its own set, x not counted.

    - `precision`: the share of fake points in a B(real);
    - `recall`: the share of real points in a B(fake);
    - `density`: the mean number of B(real) around a fake point, divided by k;
    - `coverage`: the share of B(real) that contain a fake point.

    Args:
      num_neighbours: k.

    Raises:
      ValueError: a set has no more than k points.

    Reference:
      Kynkäänniemi, Karras, Laine, Lehtinen & Aila (2019), Improved precision and recall
      metric for assessing generative models; Naeem, Oh, Uh, Choi & Yoo (2020), Reliable
      fidelity and diversity metrics for generative models.
    """
    real_radii = _radii(real, num_neighbours, "real")
    fake_radii = _radii(fake, num_neighbours, "fake")
    # The number of balls around each fake point, and around each real point.
    in_real, in_fake = _count(fake, real, real_radii), _count(real, fake, fake_radii)
    return {
        "precision": jnp.mean(in_real > 0, dtype=real.dtype),
        "recall": jnp.mean(in_fake > 0, dtype=real.dtype),
        "density": jnp.mean(in_real, dtype=real.dtype) / num_neighbours,
        "coverage": jnp.mean(_nearest(real, fake) <= real_radii, dtype=real.dtype),
    }


def adversarial_accuracy(
    real: Float[Array, "real features"], fake: Float[Array, "fake features"]
) -> Metrics:
    """The share of points whose nearest neighbour is of their own set.

    With d(x, S) the distance from x to the nearest other point of S,

    - `real_accuracy`: the share of real x with d(x, real) < d(x, fake);
    - `fake_accuracy`: the share of fake x with d(x, fake) < d(x, real);
    - `adversarial_accuracy`: the mean of the two.

    For N and M draws from one distribution they are (N − 1)/(N + M − 1) and
    (M − 1)/(N + M − 1) on average, about ½ if N = M. They are 0 for copies of the data,
    and 1 for samples far from the data.

    Raises:
      ValueError: a set has a single point.

    Reference:
      Yale, Dash, Dutta, Guyon, Pavao & Bennett (2019), Assessing privacy and quality of
      synthetic health data.
    """
    from_real = _radii(real, 1, "real") < _nearest(real, fake)
    from_fake = _radii(fake, 1, "fake") < _nearest(fake, real)
    accuracies = [jnp.mean(x, dtype=real.dtype) for x in (from_real, from_fake)]
    return {
        "real_accuracy": accuracies[0],
        "fake_accuracy": accuracies[1],
        "adversarial_accuracy": (accuracies[0] + accuracies[1]) / 2,
    }


def diversity(points: Float[Array, "points features"]) -> Metrics:
    """How much the points differ from one another.

    - `pairwise_distance`: the mean of |x − y| over pairs, divided by the root of the
      number of features;
    - `total_variance`: the unbiased variance summed over features, which is half the
      mean of |x − y|² over pairs.
    """
    count, width = points.shape
    if count < 2:
        raise InvalidValue(
            f"`points` has {count} points but a distance is between two; pass more."
        )
    sums = _by_rows(lambda d: jnp.sum(jnp.sqrt(d)), points, points, skip_self=0.0)
    return {
        "pairwise_distance": jnp.sum(sums) / (count * (count - 1) * math.sqrt(width)),
        "total_variance": jnp.sum(jnp.var(points, axis=0, ddof=1)),
    }


def nearest_distance(
    points: Float[Array, "points features"], train: Float[Array, "train features"]
) -> Float[Array, " points"]:
    """The distance of each point to the nearest training example, over the root of the
    number of features. Copies have a far smaller distance than test examples."""
    return jnp.sqrt(_nearest(points, train) / points.shape[1])


def sharpness(images: Float[Array, "images height width"]) -> Metrics:
    """The sharpness of images with values in [0, 1], to compare with test images.

    - `laplacian_variance`: the variance over inner pixels of the sum of the 4
      neighbours minus 4 times the pixel, averaged over images;
    - `tenengrad`: the mean over inner pixels of g_x² + g_y², with Sobel gradients;
    - `saturation`: the mean of |2p − 1|, which is 1 if all pixels are black or white.
    """
    height, width = images.shape[1:]
    if min(height, width) < 3:
        raise InvalidValue(
            f"`images` are {height} × {width} but a pixel needs its 8 neighbours; "
            "pass images of at least 3 × 3."
        )

    def shifted(row, column):
        return images[:, row : height - 2 + row, column : width - 2 + column]

    neighbours = shifted(0, 1) + shifted(2, 1) + shifted(1, 0) + shifted(1, 2)
    laplacian = neighbours - 4 * shifted(1, 1)

    def smoothed(at):
        return at(0) + 2 * at(1) + at(2)

    down = smoothed(lambda c: shifted(2, c)) - smoothed(lambda c: shifted(0, c))
    right = smoothed(lambda r: shifted(r, 2)) - smoothed(lambda r: shifted(r, 0))
    return {
        "laplacian_variance": jnp.mean(jnp.var(laplacian, axis=(1, 2))),
        "tenengrad": jnp.mean(down**2 + right**2),
        "saturation": jnp.mean(jnp.abs(2 * images - 1)),
    }


def _radii(points: Array, k: int, name: str) -> Array:
    """The squared distance of each point to its k-th nearest other point."""
    if not 1 <= k < len(points):
        raise InvalidValue(
            f"`{name}` has {len(points)} points but each needs {k} others, and at "
            "least 1; pass more points, or ask for fewer neighbours."
        )

    def kth(d):
        return -jax.lax.top_k(-d, k)[0][-1]

    return _by_rows(kth, points, points, skip_self=jnp.inf)


def _nearest(x: Array, y: Array) -> Array:
    """The squared distance of each x to the nearest y."""
    return _by_rows(jnp.min, x, y)


def _count(x: Array, y: Array, radii: Array) -> Array:
    """The number of balls around the points y that contain each x."""
    return _by_rows(lambda d: jnp.sum(d <= radii), x, y)


def _by_rows(
    reduce: Callable[[Array], Any],
    x: Array,
    y: Array,
    *,
    skip_self: float | None = None,
) -> Any:
    """`reduce` of each row of |x_i − y_j|² = |x_i|² + |y_j|² − 2 x_i·y_j.

    It takes 512 rows at a time, so that memory grows with one set only.

    Args:
      skip_self: the value in place of |x_i − y_i|², if x and y are one set.
    """
    norms = jnp.sum(y**2, axis=1)

    def one(arguments):
        index, row = arguments
        # Rounding can make the distance of equal points negative.
        distances = jnp.maximum(jnp.sum(row**2) + norms - 2 * full_product(y, row), 0)
        if skip_self is not None:
            distances = distances.at[index].set(skip_self)
        return reduce(distances)

    return jax.lax.map(one, (jnp.arange(len(x)), x), batch_size=512)
