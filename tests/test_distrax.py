"""An RBM's visible state as a distribution of Distrax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from tests.helpers import binary_states, draw_like

pytest.importorskip("distrax")

from jboltz.distrax import VisibleState

RBM = jboltz.RBM(jboltz.Bernoulli(3), jboltz.Bernoulli(2))


def test_its_density_and_its_samples_are_those_of_the_machine(getkey):
    """Counts of states are binomial, 5σ."""
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey())
    visible, states = VisibleState(RBM, params, warm_up=30), binary_states(3)
    p = np.asarray(visible.prob(states), np.float64)
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-5)
    assert visible.event_shape == (3,)
    assert visible.batch_shape == ()
    drawn = np.asarray(visible.sample(seed=5, sample_shape=(50, 80)))
    assert drawn.shape == (50, 80, 3)
    same = (drawn.reshape(-1, 1, 3) == np.asarray(states)).all(-1)
    z = (same.mean(0) - p) / np.sqrt(p * (1 - p) / 4000)
    assert np.abs(z).max() < 5
    got = jax.jit(lambda visible, v: visible.log_prob(v))(visible, states)
    np.testing.assert_allclose(got, jnp.log(p), rtol=1e-4)
