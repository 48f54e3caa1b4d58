"""A start from examples with weights and gaps fits what was observed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz import Batch, Bernoulli, Gaussian, Softmax, Spin
from jboltz.units.composite import Joined
from jboltz.units.start import start_of

RNG = np.random.default_rng(0)
BITS = (RNG.random((400, 5)) < [0.1, 0.3, 0.5, 0.7, 0.9]).astype(np.float32)
MASK = RNG.random((400, 5)) < 0.6


def mean_of(unit, params):
    return np.asarray(unit.mean_state(params, jnp.zeros(unit.size)))


@pytest.mark.parametrize("unit", [Bernoulli(5), Spin(5), Gaussian(5)], ids=str)
def test_every_site_is_fitted_to_its_observed_values(unit):
    """To one example in 400, and the one that smooths."""
    values = 2 * BITS - 1 if isinstance(unit, Spin) else BITS
    gaps = Batch(values=np.where(MASK, values, np.nan), mask=MASK)
    got = mean_of(unit, start_of(unit, gaps))
    expected = [values[MASK[:, i], i].mean() for i in range(5)]
    np.testing.assert_allclose(got, expected, atol=0.02)
    assert np.abs(np.where(MASK, values, 0).mean(axis=0) - expected).max() > 0.2


def test_rows_count_by_their_weights():
    weights = np.where(BITS[:, 2] == 1, 3.0, 1.0).astype(np.float32)
    got = mean_of(Bernoulli(5), start_of(Bernoulli(5), Batch(BITS, weights)))
    expected = np.average(BITS, axis=0, weights=weights)
    np.testing.assert_allclose(got, expected, atol=0.01)


def test_a_batch_of_complete_rows_is_an_array():
    unit = Bernoulli(5)
    jax.tree.map(
        np.testing.assert_array_equal,
        start_of(unit, Batch(values=BITS)),
        start_of(unit, BITS),
    )
    every = Batch(values=BITS, mask=np.ones_like(MASK))
    np.testing.assert_array_equal(start_of(unit, every).bias, start_of(unit, BITS).bias)


def test_one_hot_sites_and_joined_units_have_gaps_too():
    unit = Joined(Softmax(2, 3), Bernoulli(5))
    numbers, seen = RNG.integers(0, 3, (400, 2)), MASK[:, :2]
    values = (np.eye(3, dtype=np.float32)[numbers], BITS)
    batch = Batch(values=values, mask=(seen, MASK))
    got, _ = unit.mean_state(start_of(unit, batch), jnp.zeros(unit.size))
    expected = [np.bincount(numbers[seen[:, i], i], minlength=3) for i in (0, 1)]
    expected = [count / count.sum() for count in expected]
    np.testing.assert_allclose(got, expected, atol=0.02)


def test_a_site_that_was_never_observed_starts_without_preference():
    batch = Batch(values=BITS, mask=np.zeros_like(MASK))
    np.testing.assert_allclose(start_of(Bernoulli(5), batch).bias, 0, atol=1e-6)
    np.testing.assert_array_equal(start_of(Gaussian(5), batch).mean, 0)


@pytest.mark.parametrize(
    "model",
    [
        jboltz.RBM(Bernoulli(5), Bernoulli(2)),
        jboltz.DBM((Bernoulli(5), Bernoulli(2), Bernoulli(2))),
        jboltz.SpikeAndSlab(5, 2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_start_at_data_with_gaps(model):
    params = model.init(jax.random.key(0), data=Batch(values=BITS, mask=MASK))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_a_likelihood_of_data_with_gaps_is_refused_and_says_why():
    rbm = jboltz.RBM(Bernoulli(5), Bernoulli(2))
    params = rbm.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"`data\.mask` .* as hard as log Z"):
        jboltz.log_likelihood(rbm, params, Batch(values=BITS, mask=MASK), 0.0)
    weights = np.ones(400, np.float32)
    one, other = (
        jboltz.log_likelihood(rbm, params, data, 0.0).mean
        for data in (BITS, Batch(BITS, weights))
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)
