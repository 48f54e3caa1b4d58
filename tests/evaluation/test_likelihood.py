"""Likelihoods, and the data that have one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.evaluation.examples import as_examples, binarise_by_threshold, binarise_once
from jboltz.evaluation.log_estimate import log_estimate
from jboltz.evaluation.partition import log_partition
from tests.helpers import (
    binary_states,
    draw_like,
    errors_without_hook,
    rng_of,
    standard_errors,
)

MODEL = jboltz.RBM(jboltz.Bernoulli(5), jboltz.Bernoulli(3))


def draw_model(model, getkey, scale=1.0):
    return draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale)


def test_probabilities_of_all_states_sum_to_one(getkey, x64):
    params, states = draw_model(MODEL, getkey), binary_states(5)
    log_z = log_partition(partial(MODEL.hidden_free_energy, params), 3)
    log_p = [
        jboltz.log_likelihood(MODEL, params, v[None], log_z).mean for v in states[:4]
    ]
    free = jax.jit(jax.vmap(MODEL.free_energy, in_axes=(None, 0)))(params, states)
    expected = jax.nn.log_softmax(-free)
    np.testing.assert_allclose(log_p, expected[:4], rtol=1e-9)
    got = jboltz.log_likelihood(MODEL, params, states, log_z, batch_size=7)
    np.testing.assert_allclose(got.mean, expected.mean(), rtol=1e-9)
    error = np.std(expected, ddof=1) / np.sqrt(32)
    np.testing.assert_allclose(got.standard_error, error, rtol=1e-9)
    assert got.lower == got.mean == got.upper
    assert (got.quantity, got.num_examples) == ("log-likelihood", 32)
    assert got.binarisation == "already binary"


def test_the_interval_of_log_z_is_carried_over(getkey):
    params = draw_model(MODEL, getkey)
    data = binary_states(5)
    got = jboltz.log_likelihood(MODEL, params, data, (4.0, 3.0, 6.0))
    np.testing.assert_allclose([got.mean - got.lower, got.upper - got.mean], [2, 1])
    estimate = log_estimate(np.log(np.arange(50.0, 150.0)), 3.0)
    bounds = (estimate.value, estimate.lower, estimate.upper)
    assert jboltz.log_likelihood(
        MODEL, params, data, estimate
    ) == jboltz.log_likelihood(MODEL, params, data, bounds)
    open_below = jboltz.log_likelihood(MODEL, params, data, (4.0, -np.inf, 6.0))
    assert open_below.upper == np.inf
    none = jboltz.log_likelihood(MODEL, params, data, (4.0, np.nan, np.nan))
    assert np.isnan(none.lower)
    assert np.isfinite(none.mean)


def test_weights_count_examples(getkey):
    params = draw_model(MODEL, getkey)
    data = as_examples(binary_states(5)[:4], MODEL.domain)
    weighted = data.replace(weights=jnp.array([2.0, 0.0, 1.0, 0.0]))
    repeated = data.values[jnp.array([0, 0, 2])]
    got = jboltz.log_likelihood(MODEL, params, weighted, 0.0)
    expected = jboltz.log_likelihood(MODEL, params, repeated, 0.0)
    np.testing.assert_allclose(got.mean, expected.mean, rtol=2e-5)
    alone = jboltz.log_likelihood(MODEL, params, repeated[:1], 0.0)
    assert np.isnan(alone.standard_error)


def test_a_weighted_standard_error_is_that_of_the_mean(getkey):
    """Over draws of examples and their weights together."""
    params = draw_model(MODEL, getkey)
    rng = rng_of(getkey())
    states, means, errors = binary_states(5), [], []
    free = jax.jit(jax.vmap(MODEL.free_energy, in_axes=(None, 0)))(params, states)
    weights = rng.uniform(0.5, 1.5, size=200)
    from jboltz.evaluation.likelihood import weighted_mean_and_error

    for _ in range(400):
        values = np.asarray(free)[rng.integers(0, 32, size=200)]
        mean, error = weighted_mean_and_error(values, weights)
        means.append(mean)
        errors.append(error)
    # A standard deviation of 400 draws is known to 3.5 %.
    np.testing.assert_allclose(np.std(means), np.mean(errors), rtol=5 * 0.036)


def test_real_data_have_a_density(getkey):
    model = jboltz.SpikeAndSlab(3, 2)
    params = model.init(getkey())
    data = rng_of(getkey()).normal(size=(6, 3)).astype(np.float32)
    got = jboltz.log_likelihood(model, params, data, 0.0)
    free = jax.jit(jax.vmap(model.free_energy, in_axes=(None, 0)))(
        params, jnp.asarray(data)
    )
    np.testing.assert_allclose(got.mean, -free.mean(), rtol=2e-5)
    assert got.binarisation == "real"


def test_an_image_beside_its_label_is_named_in_its_parts():
    domain = jboltz.Joined(jboltz.Bernoulli(2), jboltz.Softmax(1, 3)).domain
    data = (np.ones((4, 2), bool), np.eye(3)[[[0], [1], [2], [0]]])
    assert as_examples(data, domain).binarisation == "already binary, one-hot"


# How gray data become binary.

GRAY = np.array([[0, 100, 128], [255, 127, 200]], np.uint8)


def test_a_threshold():
    got = binarise_by_threshold(GRAY)
    assert got.binarisation == "threshold 0.5"
    np.testing.assert_array_equal(got.values, [[0, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(binarise_by_threshold(GRAY / 255).values, got.values)
    low = binarise_by_threshold(GRAY, 0.3)
    assert (low.binarisation, float(low.values.sum())) == ("threshold 0.3", 5)


def test_one_draw_has_the_gray_means_and_does_not_depend_on_the_rest(getkey):
    got = binarise_once(np.tile(GRAY, (2000, 1)), seed=3)
    assert got.binarisation == "stochastic once, seed 3"
    draws = np.asarray(got.values).reshape(2000, -1)
    assert not draws[:, 0].any()
    assert draws[:, 3].all()
    expected = GRAY.ravel()[[1, 2, 4, 5]] / 255
    assert standard_errors(draws[:, [1, 2, 4, 5]], expected).max() < 5
    few = binarise_once(GRAY, seed=3)
    np.testing.assert_array_equal(few.values, got.values[:2])


def test_a_result_says_how_its_data_became_binary(getkey):
    model = jboltz.RBM(jboltz.Bernoulli(3), jboltz.Bernoulli(2))
    params = draw_model(model, getkey)
    for data in (binarise_by_threshold(GRAY), binarise_once(GRAY, seed=0)):
        got = jboltz.log_likelihood(model, params, data, 0.0)
        assert got.binarisation == data.binarisation


REFUSED = {
    "log_likelihood(rbm, p, np.full((4, 2), 0.3), 0.0)": "`binarise_once`",
    "pseudo_log_likelihood(rbm, p, np.full((4, 2), 0.3))": "`binarise_once`",
    "log_likelihood(rbm, p, np.ones((4, 2), np.uint8), 0.0)": ".astype(bool)",
    "log_likelihood(rbm, p, binarise_by_threshold(np.full((4, 2), 7.0)), 0.0)": (
        "scale them first"
    ),
    "log_likelihood(rbm, p, np.full((4, 2), np.nan), 0.0)": "NaN or infinite",
    "log_likelihood(rbm, p, np.ones((0, 2)), 0.0)": "at least 1",
    "log_likelihood(rbm, p, np.ones((4, 2)), np.nan)": "within its bounds",
    "log_likelihood(rbm, p, np.ones((4, 2)), (1.0, 2.0, 3.0))": "within its bounds",
    "log_likelihood(rbm, p, np.ones((4, 2)), 0.0, batch_size=0)": "`batch_size` is 0",
    "log_likelihood(rbm, p, np.array([['a', 'b']]), 0.0)": "need numbers",
    "log_likelihood(rbm, p, EvaluationData(np.ones((4, 2)), '', np.ones(3)), 0.0)": (
        "one weight each"
    ),
    "log_likelihood(rbm, p, np.ones((4, 3)), 0.0)": "has shape (3,)",
    "log_likelihood(dbn, p, np.ones((4, 2)), 0.0)": "without domain, but",
    "log_likelihood(grbm, g, np.ones((4, 2), np.uint8), 0.0)": "standardise them",
    "log_likelihood(noisy, n, np.ones((4, 2)), 0.0)": "the layer NoisyReLU",
    "log_likelihood(rbm, g, np.ones((4, 2)), 0.0)": "GaussianParams, BernoulliParams",
    "log_likelihood(rbm, short, np.ones((4, 2)), 0.0)": "`params.hidden.bias` has",
    "pseudo_log_likelihood(rbm, short, np.ones((4, 2)))": "bias` has shape (1,)",
    "free_energy_gap(rbm, short, *(np.ones((4, 2)),) * 2)": "bias` has shape (1,)",
    "dbm_bound(dbm, d, np.ones((4, 2)), 0.0)": "needs DBMParams",
    "dbn_bounds(stack, m, np.ones((4, 2)), 0.0, key)": "is DBMParams",
    "pseudo_log_likelihood(relu, r, np.ones((4, 2)))": "(`EnumerableUnit`)",
    "pseudo_log_likelihood(gg, q, np.ones((4, 2)))": "hidden units of bounded activity",
    "pseudo_log_likelihood(spin, s, np.zeros((4, 2)))": "spins are exactly -1 or 1",
    "pseudo_log_likelihood(potts, t, np.zeros((4, 1, 2)))": "a single 1 among zeros",
    "dbn_bounds(stack, d, np.ones((4, 2)), 0.0, key, num_samples=0)": "`num_samples`",
    "dbn_bounds(stack, d, np.full((4, 2), 0.5), 0.0, key)": "is gray",
    "dbm_bound(dbm, m, np.full((4, 2), 0.5), 0.0)": "is gray",
}
SETUP = """
import jax, numpy as np
from jboltz import *
from jboltz.evaluation.examples import *
key = jax.random.key(0)
def make(v, h):
    return RBM(v, h), RBM(v, h).init(key)
rbm, p = make(Bernoulli(2), Bernoulli(3))
grbm, g = make(Gaussian(2), Bernoulli(3))
relu, r = make(ReLU(2), Bernoulli(3))
gg, q = make(Gaussian(2), Gaussian(3))
spin, s = make(Spin(2), Bernoulli(3))
potts, t = make(Softmax(1, 2), Bernoulli(3))
noisy, n = make(Bernoulli(2), NoisyReLU(3))
short = p.replace(hidden=BernoulliParams(bias=np.zeros(1, np.float32)))
stack = DBN.chain(Bernoulli(2), Bernoulli(3), Bernoulli(2))
dbm = DBM((Bernoulli(2), Bernoulli(3), Bernoulli(2)))
d, m = stack.init(key), dbm.init(key)
class NoDomain:
    free_energy = rbm.free_energy
dbn = NoDomain()
"""


def test_what_has_no_likelihood_is_refused():
    for call, error in errors_without_hook(SETUP, REFUSED).items():
        assert REFUSED[call] in error, f"{call}: {error}"


@pytest.mark.parametrize("count", [1, 3])
def test_batches_need_not_divide_the_examples(count, getkey):
    params = draw_model(MODEL, getkey)
    data = binary_states(5)[:count]
    got = jboltz.log_likelihood(MODEL, params, data, 0.0, batch_size=2)
    free = jax.jit(jax.vmap(MODEL.free_energy, in_axes=(None, 0)))(params, data)
    np.testing.assert_allclose(got.mean, -np.mean(free), rtol=2e-5)


def test_a_mask_without_gaps_is_no_mask():
    model = jboltz.RBM(jboltz.Bernoulli(3), jboltz.Bernoulli(2))
    params, rows = model.init(jax.random.key(0)), np.eye(3)
    whole = jboltz.Batch(values=rows, mask=np.ones((3, 3), bool))
    found = jboltz.log_likelihood(model, params, whole, 0.0)
    assert found.mean == jboltz.log_likelihood(model, params, rows, 0.0).mean
    gaps = whole.replace(mask=~np.eye(3, dtype=bool))
    with pytest.raises(ValueError, match="marks gaps"):
        jboltz.log_likelihood(model, params, gaps, 0.0)
