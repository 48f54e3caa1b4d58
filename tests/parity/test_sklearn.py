"""scikit-learn's BernoulliRBM, given the same parameters."""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.neural_network import BernoulliRBM

import jboltz
from tests.helpers import binary_states, random_params, standard_errors

MODEL = jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(4))


def same_machine(key):
    """Our parameters, and scikit-learn's machine with them."""
    params = random_params(MODEL.init(key), key, scale=1.0)
    machine = BernoulliRBM(n_components=MODEL.hidden.size)
    machine.components_ = np.asarray(params.weights.T)
    machine.intercept_visible_ = np.asarray(params.visible.bias)
    machine.intercept_hidden_ = np.asarray(params.hidden.bias)
    return params, machine


def batched(f):
    return jax.vmap(f, in_axes=(None, 0))


def test_free_energy(getkey, x64):
    params, machine = same_machine(getkey())
    v = binary_states(6)
    ours = batched(MODEL.free_energy)(params, v)
    np.testing.assert_allclose(ours, machine._free_energy(np.asarray(v)), rtol=1e-9)


def test_hidden_means(getkey, x64):
    params, machine = same_machine(getkey())
    v = binary_states(6)
    ours = batched(MODEL.mean_hidden_state)(params, v)
    np.testing.assert_allclose(ours, machine.transform(np.asarray(v)), rtol=1e-9)


def test_conditionals_draw_alike_from_one_noise(getkey, x64):
    """scikit-learn, too, draws 1 iff u < p."""
    params, machine = same_machine(getkey())
    v, h = np.asarray(binary_states(6)), np.asarray(binary_states(4))
    u = np.random.RandomState(3).uniform(size=(len(v), 4))
    drawn = machine._sample_hiddens(v, np.random.RandomState(3))
    p = batched(MODEL.mean_hidden_state)(params, jnp.asarray(v))
    np.testing.assert_array_equal(u < p, drawn)
    u = np.random.RandomState(3).uniform(size=(len(h), 6))
    drawn = machine._sample_visibles(h, np.random.RandomState(3))
    p = batched(MODEL.mean_visible_state)(params, jnp.asarray(h))
    np.testing.assert_array_equal(u < p, drawn)


def test_one_gibbs_step_has_the_same_marginals(getkey):
    """Both against E[v′ | v], exact: h is enumerated."""
    num_chains = 20_000
    params, machine = same_machine(getkey())
    v = jnp.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    h = binary_states(4)
    p_up = MODEL.mean_hidden_state(params, v)
    p_h = jnp.prod(jnp.where(h == 1, p_up[None], 1 - p_up[None]), axis=1)
    expected = p_h @ batched(MODEL.mean_visible_state)(params, h)

    starts = jnp.tile(v, (num_chains, 1))
    sampler = jboltz.Gibbs(MODEL)
    chains = jboltz.init_chains(sampler, params, starts, getkey())
    chains, _ = jboltz.run_chains(sampler, params, chains, getkey(), num_steps=1)
    machine.random_state_ = np.random.RandomState(0)
    theirs = machine.gibbs(np.asarray(starts))
    assert standard_errors(np.asarray(chains.visible), expected).max() < 5
    assert standard_errors(np.asarray(theirs, float), expected).max() < 5
