"""Anomaly scores are free energies of data whose binarisation is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from tests.helpers import draw_like, rng_of

RBM = jboltz.RBM(jboltz.Bernoulli(4), jboltz.Bernoulli(3))


def test_scores_are_log_probabilities_up_to_log_z(getkey):
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey())
    gray = rng_of(getkey()).random((6, 4))
    data = jboltz.binarise_once(gray, seed=3)
    scores = jboltz.anomaly_scores(RBM, params, data, batch_size=4)
    assert scores.binarisation == "stochastic once, seed 3"
    log_z = float(jboltz.model_log_partition(RBM, params))
    found = jboltz.log_likelihood(RBM, params, data, log_z)
    np.testing.assert_allclose(found.mean, -scores.values.mean() - log_z, rtol=1e-5)


def test_gray_data_have_no_score_and_others_say_what_they_are(getkey):
    params = RBM.init(getkey())
    with pytest.raises(ValueError, match="is gray"):
        jboltz.anomaly_scores(RBM, params, np.full((2, 4), 0.5))
    binary = jboltz.anomaly_scores(RBM, params, np.eye(4))
    assert binary.binarisation == "already binary"
    real = jboltz.RBM(jboltz.Gaussian(4), jboltz.Bernoulli(3))
    scores = jboltz.anomaly_scores(real, real.init(getkey()), jnp.full((2, 4), 0.5))
    assert scores.binarisation == "real"
