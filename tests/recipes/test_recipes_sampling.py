"""Recipes: samples of other kernels, and samples that take little memory."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from tests.helpers import draw_like

RBM = jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(4))


def test_nuts_on_real_visible_units(getkey):
    """−F(v) is a smooth log density where the visible units are real."""
    blackjax = pytest.importorskip("blackjax")
    model = jboltz.RBM(jboltz.Gaussian(2), jboltz.Bernoulli(2))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())

    # The recipe.
    nuts = blackjax.nuts(
        lambda v: -model.free_energy(params, v),
        step_size=0.8,
        inverse_mass_matrix=jnp.exp(params.visible.log_variance),
    )
    _, (states, _) = blackjax.util.run_inference_algorithm(
        getkey(), nuts, num_steps=4000, initial_position=params.visible.mean
    )

    v = np.asarray(states.position, np.float64)
    hidden = [jnp.asarray(h) for h in itertools.product((0.0, 1.0), repeat=2)]
    p = np.exp([-float(model.hidden_free_energy(params, h)) for h in hidden])
    p = p / p.sum()
    means = np.array([model.mean_visible_state(params, h) for h in hidden])
    mean = p @ means
    variance = p @ means**2 - mean**2 + np.exp(params.visible.log_variance)
    # 5 standard errors of as many draws as 1000 independent ones.
    assert (np.abs(v.mean(0) - mean) < 5 * np.sqrt(variance / 1000)).all()


def test_binary_samples_are_kept_as_bools(getkey):
    """A quarter of the memory; chains themselves run in float32."""
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey())
    key, how = getkey(), {"warm_up": 5, "num_samples": 7, "num_chains": 3}

    # The recipe: a named function, so that it compiles once.
    def observe_bits(model, params, state):
        return state.visible > 0.5

    _, bits, _ = jboltz.sample(RBM, params, key, observe=observe_bits, **how)

    _, floats, _ = jboltz.sample(RBM, params, key, **how)
    assert bits.dtype == jnp.bool_
    np.testing.assert_array_equal(bits, floats == 1)
    assert 4 * bits.nbytes == floats.nbytes
