"""log Z from both sides in one call."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.evaluation.sandwich import _advice, sandwiched_log_partition
from jboltz.evaluation.settings import Tempering
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from tests.helpers import draw_like, rng_of

B = jboltz.Bernoulli
SHORT = Tempering(
    ladder_scale=0.01, annealed_chains=50, num_replicas=4, tempering_steps=200
)
MODELS = {
    "RBM": jboltz.RBM(B(6), B(4)),
    "DBM": jboltz.DBM((B(5), B(3), B(2))),
}


@pytest.mark.parametrize("name", MODELS)
def test_both_ends_enclose_the_exact_value(name, getkey):
    model = MODELS[name]
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    size = model.units[0].size
    data = rng_of(getkey()).integers(0, 2, (20, size)).astype(float)
    found = sandwiched_log_partition(model, params, data, getkey(), settings=SHORT)
    value, lower, upper = found.log_partition
    exact = float(jboltz.model_log_partition(model, params))
    assert lower < exact < upper
    assert upper - lower < 1
    assert lower < value < upper
    assert found.advice.startswith("Both agree within their errors")
    if name == "RBM":
        jboltz.log_likelihood(model, params, data, found.log_partition)


def test_it_takes_the_annealed_form_of_other_models(getkey):
    model = jboltz.SpikeAndSlab(2, 1)
    params = model.init(getkey())
    data = rng_of(getkey()).normal(size=(30, 2))
    annealed = AnnealedSpikeAndSlab(model)
    found = sandwiched_log_partition(annealed, params, data, getkey(), settings=SHORT)
    assert np.isfinite(found.log_partition).all()


def estimate(value, half=0.1, ess=50.0):
    return LogEstimate(
        value=value,
        lower=value - half,
        upper=value + half,
        effective_samples=ess,
        log_weights=np.zeros(100),
    )


@pytest.mark.parametrize(
    ("forward", "reverse", "round_trips", "words"),
    [
        (estimate(1.0), estimate(1.05), 500, "Both agree within their errors"),
        (estimate(1.0), estimate(1.05), 20, "may not follow .* 20 round trips"),
        (estimate(1.0), estimate(2.0), 500, "The ladder is too short"),
        (estimate(2.0), estimate(1.0), 500, "may not follow the model"),
        (
            estimate(1.0, np.nan, 3.0),
            estimate(1.0),
            500,
            "no interval: .* 3.0 and 50.0",
        ),
    ],
)
def test_advice_says_which_direction_is_wrong(forward, reverse, round_trips, words):
    assert re.search(words, _advice(forward, reverse, round_trips))


def test_what_it_cannot_take_is_refused(getkey):
    model = MODELS["RBM"]
    params, data = model.init(getkey()), jnp.ones((3, 6))
    with pytest.raises(ValueError, match="is gray"):
        sandwiched_log_partition(model, params, data / 2, getkey())
