"""Counts out of a fixed number of trials, such as gray levels."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from jboltz import random
from jboltz.domains import Counts
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.biased import DiscreteUnit


@dataclasses.dataclass(frozen=True)
class Binomial(DiscreteUnit):
    """Counts x_i ∈ {0, …, n} of n trials, each 1 with probability σ(b_i + I_i).

    E(x) = −b·x − Σ_i log C(n, x_i),  a(x) = x,  Γ(I) = n Σ_i log(1 + exp(b_i + I_i)).

    A unit is the sum of n binary units with the same bias and inputs.

    Args:
      size: the number of units.
      trials: n, the largest count.

    Reference:
      Teh & Hinton (2001), Rate-coded restricted Boltzmann machines for face
      recognition.

    Example:
      >>> unit = Binomial(2, trials=255)  # gray levels
      >>> unit.mean(unit.init(), jnp.zeros(2)).tolist()
      [127.5, 127.5]
    """

    size: int
    trials: int

    Params: ClassVar = BernoulliParams

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def domain(self) -> Counts:
        return Counts(self.trials)

    @property
    def trial(self) -> Bernoulli:
        """The layer of a single trial."""
        return Bernoulli(self.size)

    def fit(self, values: Float[Array, "examples size"]) -> BernoulliParams:
        """Log-odds of the means; one more trial of each outcome keeps them finite."""
        on, count = jnp.sum(values, axis=0), self.trials * values.shape[0]
        return BernoulliParams(bias=jnp.log(on + 1) - jnp.log(count - on + 1))

    def energy(
        self, params: BernoulliParams, x: Float[Array, " size"]
    ) -> Inexact[Array, ""]:
        return jnp.sum(self.energies(params, x))

    def log_normalizer(
        self, params: BernoulliParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, ""]:
        return self.trials * self.trial.log_normalizer(params, inputs)

    def mean(
        self, params: BernoulliParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return self.trials * self.trial.mean(params, inputs)

    def mean_state(
        self, params: BernoulliParams, inputs: Inexact[Array, " size"]
    ) -> Inexact[Array, " size"]:
        return self.mean(params, inputs)

    def sample(
        self,
        params: BernoulliParams,
        inputs: Float[Array, " size"],
        key: Key[Array, ""],
    ) -> Float[Array, " size"]:
        """Trial i draws from `fold_in(key, i)`."""
        keys = random.fold_in_range(key, self.trials)
        draw = jax.vmap(self.trial.sample, in_axes=(None, None, 0))
        return jnp.sum(draw(params, inputs, keys), axis=0)

    def energies(
        self, params: BernoulliParams, x: Float[Array, " size"]
    ) -> Inexact[Array, " size"]:
        # A table gives log C(n, x): differences of log Γ would lose digits in float32.
        counts = range(self.trials + 1)
        log_ways = [math.log(math.comb(self.trials, count)) for count in counts]
        log_ways = jnp.asarray(log_ways, x.dtype)[x.astype(int)]
        return -params.bias * self.activity(params, x) - log_ways

    def gain(
        self,
        x: Inexact[Array, " size"],
        y: Inexact[Array, " size"],
        change: Inexact[Array, " size"],
    ) -> Inexact[Array, ""]:
        return self.trials * self.trial.gain(x, y, change)
