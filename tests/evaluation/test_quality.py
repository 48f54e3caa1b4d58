"""Samples are compared with as many images, and copies are found out."""

import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.evaluation.quality import REAL, sample_quality, spread
from tests.experiments.pretraining import dataset


def test_quality_of_copies_and_of_the_test_images_themselves():
    train, test = (
        jnp.asarray(x, jnp.float32) / 255 for x in (dataset().train, dataset().test)
    )
    np.testing.assert_array_equal(spread(np.arange(170), 20), 8 * np.arange(20))
    samples = {"copies": train[:160:8], "again": test}
    table = sample_quality(train, test, samples, (8, 8))
    assert list(table) == [REAL, "copies", "again"]
    assert table["again"] == table[REAL]
    assert table["copies"]["nearest_training"] == pytest.approx(0, abs=1e-3)
    assert table["copies"]["precision"] == table["copies"]["coverage"] == 1
    assert table["copies"]["adversarial_accuracy"] == 0
    with pytest.raises(ValueError, match="19 of short but 20 test images"):
        sample_quality(train, test, {"short": test[:19]}, (8, 8))
