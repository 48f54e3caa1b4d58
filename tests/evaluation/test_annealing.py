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
    annealing_ladder,
    clamped_annealed_importance_sampling,
    log_partition_trajectory,
    reverse_ais_log_likelihood,
    reverse_annealed_importance_sampling,
)
from jboltz.evaluation.log_estimate import interval, log_estimate
from jboltz.evaluation.partition import model_log_partition
from jboltz.models.annealed import Annealed, AnnealedParams
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.spike_and_slab import SpikeSlab
from jboltz.models.spike_penalty import NoPenalty
from jboltz.models.swapped import SwappedLayers
from jboltz.units.bernoulli import BernoulliParams
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


# Ladders, intervals and errors.


def test_the_ladder_of_the_paper_has_14500_steps():
    betas = annealing_ladder()
    assert len(betas) == 14_501
    assert (np.diff(betas.astype(np.float32)) > 0).all()
    np.testing.assert_allclose(betas[[500, 4500, -1]], [0.5, 0.9, 1.0])
    assert len(annealing_ladder(10)) == 145_001
    assert (np.diff(annealing_ladder(10).astype(np.float32)) > 0).all()
    with pytest.raises(ValueError, match="`scale` is 0"):
        annealing_ladder(0.0001)


def test_an_interval_is_three_errors_of_the_mean_and_open_below_where_it_must_be():
    w = np.r_[np.full(90, 1.0), np.full(10, 3.0)]
    got, error = log_estimate(np.log(w), 2.0), w.std(ddof=1) / 10
    np.testing.assert_allclose(got.value, 2 + np.log(w.mean()))
    np.testing.assert_allclose(got.lower, 2 + np.log(w.mean() - 3 * error))
    np.testing.assert_allclose(got.upper, 2 + np.log(w.mean() + 3 * error))
    np.testing.assert_allclose(got.effective_samples, w.sum() ** 2 / (w**2).sum())
    # Ten effective samples keep three errors of one mean below it; a path adds errors.
    edge = np.r_[np.zeros(10), np.full(100_000, -60.0)]
    assert np.isfinite(log_estimate(edge, 0.0).lower)
    assert interval(0.0, 0.34, 20.0)[0] == -np.inf


def test_without_effective_samples_there_is_no_interval_and_a_warning(getkey):
    annealed, params, base = draw_rbm(getkey, scale=5.0)
    with pytest.warns(UserWarning, match="effective samples of 10"):
        got = annealed_importance_sampling(
            annealed, params, base, BETAS[[0, -1]], getkey(), num_chains=10
        )
    assert np.isnan(got.lower)
    assert np.isnan(got.upper)
    assert np.isfinite(got.value)


@pytest.mark.parametrize(
    ("deviation", "effective_samples", "error"),
    [(1, 10, 0.04), (2, 4.3, 0.34), (3, 2.6, 1.3), (4, 1.9, 3.1)],
)
def test_how_low_an_estimate_is_follows_from_its_effective_samples(
    deviation, effective_samples, error
):
    """The numbers of `reverse_ais_log_likelihood`: 20 log-normal weights of mean 1."""
    normal = np.random.default_rng(0).normal(size=(20_000, 20))
    got = log_estimate(deviation * normal - deviation**2 / 2, 0.0)
    np.testing.assert_allclose(-got.value.mean(), error, rtol=0.1)
    ess = np.median(got.effective_samples)
    np.testing.assert_allclose(ess, effective_samples, rtol=0.05)


def test_points_without_an_interval_are_counted(getkey):
    annealed, params, base = draw_rbm(getkey, scale=3.0)
    v = binary_states(4)[3:8]
    with pytest.warns(UserWarning, match=r"none at \d of 5 points.* are low") as caught:
        got = reverse_ais_log_likelihood(
            annealed, params, base, BETAS[[0, -1]], v, getkey(), num_chains=11
        )
    few = got.effective_samples < 10
    assert f"none at {few.sum()} of 5 points" in str(caught[0].message)
    np.testing.assert_array_equal(np.isnan(got.lower), few)
    np.testing.assert_array_equal(np.isnan(got.upper), few)


def test_an_ensemble_is_estimated_by_vmap_as_one_by_one(getkey):
    annealed, params, base = draw_rbm(getkey, scale=0.3)
    ensemble = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), params)
    v, few, key = binary_states(4), binary_states(4)[:3], getkey()

    def estimates(params):
        log_z = annealed_importance_sampling(
            annealed, params, base, BETAS, key, num_chains=30
        )
        half = jax.tree.map(lambda x: 0.5 * x, params)
        path = log_partition_trajectory(RBM, [half, params], [v])
        return log_z, path, jboltz.log_likelihood(RBM, params, few, log_z)

    together = jax.jit(jax.vmap(estimates))(ensemble)
    for index in range(2):
        alone = estimates(jax.tree.map(lambda x, i=index: x[i], ensemble))
        assert alone[0].value.dtype == np.float64
        assert np.isfinite(alone[0].lower)
        for x, y in zip(*map(jax.tree.leaves, (together, alone)), strict=True):
            np.testing.assert_allclose(x[index], y, rtol=1e-4, atol=1e-5)


def test_every_direction_can_be_traced(getkey):
    annealed, params, base = draw_rbm(getkey)
    dbm = jboltz.DBM(layers(4, 3, 2))

    def estimates(params, deep, key, v):
        path = (annealed, params, base, BETAS)
        return (
            reverse_annealed_importance_sampling(*path, v, key),
            reverse_ais_log_likelihood(*path, v, key),
            clamped_annealed_importance_sampling(dbm, deep, BETAS, v, key),
        )

    ensemble = jax.tree.map(lambda x: jnp.stack([x] * 5), params)
    deep = jax.eval_shape(jax.vmap(dbm.init), jax.random.split(getkey(), 5))
    traced = jax.vmap(estimates, in_axes=(0, 0, None, None))
    got = jax.eval_shape(traced, ensemble, deep, getkey(), binary_states(4)[:3])
    for estimate, shape in zip(got, [(5,), (5, 3), (5, 3)], strict=True):
        assert {estimate.value.shape, estimate.lower.shape} == {shape}


def test_a_traced_estimate_is_that_of_the_host(getkey):
    log_weights = 450 + jax.random.normal(getkey(), (3, 40))
    log_weights = log_weights * jnp.asarray([[1.0], [1.0], [3.0]])
    host = log_estimate(log_weights, jnp.arange(3.0))
    traced = jax.jit(log_estimate)(log_weights, jnp.arange(3.0))
    assert np.isnan(host.lower).tolist() == [False, False, True]
    for x, y in zip(*map(jax.tree.leaves, (traced, host)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


@pytest.mark.parametrize(
    "betas",
    [[0.1, 1.0], [0.0, 0.9], [0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5 + 1e-9, 1.0], 1.0],
    ids=["from above 0", "below 1", "a step of 0", "a step of 0 in float32", "one"],
)
def test_a_ladder_that_does_not_increase_from_0_to_1_is_refused(betas, getkey):
    annealed, params, base = draw_rbm(getkey)
    with pytest.raises(ValueError, match=r"`betas` is .* from exactly 0 to exactly 1"):
        annealed_importance_sampling(annealed, params, base, np.array(betas), getkey())


def test_one_chain_is_refused_an_interval(getkey):
    annealed, params, base = draw_rbm(getkey)
    with pytest.raises(
        ValueError, match=r"`num_chains` is 1 .* `jboltz.evaluation.annealing.anneal`"
    ):
        annealed_importance_sampling(
            annealed, params, base, BETAS, getkey(), num_chains=1
        )
    with pytest.raises(
        ValueError, match=r"`samples` is 1 .* `jboltz.evaluation.annealing.anneal`"
    ):
        reverse_annealed_importance_sampling(
            annealed, params, base, BETAS, binary_states(4)[:1], getkey()
        )
    assert anneal is anneal


# Models without a finite Z.

GAUSSIAN, RELU = jboltz.Gaussian, jboltz.ReLU


def calls(annealed, params, base, v, key):
    """Every form of annealing of one model."""
    return [
        lambda: annealed_importance_sampling(annealed, params, base, BETAS, key),
        lambda: reverse_annealed_importance_sampling(
            annealed, params, base, BETAS, v, key
        ),
        lambda: reverse_ais_log_likelihood(annealed, params, base, BETAS, v, key),
        lambda: log_partition_trajectory(annealed.model, [params] * 2, [v]),
    ]


@pytest.mark.parametrize("is_slab", [False, True], ids=["Gaussian", "spike and slab"])
def test_a_model_without_a_finite_z_is_refused_by_all_directions(is_slab, getkey):
    if is_slab:
        model = jboltz.SpikeAndSlab(2, 2, penalty=NoPenalty())
        annealed, message = AnnealedSpikeAndSlab(model), "smallest eigenvalue"
    else:
        model = jboltz.RBM(GAUSSIAN(2), GAUSSIAN(2))
        annealed, message = Annealed(model), "need less than 1 between them"
    params, v = model.init(getkey()), jnp.ones((5, 2))
    wild = params.replace(weights=2 * jnp.eye(2))
    base = annealed.init(getkey()).base
    for call in calls(annealed, wild, base, v, getkey()):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match=message):
        jboltz.log_likelihood(model, wild, v, 0.0)
    with pytest.raises(ValueError, match=message):
        jboltz.sample(model, wild, getkey(), warm_up=1)

    # Parameters that a traced function closes over are known.
    def draw(key, params):
        return jboltz.sample(model, params, key, warm_up=1)

    assert jax.eval_shape(partial(draw, params=params), getkey())
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(partial(draw, params=wild), getkey())
    rung = annealed.init(getkey()).replace(params=wild)
    with pytest.raises(ValueError, match=message):
        jboltz.sample(annealed, rung, getkey(), warm_up=1)


def test_two_gaussian_layers_are_annealed_to_their_closed_form(getkey):
    model = jboltz.RBM(GAUSSIAN(2), GAUSSIAN(2))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 0.4)
    annealed = Annealed(model)
    got = annealed_importance_sampling(
        annealed, params, annealed.init(getkey()).base, np.linspace(0, 1, 30), getkey()
    )
    assert got.lower < model_log_partition(model, params) < got.upper


def test_records_are_checked_at_the_door(getkey):
    annealed, params, base = draw_rbm(getkey)
    short = params.replace(hidden=BernoulliParams(bias=jnp.zeros(1)))
    for call in calls(annealed, short, base, binary_states(4), getkey()):
        with pytest.raises(ValueError, match=r"hidden.bias` has shape \(1,\)"):
            call()
    with pytest.raises(ValueError, match=r"`values` .*has 255\.0 in row 0"):
        annealed.fit_base(255 * binary_states(4)[3:9])
    gray = (BernoulliParams(bias=jnp.full(4, jnp.nan)), *base[1:])
    with pytest.raises(ValueError, match=r"`base\[0\].bias` holds NaN .* \[0, 1\]"):
        annealed_importance_sampling(annealed, params, gray, BETAS, getkey())
    other = Annealed(jboltz.RBM(B(4), jboltz.Spin(3))).fit_base(binary_states(4))
    with pytest.raises(ValueError, match="`base` is BernoulliParams, SpinParams"):
        annealed_importance_sampling(annealed, params, other, BETAS, getkey())


def test_weights_that_are_not_finite_are_told_and_have_no_likelihood(getkey):
    """Parameters that are finite, and energies that are not."""
    annealed, params, base = draw_rbm(getkey)
    params = params.replace(weights=jnp.full((4, 3), 3e38))
    with pytest.warns(UserWarning, match="of 10 chains are not finite"):
        got = annealed_importance_sampling(
            annealed, params, base, BETAS[[0, -1]], getkey(), num_chains=10
        )
    assert np.isnan([got.lower, got.upper]).all()
    with pytest.raises(ValueError, match="`log_partition` is"):
        jboltz.log_likelihood(RBM, params, binary_states(4), got)


def test_a_path_without_its_samples_is_refused(getkey):
    params = draw_rbm(getkey)[1]
    with pytest.raises(ValueError, match="`path` has 2 parameters and `samples` 2"):
        log_partition_trajectory(RBM, [params] * 2, [binary_states(4)] * 2)
