"""Classes of label units, and how often they are wrong."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz import Bernoulli
from tests.helpers import draw_like, rng_of

MODEL = jboltz.LabelledDBN.chain(*map(Bernoulli, (5, 4, 3)), num_classes=3)


def draw_case(getkey):
    params = draw_like(jax.eval_shape(MODEL.init, getkey()), getkey(), scale=1.0)
    images = rng_of(getkey()).integers(0, 256, (7, 5)).astype(np.uint8)
    return params, images


def test_examples_are_classified_one_by_one_gray_as_they_are(getkey):
    params, images = draw_case(getkey)
    got = jboltz.classify(MODEL, params, images, batch_size=3)
    one = jax.jit(partial(MODEL.label_log_probabilities, params))
    expected = np.stack([one(jnp.asarray(v / 255, jnp.float32)) for v in images])
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    code = jax.vmap(partial(MODEL.below.encode, params[:1]))(
        jnp.asarray(images / 255, jnp.float32)
    )
    of_top = jboltz.classify(MODEL.top, params[-1], code)
    np.testing.assert_allclose(of_top, expected, rtol=1e-5)


def test_an_error_rate_has_the_standard_error_of_a_share():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.5, 0.4, 0.1]])
    labels = np.array([0, 1, 0, 1])
    found = jboltz.error_rate(np.log(p), labels)
    assert (found.error, found.num_examples) == (0.5, 4)
    np.testing.assert_allclose(found.standard_error, np.sqrt(0.5 * 0.5 / 3))
    expected = -np.mean(np.log([0.7, 0.8, 0.3, 0.4]))
    np.testing.assert_allclose(found.cross_entropy, expected)
    for wrong, words in (
        (None, "`labels` is None"),
        (labels[:3], r"\(3,\) but there are 4"),
        (labels + 2, "from 2 to 3 but 3 classes"),
    ):
        with pytest.raises(ValueError, match=words):
            jboltz.error_rate(np.log(p), wrong)
