"""A shuffled stack keeps the weights and the activity of every unit, and no more."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.evaluation.shuffled import shuffle_units
from tests.helpers import draw_like


@pytest.mark.parametrize("bottom", [jboltz.Gaussian(7), jboltz.Bernoulli(7)])
def test_units_keep_their_weights_and_are_as_active(bottom, getkey, x64):
    dbn = jboltz.DBN.chain(bottom, jboltz.Bernoulli(5), jboltz.Bernoulli(4))
    params = draw_like(jax.eval_shape(dbn.init, getkey()), getkey(), scale=2.0)
    data = jax.random.uniform(getkey(), (60, 7))
    key = getkey()
    shuffled = shuffle_units(dbn, params, data, key)
    for depth, (old, new) in enumerate(zip(params, shuffled, strict=True), start=1):
        chex.assert_trees_all_equal(
            jnp.sort(new.weights, axis=0), jnp.sort(old.weights, axis=0)
        )
        # Each unit on its own: no permutation of the rows makes one of the other.
        assert len({tuple(row) for row in np.argsort(new.weights, axis=0).T}) > 1
        assert not np.array_equal(new.weights, old.weights)
        chex.assert_trees_all_equal(new.visible, old.visible)
        active = [
            jnp.mean(jax.vmap(dbn.encode, (None, 0))(stack[:depth], data), axis=0)
            for stack in (params, shuffled)
        ]
        chex.assert_trees_all_close(active[1], active[0], atol=1e-9)
    again = shuffle_units(dbn, params, data, key)
    chex.assert_trees_all_equal(again, shuffled)
    other = shuffle_units(dbn, params, data, getkey())
    assert not np.array_equal(other[0].weights, shuffled[0].weights)
