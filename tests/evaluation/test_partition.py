"""log Z by enumeration, in chunks, from either side."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.evaluation.partition import log_partition
from tests.helpers import binary_states, draw_like, states_of

RBM = jboltz.RBM(jboltz.Bernoulli(5), jboltz.Bernoulli(7))


@pytest.mark.parametrize("chunk_size", [1, 4, 2**12])
def test_both_sides_and_every_chunking_agree_with_the_joint_sum(
    chunk_size, getkey, x64
):
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey(), 1.0)
    v, h = binary_states(5), binary_states(7)
    energy = jax.vmap(RBM.energy, in_axes=(None, None, 0))
    energies = jax.vmap(energy, in_axes=(None, 0, None))(params, v, h)
    expected = jax.nn.logsumexp(-energies)
    for function, count in (
        (RBM.hidden_free_energy, 7),
        (RBM.free_energy, 5),
    ):
        got = log_partition(partial(function, params), count, chunk_size=chunk_size)
        np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_of_a_gaussian_rbm_it_is_the_integral_over_v(getkey, x64):
    model = jboltz.RBM(jboltz.Gaussian(2), jboltz.Bernoulli(3))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 0.5)
    v, log_weights = states_of(model.visible)
    free = jax.vmap(model.free_energy, in_axes=(None, 0))(params, v)
    expected = jax.nn.logsumexp(log_weights - free)
    got = log_partition(partial(model.hidden_free_energy, params), 3)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("num_hidden", [0, 26])
def test_too_many_units_are_refused(num_hidden):
    with pytest.raises(ValueError, match=r"1 to 25"):
        log_partition(jnp.sum, num_hidden)
