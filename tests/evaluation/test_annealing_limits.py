"""Ladders, intervals and traced estimates of annealing, and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
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
from jboltz.models.annealed import Annealed
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.spike_penalty import NoPenalty
from jboltz.units.bernoulli import BernoulliParams
from tests.evaluation.test_annealing import BETAS, RBM, B, draw_rbm, layers
from tests.helpers import binary_states, draw_like


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
