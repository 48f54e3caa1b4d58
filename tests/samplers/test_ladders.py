"""Ladders: rungs that swap equally often, checkpoints that still swap, refusals."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

import jboltz
from jboltz.models.annealed import Annealed
from jboltz.samplers.gibbs import GibbsState
from jboltz.samplers.ladders import (
    _equalize,
    adapt_ladder,
    choose_checkpoints,
    with_ladder,
)
from jboltz.samplers.tempering import (
    ParallelTempering,
    TemperingState,
)
from tests.helpers import (
    binary_states,
    errors_without_hook,
    rng_of,
)
from tests.samplers.test_stationarity import normalize
from tests.samplers.test_tempering import (
    NUM_CHAINS,
    TWO_MODES,
    chains_at,
    scaled,
    two_modes,
)


def test_adapted_rungs_swap_equally_often(getkey):
    params, sampler = two_modes(), ParallelTempering(Annealed(TWO_MODES), 6)
    chains = chains_at(sampler, params, jnp.zeros((200, 8)), getkey())
    chains = with_ladder(chains, beta=[0.0, 0.02, 0.04, 0.06, 0.08, 1.0])

    def spread(chains):
        # Not `advance`: this is the program that `adapt_ladder` runs.
        _, metrics = jboltz.run_chains(sampler, params, chains, getkey(), num_steps=50)
        return np.ptp(np.asarray(metrics["acceptance"]).mean((0, 1)))

    assert spread(chains) > 0.5
    adapted = adapt_ladder(sampler, params, chains, getkey(), num_steps=50)
    assert spread(adapted) < 0.1
    beta = np.asarray(adapted.ladder.beta)
    assert (beta == beta[0]).all()
    assert beta[0, 0] == 0
    assert beta[0, -1] == 1
    # Sampling leaves the ladder alone.
    later, _ = jboltz.run_chains(sampler, params, adapted, getkey(), num_steps=50)
    np.testing.assert_array_equal(later.ladder.beta, beta)


def test_rungs_are_placed_at_equal_parts_of_the_rejections(x64):
    """Of Λ = (0, 0.6, 0.8) at β = (0, ½, 1): Λ = 0.4 is at 1/3."""
    beta = jnp.asarray([0.0, 0.5, 1.0])
    moved = _equalize(beta, jnp.asarray([0.4, 0.8]))
    np.testing.assert_allclose(moved, [0, 1 / 3, 1], rtol=1e-12)
    for rate in (0.3, 1.0):
        still = _equalize(beta, jnp.full(2, rate))
        np.testing.assert_allclose(still, beta, rtol=1e-12)


def test_checkpoints_are_as_far_apart_as_they_may(getkey):
    """Chosen neighbours swap a quarter of the time, and with one checkpoint further
    they would not: by enumeration of scales of one machine, sampled exactly."""
    every, states = scaled(two_modes(), np.linspace(0, 1, 17)), binary_states(8)
    of_states = jax.vmap(TWO_MODES.free_energy, (None, 0))
    energies = np.asarray(jax.vmap(of_states, (0, None))(every, states), np.float64)
    p, rng = [normalize(-e) for e in energies], rng_of(getkey())
    index = np.stack([rng.choice(len(q), NUM_CHAINS, p=q) for q in p], axis=1)
    v, none = states[index], jnp.zeros(0)
    chains = TemperingState(
        visible=v[:, -1],
        hidden=none,
        replicas=GibbsState(visible=v[:, :-1], hidden=none),
        is_renewed=none,
    )
    indices = choose_checkpoints(TWO_MODES, every, chains)

    def acceptance(a, b):
        gain = energies[a] - energies[b]
        return p[a] @ np.exp(np.minimum(gain[:, None] - gain[None], 0)) @ p[b]

    assert indices[0] == 0
    assert indices[-1] == 16
    assert len(indices) < 9
    # The rate is a mean of 500 numbers between 0 and 1.
    error = 0.5 / np.sqrt(NUM_CHAINS)
    for a, b in itertools.pairwise(indices):
        assert acceptance(a, b) > 0.25 - 5 * error
        assert a == 0 or acceptance(a - 1, b) < 0.25 + 5 * error


def test_a_wrong_ladder_is_refused():
    setup = (
        "import jax, jax.numpy as jnp, jboltz as j\n"
        "from jboltz.models.annealed import Annealed\n"
        "m, wide = (j.RBM(j.Bernoulli(n), j.Bernoulli(2)) for n in (3, 4))\n"
        "key, v = jax.random.key(0), jnp.zeros(3)\n"
        "zeros = lambda m: jax.tree.map(\n"
        "    lambda x: jnp.zeros(x.shape), jax.eval_shape(m.init, key))\n"
        "one, other = zeros(m), zeros(wide)\n"
        "trajectory = TrajectoryTempering(m)\n"
        "single = jax.tree.map(lambda x: x[None], one)\n"
        "uneven = stack_params([one, one]).replace(weights=jnp.zeros((3, 3, 2)))\n"
        "parallel = j.ParallelTempering(Annealed(m), 3)\n"
        "chain = jax.jit(parallel.init)(one, v, key)\n"
        "other_base = zeros(Annealed(wide)).base\n"
    )
    calls = {
        f"with_ladder(chain, beta={beta})": "`beta` is ["
        for beta in ([0, 1], [0.1, 0.5, 1], [0, 0.5, 0.9], [0, 0, 1], [0, 2, 1])
    } | {
        "with_ladder(chain, base=other_base)": "`base` has leaves",
        "j.ParallelTempering(Annealed(m), 1)": "`num_replicas` is 1 but",
        "stack_params([one])": "`checkpoints` has the length 1 but tempering needs",
        "stack_params([one, other])": "`checkpoints[1]` has leaves",
        "trajectory.init(single, v, key)": "`params` has leaves of shapes",
        "trajectory.init(one, v, key)": "`params` has leaves of shapes",
        "trajectory.init(uneven, v, key)": "`params` has leaves of shapes",
    }
    for call, error in errors_without_hook(setup, calls).items():
        assert error.startswith(f"InvalidValue: {calls[call]}"), (call, error)
