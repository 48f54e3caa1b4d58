"""BlackJAX's own loop drives a jboltz kernel, and draws what `run_chains` draws."""

import subprocess
import sys

import blackjax
import jax
import numpy as np

from jboltz.samplers.blackjax import BlackJAXState, to_blackjax
from jboltz.samplers.chains import run, run_chains
from tests.samplers.test_chains import dyadic_case


def test_blackjax_draws_the_chains_of_run_chains_bit_for_bit(getkey):
    sampler, params, states = dyadic_case(getkey, 3)
    key, algorithm = getkey(), to_blackjax(sampler, params)

    def drive(key, state):
        return blackjax.util.run_inference_algorithm(
            key, algorithm, num_steps=6, initial_state=state
        )

    starts = BlackJAXState(position=states.visible, chain=states)
    ends, (history, metrics) = jax.vmap(drive)(jax.random.split(key, 3), starts)
    expected, steps = run_chains(sampler, params, states, key, num_steps=6)
    for got, like in zip(*map(jax.tree.leaves, (ends.chain, expected)), strict=True):
        np.testing.assert_array_equal(got, like)
    np.testing.assert_array_equal(history.position, steps["visible"])
    np.testing.assert_array_equal(metrics["uniforms"], steps["uniforms"])
    assert (history.position[:, 0] != history.position[:, -1]).any()


def test_blackjax_starts_a_chain_at_a_position(getkey):
    sampler, params, states = dyadic_case(getkey, 1)
    v, key = states.visible[0], getkey()
    end, _ = blackjax.util.run_inference_algorithm(
        key, to_blackjax(sampler, params), num_steps=4, initial_position=v
    )
    key_run, key_init = jax.random.split(key)
    start = sampler.init(params, v, key_init)
    expected, _ = run(sampler, params, start, key_run, num_steps=4)
    np.testing.assert_array_equal(end.position, expected.visible)
    np.testing.assert_array_equal(end.chain.hidden, expected.hidden)


def test_a_chain_starts_without_a_key(getkey):
    """As a chain of another algorithm does: `init(position)`, `state.position`."""
    sampler, params, states = dyadic_case(getkey, 1)
    algorithm, v = to_blackjax(sampler, params), states.visible[0]
    state = algorithm.init(v)
    np.testing.assert_array_equal(state.position, v)
    expected = sampler.init(params, v, jax.random.key(0))
    np.testing.assert_array_equal(state.chain.hidden, expected.hidden)
    moved, _ = algorithm.step(getkey(), state)
    np.testing.assert_array_equal(moved.position, moved.chain.visible)


def test_jboltz_does_not_need_blackjax():
    code = (
        "import sys; sys.modules['blackjax'] = None\n"
        "import jax, jboltz\n"
        "rbm = jboltz.RBM(jboltz.Bernoulli(3), jboltz.Bernoulli(2))\n"
        "jboltz.to_blackjax(jboltz.Gibbs(rbm), rbm.init(jax.random.key(0)))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
