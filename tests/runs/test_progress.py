"""What a run says."""

import numpy as np
import pytest

from jboltz.runs.progress import confidence_interval, with_error


@pytest.mark.parametrize(
    ("estimate", "unit", "text"),
    [
        ({"mean": 12.345, "standard_error": 0.5}, "nats", "12.35 ± 0.50 nats"),
        ({"error": 0.5, "standard_error": 0.01}, "%", "50.00 ± 1.00 %"),
        ({"mean": -1.5, "standard_error": None}, "", "-1.50"),
    ],
)
def test_an_estimate_is_shown_with_the_error_that_it_has(estimate, unit, text):
    assert with_error(estimate, 2, unit) == text


def test_95_of_100_intervals_hold_the_mean():
    """Of means of 100 normal numbers: the share has the error √(.05 · .95 / n), 5σ."""
    draws, held = np.random.default_rng(0).normal(3.0, 2.0, (4000, 100)), 0
    for mean in draws.mean(axis=1):
        low, high = confidence_interval(
            {"mean": mean, "lower": mean, "upper": mean, "standard_error": 0.2}
        )
        held += low <= 3.0 <= high
    assert abs(held / 4000 - 0.95) < 5 * np.sqrt(0.05 * 0.95 / 4000)


def test_what_is_not_known_has_no_interval():
    estimate = {"mean": -1.5, "lower": None, "upper": None, "standard_error": 0.1}
    assert confidence_interval(estimate) is None
    assert confidence_interval({"mean": -1.5, "standard_error": 0.1}) is None
