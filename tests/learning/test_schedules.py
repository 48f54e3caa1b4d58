"""Rates go through their points, in the form asked for, counted in epochs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jboltz.learning.schedules import BLOG_POINTS, PiecewiseRate

RATE = PiecewiseRate(BLOG_POINTS, steps_per_epoch=10)


def test_a_rate_goes_through_its_points_and_stays(x64):
    rate = jax.jit(RATE)
    for epoch, expected in (*BLOG_POINTS, (1000.0, 0.0001)):
        assert float(rate(int(10 * epoch))) == pytest.approx(expected, rel=1e-12)
    middle = float(rate(300))
    assert middle == pytest.approx(np.sqrt(0.01 * 0.001), rel=1e-12)


def test_a_rate_falls_within_an_epoch(x64):
    ratio = RATE(1) / RATE(0)
    assert float(ratio) == pytest.approx(0.1 ** (1 / 100), rel=1e-12)


def test_it_is_a_schedule_of_optax():
    optimizer = optax.sgd(PiecewiseRate(((0.0, 1.0), (1.0, 0.5)), steps_per_epoch=1))
    state, moved = optimizer.init(jnp.zeros(())), []
    for _ in range(3):
        update, state = optimizer.update(jnp.ones(()), state)
        moved.append(-float(update))
    assert moved == pytest.approx([1.0, 0.5, 0.5])


@pytest.mark.parametrize(
    ("points", "steps", "words"),
    [
        ((), 1, "at least one"),
        (((0.0, 1.0), (0.0, 0.5)), 1, r"epochs \[0.0, 0.0\]"),
        (((0.0, 0.0),), 1, "rate 0.0 at epoch 0.0"),
        (((0.0, float("inf")),), 1, "rate inf"),
        (((0.0, 1.0),), 0, "`steps_per_epoch` is 0"),
    ],
)
def test_points_that_make_no_schedule_are_refused(points, steps, words):
    with pytest.raises(ValueError, match=words):
        PiecewiseRate(points, steps)
