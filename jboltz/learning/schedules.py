"""Learning rates interpolated between points given in epochs."""

import dataclasses
import itertools

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jboltz.errors import InvalidValue

BLOG_POINTS = ((0.0, 0.1), (10.0, 0.01), (50.0, 0.001), (100.0, 0.0001))
"""(epoch, rate) in the blog that goes with the PyTorch notes."""


@dataclasses.dataclass(frozen=True)
class PiecewiseRate:
    """An optax schedule through `points`, (epoch, rate), constant before and after.

    Between two points ln rate is linear in the epoch t,

        ln rate = ln r₀ + (t − t₀)/(t₁ − t₀) · (ln r₁ − ln r₀).

    An epoch has `steps_per_epoch` updates, and t may be fractional.

    Example:
      >>> rate = PiecewiseRate(BLOG_POINTS, steps_per_epoch=938)
      >>> [round(float(rate(938 * epoch)), 6) for epoch in (0, 5, 10, 200)]
      [0.1, 0.031623, 0.01, 0.0001]
    """

    points: tuple[tuple[float, float], ...]
    steps_per_epoch: int

    def __post_init__(self) -> None:
        epochs = [epoch for epoch, _ in self.points]
        if not epochs or any(b <= a for a, b in itertools.pairwise(epochs)):
            raise InvalidValue(
                f"`points` are at the epochs {epochs} but at least one is needed, each "
                "after the one before it."
            )
        for epoch, rate in self.points:
            if not 0 < rate < float("inf"):
                raise InvalidValue(
                    f"`points` has the rate {rate} at epoch {epoch} but a rate is "
                    "finite and above 0; for a pause train with fewer epochs."
                )
        if self.steps_per_epoch < 1:
            raise InvalidValue(
                f"`steps_per_epoch` is {self.steps_per_epoch} but needs to be at least "
                "1: examples divided by the batch size, rounded up."
            )

    def __call__(self, count: ArrayLike) -> Float[Array, ""]:
        """The rate of the update after `count` updates."""
        epochs, rates = (jnp.asarray(x) for x in zip(*self.points, strict=True))
        epoch = jnp.asarray(count) / self.steps_per_epoch
        return jnp.exp(jnp.interp(epoch, epochs, jnp.log(rates)))
