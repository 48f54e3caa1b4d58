"""Numbers that describe a filter as an image: width, orientation, colour.

Each takes one flat filter in the space of the pixels, and is NaN for a filter of zeros.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jboltz.errors import InvalidValue
from jboltz.evaluation.features import receptive_field


def filter_extent(
    weights: Float[Array, " visible"], image_shape: tuple[int, ...]
) -> Float[Array, ""]:
    """The spread of a filter's energy divided by the spread of a constant filter.

    The spread is the root mean squared distance from the centre (`receptive_field`).
    The result is 0 for a single pixel, 1 for energy all over the image, and above 1 for
    energy in opposite corners.
    """
    height, width = image_shape[:2]
    # The variance of n places side by side is (n² − 1)/12.
    everywhere = ((height**2 - 1 + width**2 - 1) / 12) ** 0.5
    _, spread = receptive_field(weights, image_shape)
    return spread / everywhere


def filter_orientation(
    weights: Float[Array, " visible"], image_shape: tuple[int, ...]
) -> Float[Array, ""]:
    """|Σ_k P(k) exp(2iθ(k))| / Σ_k P(k), how much the filter has one orientation.

    P(k) is the power of the filter at the wave vector k ≠ 0, summed over colours, and θ
    is the direction of k. Angles are doubled since opposite directions are one
    orientation. The result is 1 for a grating or a straight edge, and 0 for a round
    blob or two gratings that cross at right angles.

    Args:
      image_shape: (height, width) or (height, width, colours).
    """
    height, width = image_shape[:2]
    image = weights.reshape(height, width, -1)
    # Padding keeps the waves of an edge at the border from wrapping around.
    power = jnp.abs(jnp.fft.fft2(image, (2 * height, 2 * width), axes=(0, 1))) ** 2
    power = power.sum(axis=-1).at[0, 0].set(0)
    rows, columns = jnp.meshgrid(
        jnp.fft.fftfreq(2 * height), jnp.fft.fftfreq(2 * width), indexing="ij"
    )
    angle = 2 * jnp.arctan2(rows, columns)
    along, across = jnp.sum(power * jnp.cos(angle)), jnp.sum(power * jnp.sin(angle))
    return jnp.hypot(along, across) / jnp.sum(power)


def colour_share(
    weights: Float[Array, " visible"], image_shape: tuple[int, ...]
) -> Float[Array, ""]:
    """The share of a filter's energy that is colour: 1 − Σ C m² / Σ w².

    m is the mean over the C colours of a pixel, its gray part. The result is 0 for a
    gray filter, and 1 if the colours cancel in every pixel.

    Args:
      image_shape: (height, width, colours).

    Raises:
      ValueError: the image has no axis of colours.
    """
    if len(image_shape) != 3:
        raise InvalidValue(
            f"`image_shape` is {image_shape} but a share of colour needs (height, "
            "width, colours); gray filters have none."
        )
    pixels = weights.reshape(-1, image_shape[2])
    gray = image_shape[2] * jnp.mean(pixels, axis=1) ** 2
    return 1 - jnp.sum(gray) / jnp.sum(pixels**2)
