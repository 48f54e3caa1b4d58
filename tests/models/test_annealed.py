"""Every rung is the joint that it says: sums over all states of its energy alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.base import FreeEnergyModel
from jboltz.models.annealed import Annealed
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.spike_and_slab import SpikeSlab
from jboltz.models.swapped import SwappedLayers
from jboltz.samplers.chains import run
from tests.helpers import draw_like, rows_of, states_of
from tests.units.cases import PAIRS, is_enumerable, unit_name

BETAS = (0.0, 0.3, 1.0)
close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9)

BERNOULLI = tuple(jboltz.Bernoulli(n) for n in (3, 2, 2, 2))
DBMS = [
    jboltz.DBM((jboltz.Bernoulli(3), jboltz.Bernoulli(2), jboltz.Softmax(1, 3))),
    jboltz.DBM(BERNOULLI),
]
MODELS = [
    *(jboltz.RBM(*pair) for pair in PAIRS if any(map(is_enumerable, pair))),
    DBMS[0],
    SwappedLayers(DBMS[1]),
]


def name(model):
    if isinstance(model, SwappedLayers):
        return "swapped " + name(model.model)
    return "-".join(map(unit_name, model.units))


each_model = pytest.mark.parametrize("model", MODELS, ids=name)


def states_of_block(units):
    """All states of a unit or of a tuple of units, with their log-weights."""
    if not isinstance(units, tuple):
        return states_of(units)
    parts = [states_of(unit) for unit in units]
    index = np.indices([len(log_weights) for _, log_weights in parts])
    index = index.reshape(len(parts), -1)
    states = tuple(x[i] for (x, _), i in zip(parts, index, strict=True))
    return states, sum(w[i] for (_, w), i in zip(parts, index, strict=True))


NUM_DRAWS = 4_000


@partial(jax.jit, static_argnums=0)
def facts(annealed, params, betas, v, log_v, h, log_h, key):
    """What each rung says, and what its energy and those of both ends say."""

    def of_one(beta):
        rung = params.replace(beta=beta)
        energy = jax.vmap(partial(annealed.energy, rung), in_axes=(None, 0))
        energies = jax.vmap(energy, in_axes=(0, None))(v, h)
        return {
            "energies": energies,
            "free_energy": jax.vmap(partial(annealed.free_energy, rung))(v),
            "minus_log_sum": -jax.nn.logsumexp(log_h[None] - energies, axis=1),
            "log_z": jax.nn.logsumexp(log_v[:, None] + log_h[None] - energies),
        }

    here, there = (params.replace(beta=beta) for beta in betas[1:])
    keys = jax.random.split(key, (2, NUM_DRAWS))
    v0, h0 = (jax.tree.map(lambda x: x[len(x) // 2], x) for x in (v, h))
    return {
        **jax.lax.map(of_one, betas),
        "base_log_partition": annealed.base_log_partition(params),
        "log_weight": jax.vmap(partial(annealed.log_weight, here, there))(v),
        "hidden": jax.vmap(partial(annealed.sample_hidden, here, v0))(keys[0]),
        "visible": jax.vmap(partial(annealed.sample_visible, here, h0))(keys[1]),
    }


def check_rungs(annealed, params, v, h, key):
    """What holds of every model; returns the energies of the rungs."""
    assert isinstance(annealed, FreeEnergyModel)
    out = facts(annealed, params, jnp.asarray(BETAS), *v, *h, key)
    close(out["free_energy"], out["minus_log_sum"])
    close(out["log_z"][0], out["base_log_partition"])
    close(out["log_weight"], out["free_energy"][1] - out["free_energy"][2])
    (states_v, log_v), (states_h, log_h) = v, h
    energies = out["energies"][1]
    given_v = log_h - energies[len(log_v) // 2]
    given_h = log_v - energies[:, len(log_h) // 2]
    check_draws(out["hidden"], states_h, jax.nn.softmax(given_v))
    check_draws(out["visible"], states_v, jax.nn.softmax(given_h))
    return out["energies"]


def check_draws(draws, states, p):
    """First and second moments within five standard errors."""
    draws, states = (moments(np.asarray(rows_of(x))) for x in (draws, states))
    mean = p @ states
    variance = np.maximum(p @ states**2 - mean**2, 0)
    # No error where there is no spread: two categories of a site are never both on.
    z = (draws.mean(axis=0) - mean) / (np.sqrt(variance / NUM_DRAWS) + 1e-9)
    assert np.abs(z).max() < 5


def moments(x):
    products = x[:, :, None] * x[:, None, :]
    return np.concatenate([x, products.reshape(len(x), -1)], axis=1)


@each_model
def test_a_rung_is_between_the_base_and_the_model(model, getkey, x64):
    annealed = Annealed(model)
    params = draw_like(jax.eval_shape(annealed.init, getkey()), getkey(), 0.3)
    visible, hidden = model.blocks(model.units)
    v, h = states_of_block(visible), states_of_block(hidden)
    base, rung, own = check_rungs(annealed, params, v, h, getkey())
    close(rung, 0.7 * base + 0.3 * own)
    energy = jax.vmap(partial(model.energy, params.params), in_axes=(None, 0))
    close(own, jax.vmap(energy, in_axes=(0, None))(v[0], h[0]))

    # The layers of the base are independent: each with its own record alone.
    def energies_of(units, records, x):
        if not isinstance(units, tuple):
            return jax.vmap(partial(units.energy, records))(x)
        terms = zip(units, records, x, strict=True)
        return sum(jax.vmap(partial(u.energy, p))(y) for u, p, y in terms)

    records = model.blocks(params.base)
    alone = map(energies_of, (visible, hidden), records, (v[0], h[0]))
    close(base, np.add.outer(*map(np.asarray, alone)))


def test_a_spike_and_slab_rung_scales_the_parameters(getkey, x64):
    """√β W, √β μ, βΦ, βb, βa, βΛ and α, plus (1 − β) times the Gaussian base."""
    model = jboltz.SpikeAndSlab(1, 2)
    annealed = AnnealedSpikeAndSlab(model)
    params = draw_like(jax.eval_shape(annealed.init, getkey()), getkey(), 0.3)
    v = states_of(jboltz.Gaussian(1))
    (spikes, _), (slabs, log_h) = states_of(jboltz.Bernoulli(2)), slab_states()
    pairs = np.indices((len(spikes), len(slabs))).reshape(2, -1)
    h = SpikeSlab(spikes=spikes[pairs[0]], slabs=slabs[pairs[1]])
    energies = check_rungs(annealed, params, v, (h, log_h[pairs[1]]), getkey())
    own, (base,) = params.params, params.base
    for beta, got in zip(BETAS, energies, strict=True):
        scaled = own.replace(
            weights=np.sqrt(beta) * own.weights,
            slab_mean=np.sqrt(beta) * own.slab_mean,
            spike_bias=beta * own.spike_bias,
            visible_bias=beta * own.visible_bias,
            log_visible_precision=own.log_visible_precision + np.log(beta + 1e-300),
            log_penalty=own.log_penalty + np.log(beta + 1e-300),
        )
        energy = jax.vmap(partial(model.energy, scaled), in_axes=(None, 0))
        expected = jax.vmap(energy, in_axes=(0, None))(v[0], h)
        of_base = jax.vmap(partial(jboltz.Gaussian(1).energy, base))(v[0])
        close(got, expected + (1 - beta) * of_base[:, None])


def slab_states():
    """Quadrature nodes of two slabs, fewer than `states_of` takes."""
    nodes, weights = np.polynomial.legendre.leggauss(48)
    index = np.indices((48, 48)).reshape(2, -1)
    slabs = 10 * nodes[index].T
    return jnp.asarray(slabs), jnp.asarray(np.log(100 * weights[index].prod(axis=0)))


def test_a_base_is_fitted_to_data_at_the_bottom_alone(getkey):
    model = SwappedLayers(jboltz.DBM(BERNOULLI[:3]))
    values = jnp.ones((4, 3))
    bottom, *others = Annealed(model).fit_base(values)
    close(bottom.bias, np.log(5.0), rtol=1e-6)  # (4 + 1)/(4 + 2): never 0 or 1
    assert not any(np.any(x) for x in jax.tree.leaves(others))


def test_rungs_of_a_vmap_over_beta_share_the_weights(getkey):
    """One product of all rungs, and no copy of W for any."""
    model = Annealed(jboltz.RBM(jboltz.Bernoulli(7), jboltz.Bernoulli(5)))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    rungs = params.replace(beta=jnp.linspace(0, 1, 3))
    axes = rungs.replace(params=None, base=None, beta=0)
    free_energies = jax.vmap(model.free_energy, in_axes=(axes, 0))
    jaxpr = str(jax.make_jaxpr(free_energies)(rungs, jnp.ones((3, 7))))
    assert "f32[3,7,5]" not in jaxpr
    assert "f32[3,5]" in jaxpr


def test_gibbs_runs_on_a_rung(getkey):
    model = Annealed(jboltz.RBM(jboltz.Bernoulli(3), jboltz.Bernoulli(2)))
    params = model.init(getkey())
    sampler = jboltz.Gibbs(model)
    state = sampler.init(params, model.sample_start(params, getkey()), getkey())
    state, _ = run(sampler, params, state, getkey(), num_steps=2)
    assert state.visible.shape == (3,)


def test_a_unit_that_is_not_exact_is_refused():
    with pytest.raises(ValueError, match="`model` has the layer NoisyReLU"):
        Annealed(jboltz.RBM(jboltz.Bernoulli(2), jboltz.NoisyReLU(2)))


def test_the_swapped_model_is_the_model_from_the_other_side(getkey):
    model = jboltz.RBM(jboltz.Bernoulli(3), jboltz.Spin(2))
    swapped, params = SwappedLayers(model), model.init(getkey())
    v, h, key = jnp.asarray([1.0, 0.0, 1.0]), jnp.asarray([-1.0, 1.0]), getkey()
    assert swapped.energy(params, h, v) == model.energy(params, v, h)
    assert swapped.free_energy(params, h) == model.hidden_free_energy(params, h)
    assert swapped.hidden_free_energy(params, v) == model.free_energy(params, v)
    close(swapped.sample_hidden(params, h, key), model.sample_visible(params, h, key))
    close(swapped.sample_visible(params, v, key), model.sample_hidden(params, v, key))
    assert set(np.ravel(swapped.sample_start(params, key))) <= {-1.0, 1.0}
