"""What a run says."""

import pytest

from jboltz.runs.progress import with_error


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
