"""p(y | x) of label units is that of the enumerated joint."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz import Bernoulli, Gaussian, Joined, Softmax
from jboltz.models.labelled import label_log_probabilities
from tests.helpers import draw_like, errors_without_hook, states_of

MACHINES = {
    "binary": jboltz.RBM(Joined(Bernoulli(4), Softmax(1, 3)), Bernoulli(3)),
    "real": jboltz.RBM(Joined(Gaussian(2), Softmax(1, 3)), Softmax(2, 2)),
}
DBN = jboltz.LabelledDBN.chain(*map(Bernoulli, (5, 4, 3, 2)), num_classes=3)


def draw_params(model, getkey):
    return draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale=1.0)


@pytest.mark.parametrize("name", MACHINES)
def test_it_is_the_joint_summed_over_h_and_normalised_over_y(name, getkey, x64):
    model = MACHINES[name]
    params = draw_params(model, getkey)
    x, h = jnp.array([1.0, 0.0, 1.0, 1.0])[: model.visible.first.size], model.hidden

    @jax.jit
    def both(params):
        def energy(label, h):
            return model.energy(params, (x, label), h)

        every = jax.vmap(jax.vmap(energy, (None, 0)), (0, None))
        energies = every(jnp.eye(3)[:, None], states_of(h)[0])
        return energies, label_log_probabilities(model, params, x)

    energies, got = both(params)
    joint = np.exp(-np.asarray(energies)).sum(axis=1)
    np.testing.assert_allclose(np.exp(got), joint / joint.sum(), rtol=1e-9)


def test_a_dbn_classifies_by_its_top_at_the_code(getkey):
    params, v, key = draw_params(DBN, getkey), jnp.ones(5), getkey()
    exact = partial(label_log_probabilities, DBN.top, params[-1])
    code = DBN.below.encode(params[:2], v)
    sampled = DBN.below.sample_up(params[:2], v, key)
    np.testing.assert_allclose(
        DBN.label_log_probabilities(params, v), exact(code), rtol=1e-6
    )
    np.testing.assert_allclose(
        DBN.sampled_label_log_probabilities(params, v, key), exact(sampled), rtol=1e-6
    )


def test_its_layers_are_those_of_a_dbn_with_a_label_in_the_top_one(getkey):
    plain = jboltz.DBN.chain(*map(Bernoulli, (5, 4, 3)))
    assert DBN.layers[:-1] == plain.layers
    assert DBN.visible == Joined(Bernoulli(5), Softmax(1, 3))
    key = getkey()
    params = DBN.init(key)
    for got, expected in zip(params[:-1], plain.init(key), strict=True):
        np.testing.assert_array_equal(got.weights, expected.weights)
    assert params[-1].weights.shape == (3 + 3, 2)


def test_other_machines_are_refused(getkey):
    plain = jboltz.RBM(Bernoulli(4), Bernoulli(3))
    with pytest.raises(ValueError, match=r"`visible` is Bernoulli.*Softmax\(1, "):
        label_log_probabilities(plain, plain.init(getkey()), jnp.ones(4))
    errors = errors_without_hook(
        "from jboltz import *\nB = Bernoulli\n"
        "below = DBN.chain(B(4), B(3))\n"
        "def top(size, sites):\n"
        "    return RBM(Joined(B(size), Softmax(sites, 2)), B(2))\n",
        ["LabelledDBN(below, top(2, 1))", "LabelledDBN(below, top(3, 2))"],
    )
    other_size, two_labels = errors.values()
    assert "`top` takes Bernoulli(size=2)" in other_size
    assert "ends in Bernoulli(size=3)" in other_size
    assert "data beside one label" in two_labels
