"""Numbers that describe a filter as a picture: width, orientation, colour.

Each takes one filter, flat, in the space of the pixels; of a filter of zeros it is NaN.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jboltz.errors import InvalidValue
from jboltz.evaluation.features import receptive_field


def filter_extent(
    weights: Float[Array, " visible"], image_shape: tuple[int, ...]
) -> Float[Array, ""]:
    """The spread of a filter's energy, over that of a filter equal everywhere.

    The spread is that of `receptive_field`, the root mean squared distance from the
    centre. 0 for a single pixel, 1 for energy all over the image; more than 1 where it
    lies in opposite corners.
    """
    height, width = image_shape[:2]
    # The variance of n places side by side is (n² − 1)/12.
    everywhere = ((height**2 - 1 + width**2 - 1) / 12) ** 0.5
    return receptive_field(weights, image_shape, window=1).spread / everywhere


def filter_orientation(
    weights: Float[Array, " visible"], image_shape: tuple[int, ...]
) -> Float[Array, ""]:
    """|Σ_k P(k) exp(2iθ(k))| / Σ_k P(k): how much the filter's waves run one way.

    P(k) is the power of the filter at the wave vector k ≠ 0, colours added up, and θ
    the direction of k; opposite directions are one orientation, so angles are doubled.
    1 for a grating or a straight edge, 0 for a round blob and for two gratings that
    cross at right angles.

    Args:
      image_shape: (height, width) or (height, width, colours).
    """
    height, width = image_shape[:2]
    image = weights.reshape(height, width, -1)
    # Padded, so that the waves of an edge at the border are not wrapped around.
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

    m is the mean over the C colours of a pixel, so the rest is what all colours have in
    common, the gray of it. 0 for a gray filter; 1 where colours cancel in every pixel.

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
