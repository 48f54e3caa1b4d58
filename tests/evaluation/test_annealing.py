"""Annealing with few rungs is unbiased: against sums over all states, and transfer
matrices."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.evaluation import annealing
from jboltz.evaluation.annealing import (
    anneal,
    annealed_importance_sampling,
    clamped_annealed_importance_sampling,
    log_partition_trajectory,
    reverse_ais_log_likelihood,
    reverse_annealed_importance_sampling,
)
from jboltz.evaluation.partition import model_log_partition
from jboltz.models.annealed import Annealed, AnnealedParams
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.spike_and_slab import SpikeSlab
from jboltz.models.swapped import SwappedLayers
from tests.helpers import binary_states, draw_like, standard_errors, states_of
from tests.models.test_annealed import states_of_block

NUM_CHAINS = 4_000
BETAS = np.array([0.0, 0.3, 0.6, 1.0])
B = jboltz.Bernoulli


def layers(*sizes):
    return tuple(map(B, sizes))


MODELS = {
    "Bernoulli": jboltz.RBM(B(4), B(3)),
    "Gaussian": jboltz.RBM(jboltz.Gaussian(1), B(3)),
    "Softmax and spin": jboltz.RBM(
        jboltz.Joined(jboltz.Softmax(1, 3), jboltz.Spin(2)), B(3)
    ),
    "DBM of 2": SwappedLayers(jboltz.DBM(layers(4, 3, 2))),
    "DBM of 3": jboltz.DBM(layers(3, 2, 2, 2)),
    "spike and slab": jboltz.SpikeAndSlab(1, 1),
}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def case(model):
    """The annealed model, all states of v and all of h, with their log-weights."""
    if isinstance(model, jboltz.SpikeAndSlab):
        (v, log_v), (slabs, log_h) = states_of(jboltz.Gaussian(1)), slab_nodes()
        spikes = jnp.repeat(jnp.asarray([[0.0], [1.0]]), len(slabs), axis=0)
        h = SpikeSlab(spikes=spikes, slabs=jnp.tile(slabs, (2, 1)))
        return AnnealedSpikeAndSlab(model), (v, log_v), (h, jnp.tile(log_h, 2))
    visible, hidden = map(states_of_block, model.blocks(model.units))
    return Annealed(model), visible, hidden


def slab_nodes():
    return states_of(jboltz.Gaussian(1))


@partial(jax.jit, static_argnums=0)
def runs(annealed, rungs, v, log_v, h, log_h, key):
    """All three directions, and sums over all states."""
    own = annealing._at(rungs, rungs.beta[-1])
    key_forward, key_h, key_v, key_reverse, key_points = jax.random.split(key, 5)

    def energies(beta):
        energy = partial(annealed.energy, annealing._at(rungs, beta))
        return jax.vmap(jax.vmap(energy, in_axes=(None, 0)), in_axes=(0, None))(v, h)

    log_weights = log_v[:, None] + log_h[None]
    log_joint = log_weights[None] - jax.lax.map(energies, rungs.beta)
    log_z = jax.nn.logsumexp(log_joint, axis=(1, 2))

    # v, v′ → Σ_h p(h | v) p(v′ | h) of every rung but the first.
    up = jax.nn.softmax(log_joint[1:], axis=2)
    down = jax.nn.softmax(log_joint[1:], axis=1)
    annealed_law = jax.nn.softmax(jax.nn.logsumexp(log_joint[0], axis=1))
    for k in range(len(rungs.beta) - 1):
        annealed_law = (annealed_law @ up[k]) @ down[k].T

    # An exact sample of the model: h from its marginal, and v given h.
    index = jax.random.categorical(
        key_h, jax.nn.logsumexp(log_joint[-1], axis=0), shape=(NUM_CHAINS,)
    )
    exact = jax.vmap(partial(annealed.sample_visible, own))(
        jax.tree.map(lambda x: x[index], h), jax.random.split(key_v, NUM_CHAINS)
    )
    points = jax.tree.map(lambda x: x[len(log_v) // 2][None], v)
    forward, log_z0 = annealing._from_base(
        annealed, rungs, jboltz.random.fold_in_range(key_forward, NUM_CHAINS)
    )
    reverse, _ = annealing._from_model(annealed, rungs, exact, key_reverse)
    at_point, shift = annealing._from_points(
        annealed, rungs, points, key_points, num_chains=NUM_CHAINS
    )
    return {
        "log_z": log_z[-1],
        "log_z0": log_z0,
        "base": log_z[0],
        "forward": forward,
        "reverse": reverse,
        "at_point": at_point[0] + shift[0],
        "density": annealed_law[len(log_v) // 2] / jnp.exp(log_v[len(log_v) // 2]),
    }


@each_model
def test_three_rungs_are_unbiased_in_both_directions_and_at_a_point(model, getkey, x64):
    """E[w] = Z/Z₀, E[e^(−R)] = Z₀/Z and E[w] = p_ann(v), exactly."""
    annealed, v, h = case(model)
    params = draw_like(jax.eval_shape(annealed.init, getkey()), getkey(), 0.7)
    rungs = AnnealedParams(
        params=params.params, base=params.base, beta=jnp.asarray(BETAS)
    )
    out = runs(annealed, rungs, *v, *h, getkey())
    np.testing.assert_allclose(out["log_z0"], out["base"], rtol=1e-9)
    ratio = float(out["log_z"] - out["base"])
    assert standard_errors(np.exp(out["forward"]), np.exp(ratio)) < 5
    assert standard_errors(np.exp(out["reverse"]), np.exp(-ratio)) < 5
    assert standard_errors(np.exp(out["at_point"]), float(out["density"])) < 5


RBM = MODELS["Bernoulli"]


def draw_rbm(getkey, scale=0.7):
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey(), scale)
    annealed = Annealed(RBM)
    return annealed, params, annealed.fit_base(binary_states(4)[3:9])


def test_estimates_hold_the_exact_value_between_them(getkey):
    annealed, params, base = draw_rbm(getkey)
    betas, log_z = np.linspace(0, 1, 30), model_log_partition(RBM, params)
    forward = annealed_importance_sampling(annealed, params, base, betas, getkey())
    v = binary_states(4)
    log_p = -jax.vmap(partial(RBM.free_energy, params))(v) - log_z
    samples = v[jax.random.categorical(getkey(), log_p, shape=(100,))]
    reverse = reverse_annealed_importance_sampling(
        annealed, params, base, betas, samples, getkey()
    )
    for estimate in (forward, reverse):
        assert estimate.lower < log_z < estimate.upper
        assert estimate.lower < estimate.value < estimate.upper
        assert 10 < estimate.effective_samples <= 100
        assert estimate.log_weights.shape == (100,)
    points = reverse_ais_log_likelihood(annealed, params, base, betas, v[:3], getkey())
    assert points.log_weights.shape == (3, 100)
    np.testing.assert_allclose(points.value, log_p[:3], atol=0.1)


def test_the_last_states_are_those_of_annealing_with_the_same_keys(getkey):
    """A chain is its own loop of weights and sweeps, with `fold_in(key, k)`."""
    annealed, params, base = draw_rbm(getkey)
    rungs = AnnealedParams(params=params, base=base, beta=jnp.asarray(BETAS))
    v, key, total = binary_states(4)[5], getkey(), 0.0
    got, log_weight = anneal(annealed, rungs, v, key)
    for k in range(3):
        here, there = (annealing._at(rungs, rungs.beta[k + i]) for i in (0, 1))
        total += annealed.free_energy(here, v) - annealed.free_energy(there, v)
        key_h, key_v = jax.random.split(jax.random.fold_in(key, k))
        h = annealed.sample_hidden(there, v, key_h)
        v = annealed.sample_visible(there, h, key_v)
    np.testing.assert_array_equal(got, v)
    np.testing.assert_allclose(log_weight, total, rtol=1e-5)


def test_a_chain_does_not_know_how_many_there_are(getkey):
    annealed, params, base = draw_rbm(getkey)
    key = getkey()
    few, many = (
        annealed_importance_sampling(
            annealed, params, base, BETAS, key, num_chains=count
        ).log_weights
        for count in (20, 30)
    )
    np.testing.assert_allclose(few, many[:20], rtol=1e-4, atol=1e-5)


@dataclasses.dataclass(frozen=True)
class Constant(Annealed):
    """Weights that are known: 0.1 a step on top of 1e4."""

    def log_weight(self, here, there, v):
        return jnp.where(here.beta == 0, 1e4, 0.1).astype(v.dtype)

    def sample_hidden(self, params, v, key):
        return v

    sample_visible = sample_hidden


def test_thousands_of_small_weights_add_up_in_float32(getkey):
    rungs = AnnealedParams(params=(), base=(), beta=jnp.linspace(0, 1, 20_001))
    annealed = Constant(jboltz.RBM(B(1), B(1)))
    total = jax.jit(partial(anneal, annealed))(rungs, jnp.zeros(1), getkey())[1]
    expected = 1e4 + 19_999 * float(np.float32(0.1))
    assert abs(total - expected) <= np.spacing(np.float32(expected))


def test_one_rung_has_two_products(getkey):
    """The inputs of h serve both free energies and the draw."""
    annealed = Annealed(jboltz.RBM(B(64), B(48)))
    params = draw_like(jax.eval_shape(annealed.init, getkey()), getkey())
    rungs = params.replace(beta=jnp.asarray(BETAS, jnp.float32))
    keys = jboltz.random.fold_in_range(getkey(), 32)
    compiled = annealing._from_base.lower(annealed, rungs, keys).compile().as_text()
    dots = [line for line in compiled.splitlines() if " dot(" in line]
    products = [line for line in dots if "32,48]" in line.split("dot(")[0]]
    assert len(products) == 1
    products = [line for line in dots if "32,64]" in line.split("dot(")[0]]
    assert len(products) == 1


def test_clamped_chains_sum_out_the_hidden_layers_of_a_dbm(getkey):
    model = jboltz.DBM((jboltz.Gaussian(2), *layers(3, 2, 2)))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 0.5)
    v = jnp.asarray([[0.3, -1.0], [2.0, 0.5]])
    given, energies = jax.vmap(partial(model.given_data, params))(v)
    exact = jax.vmap(partial(model_log_partition, model.hidden_model))(given)
    x1, x2, x3 = (x for x, _ in map(states_of, model.units[1:]))
    index = np.indices((8, 4, 4)).reshape(3, -1)
    h = (x1[index[0]], x3[index[2]])
    energy = jax.vmap(
        lambda v, h, x2: model.energy(params, (v, x2), h), in_axes=(None, 0, 0)
    )
    expected = jax.nn.logsumexp(
        -jax.vmap(energy, in_axes=(0, None, None))(v, h, x2[index[1]]), axis=1
    )
    np.testing.assert_allclose(exact - energies, expected, rtol=1e-5)
    got = clamped_annealed_importance_sampling(
        model, params, np.linspace(0, 1, 30), v, getkey()
    )
    assert (got.lower < expected).all()
    assert (expected < got.upper).all()
    with pytest.raises(ValueError, match="`free_energy` is exact"):
        _ = jboltz.DBM(layers(3, 2)).hidden_model


def test_log_z_along_a_path_is_bridged_by_samples(getkey):
    path = [draw_rbm(getkey)[1]]
    for _ in range(2):
        step = draw_rbm(getkey, scale=0.2)[1]
        path.append(jax.tree.map(jnp.add, path[-1], step))
    exact = [float(model_log_partition(RBM, params)) for params in path]
    v = binary_states(4)
    samples = [
        v[
            jax.random.categorical(
                getkey(), -jax.vmap(partial(RBM.free_energy, params))(v), shape=(500,)
            )
        ]
        for params in path[:-1]
    ]
    got = log_partition_trajectory(RBM, path, samples, log_partition=exact[0])
    assert (got.lower < exact[1:]).all()
    assert (exact[1:] < got.upper).all()
    assert got.log_weights.shape == (2, 500)
