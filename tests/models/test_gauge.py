"""The zero-sum gauge changes the parameters and not the model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.models.gauge import zero_sum_gauge
from jboltz.models.rbm import RBM
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.gaussian import Gaussian
from jboltz.units.softmax import Softmax
from tests.helpers import draw_like, states_of

PAIRS = [
    (Softmax(2, 3), Softmax(1, 2)),
    (Softmax(2, 3), Bernoulli(2)),
    (Bernoulli(2), Softmax(2, 2)),
    (Gaussian(1), Softmax(2, 2)),
]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_energies_differ_by_a_constant_and_sums_are_zero(pair, getkey, x64):
    model = RBM(*pair)
    params = draw_like(model.init(getkey()), getkey())
    centred = jax.jit(zero_sum_gauge, static_argnums=0)(model, params)
    v, h = (states_of(unit)[0] for unit in pair)
    over_h = jax.vmap(model.energy, in_axes=(None, None, 0))
    energies = jax.jit(jax.vmap(over_h, in_axes=(None, 0, None)))
    change = np.asarray(energies(centred, v, h) - energies(params, v, h))
    np.testing.assert_allclose(change, change[0, 0], rtol=1e-9, atol=1e-9)
    sides = [
        (model.visible, centred.visible, centred.weights),
        (model.hidden, centred.hidden, centred.weights.T),
    ]
    for unit, unit_params, weights in sides:
        if isinstance(unit, Softmax):
            sums = weights.reshape(*unit.shape, -1).sum(axis=1)
            np.testing.assert_allclose(sums, 0, atol=1e-12)
            np.testing.assert_allclose(unit_params.bias.sum(axis=1), 0, atol=1e-12)


def test_a_layer_without_categories_is_left_as_it_is(getkey):
    model = RBM(Gaussian(2), Bernoulli(3))
    params = model.init(getkey())
    centred = zero_sum_gauge(model, params)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, params, centred))
