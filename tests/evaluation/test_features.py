"""A unit's picture is its filter where that can be known, and a maximum elsewhere."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.evaluation.features import (
    combined_filters,
    dbn_inputs,
    maximise_activation,
    principal_components,
    receptive_field,
)
from tests.helpers import draw_like


def stack(getkey, *units):
    dbn = jboltz.DBN.chain(*units)
    return dbn, draw_like(jax.eval_shape(dbn.init, getkey()), getkey(), scale=0.8)


def test_the_combined_filters_of_layer_1_are_the_columns_of_its_weights(getkey, x64):
    _, params = stack(getkey, *map(jboltz.Bernoulli, (6, 4, 3)))
    W1, W2 = (layer.weights for layer in params)
    chex.assert_trees_all_equal(combined_filters([W1]), W1)
    expected = jnp.einsum("ij,jk->ik", W1, W2)
    chex.assert_trees_all_close(combined_filters([W1, W2]), expected, rtol=1e-12)


def test_the_maximum_of_a_layer_on_gaussians_is_the_filter_of_the_unit(getkey, x64):
    """Of inputs linear in the image, the gradient is the filter, precision-weighted."""
    dbn, params = stack(getkey, jboltz.Gaussian(7), jboltz.Bernoulli(3))
    visible = params[0].visible
    images, trace = maximise_activation(
        partial(dbn_inputs, dbn, params, depth=1),
        jboltz.Gaussian(7),
        visible,
        jnp.arange(3),
        getkey(),
        norm=2.0,
        num_steps=300,
    )
    filters = params[0].weights * jnp.exp(-visible.log_variance)[:, None]
    expected = 2 * (filters / jnp.linalg.norm(filters, axis=0, keepdims=True)).T
    chex.assert_trees_all_close(images - visible.mean[None], expected, atol=1e-9)
    assert np.all(np.diff(trace, axis=1) > -1e-9)


def test_a_maximum_lies_above_every_image_of_the_same_norm(getkey, x64):
    units = tuple(map(jboltz.Bernoulli, (8, 5, 4)))
    dbn, params = stack(getkey, *units)
    up, visible = partial(dbn_inputs, dbn, params, depth=2), params[0].visible
    maximise = partial(maximise_activation, up, units[0], visible, norm=5.0)
    images, trace = maximise(jnp.arange(4), getkey())
    assert images.shape == (4, 8)
    assert np.all((images > 0) & (images < 1))
    reached = jnp.diagonal(jax.vmap(up)(images))
    assert np.all(reached >= trace.max(axis=1) - 1e-6)

    directions = jax.random.normal(getkey(), (500, 8))
    inputs = 5 * directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    others = jax.vmap(lambda i: up(units[0].mean_state(visible, i)))(inputs)
    assert np.all(reached > others.max(axis=0))


def test_a_unit_starts_from_its_own_draw(getkey):
    """So a unit's picture does not depend on which others are asked for."""
    dbn, params = stack(getkey, *map(jboltz.Bernoulli, (6, 4)))
    maximise = partial(
        maximise_activation,
        partial(dbn_inputs, dbn, params, depth=1),
        dbn.layers[0].visible,
        params[0].visible,
        key=getkey(),
        norm=3.0,
        num_steps=5,
    )
    every, _ = maximise(chosen=jnp.arange(4))
    some, _ = maximise(chosen=jnp.array([2]))
    chex.assert_trees_all_close(some[0], every[2], rtol=1e-5)


def test_a_unit_that_nothing_reaches_has_a_picture(getkey):
    dbn, params = stack(getkey, *map(jboltz.Bernoulli, (6, 4)))
    params = (params[0].replace(weights=jnp.zeros((6, 4))),)
    images, trace = maximise_activation(
        partial(dbn_inputs, dbn, params, depth=1),
        dbn.layers[0].visible,
        params[0].visible,
        jnp.arange(1),
        getkey(),
        norm=3.0,
        num_steps=2,
    )
    assert np.all(np.isfinite(images))
    assert np.all(trace == 0)


def test_the_dbn_of_one_hidden_layer_has_the_inputs_of_its_rbm(getkey, x64):
    dbn, params = stack(getkey, jboltz.Gaussian(5), jboltz.Bernoulli(3))
    v = jax.random.normal(getkey(), (5,))
    expected = dbn.layers[0].hidden_inputs(params[0], v)
    found = dbn_inputs(dbn, params, v, depth=1)
    chex.assert_trees_all_close(found, expected, rtol=1e-12)


def test_the_receptive_field_of_a_gaussian_bump_is_its_centre_and_width(x64):
    row, column = np.mgrid[:24, :20]
    squared = (row - 10) ** 2 + (column - 7) ** 2
    # Energy is the square: exp(−r²/2σ²) for the weights below, σ = 2.
    bump = jnp.asarray(np.exp(-squared / (4 * 2.0**2)))
    field = centre, spread = receptive_field(bump.ravel(), (24, 20))
    chex.assert_trees_all_close(centre, jnp.array([10.0, 7.0]), atol=2e-2)
    chex.assert_trees_all_close(spread, jnp.array(2 * 2**0.5), atol=1e-2)

    coloured = jnp.repeat(bump[..., None], 3, axis=-1).ravel()
    again = receptive_field(coloured, (24, 20, 3))
    chex.assert_trees_all_close(again, field, rtol=1e-10)


def test_principal_components_are_those_of_the_covariance(getkey, x64):
    codes = jax.random.normal(getkey(), (30, 4)) * jnp.array([[3.0, 2.0, 1.0, 0.5]])
    coordinates, shares = principal_components(codes, 2)
    variances = jnp.linalg.eigvalsh(jnp.cov(codes.T))[::-1]
    chex.assert_trees_all_close(shares, variances[:2] / variances.sum(), rtol=1e-9)
    found = jnp.cov(coordinates.T)
    chex.assert_trees_all_close(found, jnp.diag(variances[:2]), atol=1e-9)


def test_bad_input_is_refused(getkey):
    dbn, params = stack(getkey, *map(jboltz.Bernoulli, (6, 4)))
    with pytest.raises(ValueError, match="`weights` is empty"):
        combined_filters([])
    with pytest.raises(ValueError, match="do not chain: 4 units meet 5"):
        combined_filters([jnp.ones((6, 4)), jnp.ones((5, 2))])
    with pytest.raises(ValueError, match=r"`depth` is 2 but .* layers 1 to 1"):
        dbn_inputs(dbn, params, jnp.zeros(6), depth=2)
    with pytest.raises(ValueError, match="`norm` is -1"):
        maximise_activation(
            partial(dbn_inputs, dbn, params, depth=1),
            dbn.layers[0].visible,
            params[0].visible,
            jnp.arange(1),
            getkey(),
            norm=-1.0,
        )
    with pytest.raises(ValueError, match="`num_components` is 5 but 3 codes of 4"):
        principal_components(jnp.ones((3, 4)), 5)
