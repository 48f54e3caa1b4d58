"""Numbers of filters whose form is known."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.evaluation.filters import colour_share, filter_extent, filter_orientation

SHAPE = (48, 48)
ROWS, COLUMNS = np.mgrid[:48, :48] - 23.5


def gabor(sigma, angle, wavelength=8.0, phase=np.pi / 2):
    """Its energy is a Gaussian with deviation `sigma`, times a fast wave."""
    along = COLUMNS * np.cos(angle) + ROWS * np.sin(angle)
    envelope = np.exp(-(ROWS**2 + COLUMNS**2) / (4 * sigma**2))
    return envelope * np.sin(2 * np.pi * along / wavelength + phase)


def test_the_extent_of_a_gabor_is_the_width_of_its_envelope(x64):
    """Of each axis σ², over that of 48 places, (48² − 1)/12; where the wave is fast."""
    for sigma in (3.0, 5.0):
        found = filter_extent(jnp.asarray(gabor(sigma, 0.7, 4.0).ravel()), SHAPE)
        expected = sigma / ((48**2 - 1) / 12) ** 0.5
        chex.assert_trees_all_close(found, jnp.asarray(expected), rtol=1e-3)


def test_extents_have_known_ends(x64):
    one = np.zeros(SHAPE)
    one[3, 40] = -2.0
    corners = np.zeros(SHAPE)
    corners[[0, -1], [0, -1]] = 1.0
    point = filter_extent(jnp.asarray(one.ravel()), SHAPE)
    chex.assert_trees_all_close(point, jnp.asarray(0.0), atol=1e-12)
    every = filter_extent(jnp.ones(48 * 48 * 3), (*SHAPE, 3))
    chex.assert_trees_all_close(every, jnp.asarray(1.0), rtol=1e-12)
    assert filter_extent(jnp.asarray(corners.ravel()), SHAPE) > 1


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0])
def test_a_gabor_has_one_orientation_and_two_that_cross_have_none(angle, x64):
    one = gabor(5.0, angle)
    found = filter_orientation(jnp.asarray(one.ravel()), SHAPE)
    # Wave vectors spread by 1/2σ around 2π/8: half of its angle's variance, at most.
    spread = (8 / (2 * np.pi) / (2 * 5.0)) ** 2
    assert 1 - 2.5 * spread < found < 1
    plaid = one + gabor(5.0, angle + np.pi / 2)
    found = filter_orientation(jnp.asarray(plaid.ravel()), SHAPE)
    chex.assert_trees_all_close(found, jnp.asarray(0.0), atol=0.01)


def test_a_blob_is_not_oriented_and_an_edge_is_in_any_colour(x64):
    blob = np.exp(-(ROWS**2 + COLUMNS**2) / 20)
    chex.assert_trees_all_close(
        filter_orientation(jnp.asarray(blob.ravel()), SHAPE),
        jnp.asarray(0.0),
        atol=1e-6,
    )
    edge = np.sign(COLUMNS) * np.exp(-(ROWS**2 + COLUMNS**2) / 100)
    gray = filter_orientation(jnp.asarray(edge.ravel()), SHAPE)
    assert gray > 0.6
    coloured = edge[..., None] * np.array([1.0, -2.0, 0.0])
    found = filter_orientation(jnp.asarray(coloured.ravel()), (*SHAPE, 3))
    chex.assert_trees_all_close(found, gray, rtol=1e-10)


def test_the_share_of_colour_is_what_gray_leaves(x64):
    shape = (4, 5, 3)
    gray = np.broadcast_to(np.arange(20.0).reshape(4, 5, 1), shape)
    colour = np.zeros(shape)
    colour[1, 2] = [1.0, 1.0, -2.0]
    for weights, expected in ((gray, 0.0), (colour, 1.0)):
        found = colour_share(jnp.asarray(weights.ravel()), shape)
        chex.assert_trees_all_close(found, jnp.asarray(expected), atol=1e-12)
    # A single colour is a third gray.
    red = np.zeros(shape)
    red[..., 0] = 1
    found = colour_share(jnp.asarray(red.ravel()), shape)
    chex.assert_trees_all_close(found, jnp.asarray(2 / 3), rtol=1e-12)
    # Orthogonal parts: energies add up.
    both = colour_share(jnp.asarray((gray + colour).ravel()), shape)
    expected = (colour**2).sum() / ((gray**2).sum() + (colour**2).sum())
    chex.assert_trees_all_close(both, jnp.asarray(expected), rtol=1e-10)


def test_a_filter_of_zeros_has_no_numbers():
    zeros = jnp.zeros(27)
    for measure in (filter_extent, filter_orientation, colour_share):
        assert jnp.isnan(measure(zeros, (3, 3, 3)))


def test_gray_filters_have_no_share_of_colour():
    with pytest.raises(ValueError, match=r"`image_shape` is \(3, 3\) but .* colours"):
        colour_share(jnp.ones(9), (3, 3))
