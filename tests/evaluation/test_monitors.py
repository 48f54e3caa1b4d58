"""Monitors are what their formulas say: closed forms, and plain loops in NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.evaluation.monitors import (
    covariance_spectrum,
    layer_monitors,
    reconstruction_errors,
    sparsity_monitors,
    spectrum_monitors,
    update_norm,
)
from tests.helpers import draw_like, rng_of

UNITS = [jboltz.Bernoulli(size) for size in (6, 5, 4)]


def numbers(metrics):
    return {name: float(x) for name, x in metrics.items()}


def test_a_geometric_spectrum_has_its_rate(x64):
    s = 3 * jnp.exp(-0.5 * jnp.arange(8.0))
    found = numbers(spectrum_monitors(s))
    assert found["decay_rate"] == pytest.approx(0.5, rel=1e-9)
    assert found["mean_ratio"] == pytest.approx(np.exp(-0.5), rel=1e-9)
    assert found["k90"] == 3  # 1 − e⁻ᵏ: 0.86 at k = 2, 0.95 at k = 3


def test_what_is_negligible_does_not_enter_the_rate(x64):
    s = jnp.asarray([1.0, 0.1, 0.01, 1e-7, 0.0])
    found = numbers(spectrum_monitors(s))
    assert found["decay_rate"] == pytest.approx(np.log(10), rel=1e-9)
    assert found["mean_ratio"] == pytest.approx(0.1, rel=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-25])
def test_equal_singular_values_count_each(scale):
    s = scale * jnp.concatenate([jnp.ones(4), jnp.zeros(3)])
    found = numbers(spectrum_monitors(s))
    assert found["decay_rate"] == pytest.approx(0, abs=1e-6)
    assert found["effective_rank"] == pytest.approx(4, rel=1e-5)
    assert found["participation"] == pytest.approx(4, rel=1e-5)
    assert found["k90"] == 4


def test_without_two_singular_values_there_is_no_rate():
    one = numbers(spectrum_monitors(jnp.asarray([2.0, 0.0])))
    assert np.isnan(one["decay_rate"])
    assert one["effective_rank"] == one["participation"] == one["k90"] == 1
    none = numbers(spectrum_monitors(jnp.zeros(3)))
    assert all(np.isnan(x) for x in none.values())


def test_the_spectrum_is_that_of_a_covariance_known_by_its_factors(x64, getkey):
    """Columns of Q are orthonormal and centred, so the covariance is U diag(s) Vᵀ."""
    rng = rng_of(getkey())
    centred = rng.normal(size=(30, 3))
    q, _ = np.linalg.qr(centred - centred.mean(axis=0))
    left, _ = np.linalg.qr(rng.normal(size=(5, 3)))
    right, _ = np.linalg.qr(rng.normal(size=(4, 3)))
    s = np.array([2.0, 0.5, 0.1])
    lower, upper = 29 * q * s @ left.T + 7, q @ right.T - 1
    found = covariance_spectrum(jnp.asarray(lower), jnp.asarray(upper))
    np.testing.assert_allclose(found[:3], s, rtol=1e-9)
    assert found[3] < 1e-12


def test_units_are_counted_by_how_active_they_are():
    q = jnp.asarray([0.005, 0.02, 0.05, 0.1, 0.15, 0.5, 0.995, 1.0])
    found = numbers(sparsity_monitors(q))
    assert found == pytest.approx(
        {
            "mean_activity": float(q.mean()),
            "sparse_share": 3 / 8,
            "dead_share": 1 / 8,
            "saturated_share": 2 / 8,
        }
    )


@pytest.mark.parametrize("depth", [1, 2])
def test_a_layer_is_followed_on_the_means_that_reach_it(depth, getkey, x64):
    dbn = jboltz.DBN.chain(*UNITS)
    params = draw_like(jax.eval_shape(dbn.init, getkey()), getkey(), 1.0)
    data = rng_of(getkey()).uniform(size=(20, 6))
    monitor = jax.jit(partial(layer_monitors, dbn))
    found = numbers(monitor(params[:depth], jnp.asarray(data)))
    arrays = jax.tree.map(np.asarray, params)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    means = [data]
    for p in arrays[:depth]:
        means.append(sigmoid(means[-1] @ p.weights + p.hidden.bias))
    down = [means[-1]]
    for p in reversed(arrays[:depth]):
        down.append(sigmoid(down[-1] @ p.weights.T + p.visible.bias))
    covariance = np.zeros((means[-2].shape[1], means[-1].shape[1]))
    for x, y in zip(*(m - m.mean(axis=0) for m in means[-2:]), strict=True):
        covariance += np.outer(x, y) / (len(data) - 1)
    s = np.linalg.svd(covariance, compute_uv=False)
    p = s / s.sum()
    q = means[-1].mean(axis=0)
    expected = {
        "decay_rate": -np.polyfit(np.arange(len(s)), np.log(s), 1)[0],
        "mean_ratio": np.mean(s[1:] / s[:-1]),
        "effective_rank": np.exp(-np.sum(p * np.log(p))),
        "participation": np.sum(s**2) ** 2 / np.sum(s**4),
        "k90": next(k for k in range(1, 9) if sum(s[:k] ** 2) >= 0.9 * sum(s**2)),
        "through_error": np.mean((data - down[-1]) ** 2),
        "local_error": np.mean((means[-2] - down[1]) ** 2),
        "weight_norm": np.sqrt(np.sum(arrays[depth - 1].weights ** 2)),
        "mean_activity": q.mean(),
        "sparse_share": np.mean([0.05 <= x <= 0.15 for x in q]),
        "dead_share": np.mean([x < 0.01 for x in q]),
        "saturated_share": np.mean([x > 0.99 for x in q]),
    }
    assert found == pytest.approx(expected, rel=1e-9)
    errors = reconstruction_errors(dbn, params, jnp.asarray(data))
    assert errors[depth - 1] == pytest.approx(found["through_error"], rel=1e-9)


def test_units_that_are_no_probabilities_have_no_sparsity(getkey):
    dbn = jboltz.DBN.chain(jboltz.Bernoulli(4), jboltz.Gaussian(3))
    found = layer_monitors(dbn, dbn.init(getkey()), jnp.eye(4))
    assert "decay_rate" in found
    assert "mean_activity" not in found


def test_a_layer_over_real_units_is_followed_too(getkey, x64):
    """Up by v/σ², down to μ + W h: errors are those of the real means."""
    dbn = jboltz.DBN.chain(jboltz.Gaussian(5), jboltz.Bernoulli(4), jboltz.Bernoulli(3))
    params = draw_like(jax.eval_shape(dbn.init, getkey()), getkey(), 1.0)
    data = 3 * rng_of(getkey()).normal(size=(20, 5))
    found = numbers(layer_monitors(dbn, params[:1], jnp.asarray(data)))
    p = jax.tree.map(np.asarray, params[0])
    precision = np.exp(-p.visible.log_variance)
    h = 1 / (1 + np.exp(-((data * precision) @ p.weights + p.hidden.bias)))
    error = np.mean((data - (p.visible.mean + h @ p.weights.T)) ** 2)
    assert found["through_error"] == pytest.approx(error, rel=1e-9)
    assert found["local_error"] == pytest.approx(error, rel=1e-9)
    assert found["mean_activity"] == pytest.approx(h.mean(), rel=1e-9)
    errors = reconstruction_errors(dbn, params, jnp.asarray(data))
    assert errors[0] == pytest.approx(error, rel=1e-9)
    above = numbers(layer_monitors(dbn, params, jnp.asarray(data)))
    assert errors[1] == pytest.approx(above["through_error"], rel=1e-9)


def test_an_update_is_as_long_as_what_it_adds(getkey):
    rbm = jboltz.RBM(*UNITS[:2])
    before = rbm.init(getkey())
    after = before.replace(weights=before.weights + 0.5)
    assert float(update_norm(before, after)) == pytest.approx(0.5 * np.sqrt(30))
