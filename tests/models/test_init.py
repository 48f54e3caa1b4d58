"""`init(key, data=…)`: every model starts from its data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz import Bernoulli, Gaussian, Softmax
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.swapped import SwappedLayers

RNG = np.random.default_rng(0)
BINARY = (RNG.random((50, 6)) < np.linspace(0.02, 0.9, 6)).astype(np.float32)
REAL = (RNG.normal(size=(50, 6)) * np.arange(1, 7) + 3).astype(np.float32)
LABELS = np.eye(3, dtype=np.float32)[RNG.integers(0, 3, 50)][:, None]
KEY = jax.random.key(0)

RBM = jboltz.RBM(Bernoulli(6), Bernoulli(4))
DBM = jboltz.DBM((Bernoulli(6), Bernoulli(4), Bernoulli(3)))
LABELLED = jboltz.LabelledDBN.chain(*map(Bernoulli, (6, 4, 3)), num_classes=3)


def log_odds(values):
    """Of the means, with one more example of each value."""
    values = np.asarray(values, np.float64)
    on, count = values.sum(axis=0), len(values)
    return np.log((on + 1) / (count - on + 1))


def moments(values):
    """Mean and variance, with one more example of variance 1."""
    values, count = np.asarray(values, np.float64), len(values)
    return values.mean(axis=0), (values.var(axis=0) * count + 1) / (count + 1)


@pytest.mark.parametrize(
    ("model", "data", "bias_of"),
    [
        (RBM, BINARY, lambda p: p.visible.bias),
        (DBM, BINARY, lambda p: p.units[0].bias),
        (SwappedLayers(DBM), BINARY, lambda p: p.units[0].bias),
        (jboltz.DBN(LABELLED.below.layers), BINARY, lambda p: p[0].visible.bias),
        (LABELLED, (BINARY, LABELS), lambda p: p[0].visible.bias),
        (jboltz.Annealed(RBM), BINARY, lambda p: p.params.visible.bias),
        (jboltz.Annealed(DBM), BINARY, lambda p: p.base[0].bias),
    ],
    ids=["RBM", "DBM", "swapped", "DBN", "labelled", "annealed", "annealed DBM"],
)
def test_visible_biases_are_the_log_odds_of_the_data(model, data, bias_of):
    """And all else is what it is without data."""
    start, plain = model.init(KEY, data=data), model.init(KEY)
    np.testing.assert_allclose(bias_of(start), log_odds(BINARY), rtol=1e-5)
    assert not np.any(bias_of(plain))
    assert jax.tree.structure(start) == jax.tree.structure(plain)
    kept = [
        (x, y)
        for x, y in zip(jax.tree.leaves(start), jax.tree.leaves(plain), strict=True)
        if x.shape not in [(6,), (1, 3)]
    ]
    assert len(kept) > 1
    for x, y in kept:
        np.testing.assert_array_equal(x, y)


def test_label_biases_are_those_of_the_labels():
    top = LABELLED.init(KEY, data=(BINARY, LABELS))[-1]
    fitted = Softmax(1, 3).fit(jnp.asarray(LABELS))
    np.testing.assert_array_equal(top.visible.second.bias, fitted.bias)
    assert np.ptp(np.asarray(fitted.bias)) > 0


def test_a_gaussian_start_has_the_moments_of_the_data():
    rbm = jboltz.RBM(Gaussian(6), Bernoulli(4))
    mean, variance = moments(REAL)
    visible = rbm.init(KEY, data=REAL).visible
    np.testing.assert_allclose(visible.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(np.exp(visible.log_variance), variance, rtol=1e-5)


def test_a_spike_and_slab_with_its_spikes_off_has_the_moments_of_the_data():
    model = jboltz.SpikeAndSlab(6, 4)
    params = model.init(KEY, data=REAL)
    mean, covariance = model.visible_given_spikes(params, jnp.zeros(4))
    expected = moments(REAL)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-4)
    np.testing.assert_allclose(covariance, np.diag(expected[1]), rtol=1e-4)
    model.check_normalizable(params)
    annealed = AnnealedSpikeAndSlab(model).init(KEY, data=REAL)
    np.testing.assert_allclose(annealed.base[0].mean, expected[0], rtol=1e-4)


def test_data_of_another_type_make_the_same_parameters():
    expected = RBM.init(KEY, data=BINARY)
    for dtype in (bool, np.int8, np.float64, jnp.bfloat16):
        got = RBM.init(KEY, data=BINARY.astype(dtype))
        jax.tree.map(np.testing.assert_array_equal, got, expected)
        assert got.visible.bias.dtype == jnp.float32


def test_data_outside_the_domain_are_refused():
    message = r"`data` .*has 255\.0 in row 0.*binary units take numbers in \[0, 1\]"
    with pytest.raises(ValueError, match=message):
        RBM.init(KEY, data=255 * BINARY)
