"""Kernels for Gaussian visible units whose next state depends on the last one.

Each draws v′ ~ N(ρ v + (1 − ρ)(μ + W a(h)), S), where the kernel defines ρ and S, and
then h given v′. Gibbs sampling has ρ = 0 and S = σ².
"""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import Metrics, State, hold
from jboltz.checks import check_count
from jboltz.errors import InvalidType, InvalidValue
from jboltz.models.rbm import RBM, RBMParams
from jboltz.products import full_precision
from jboltz.samplers.gibbs import Gibbs, GibbsState
from jboltz.units.gaussian import Gaussian


@dataclasses.dataclass(frozen=True)
class OverRelaxed:
    """v′ ~ N(ρ v + (1 − ρ) E[v | h], (1 − ρ²) σ²), which leaves p(v | h) invariant.

    The kernel is exact for −1 < ρ < 1 and rejects nothing. `decay` is ρ. ρ = 0 is Gibbs
    sampling. With ρ < 0, v moves beyond the conditional mean, which suppresses random
    walks; with ρ > 0, v moves less. `is_pathwise` is explained in `Gibbs`.

    Reference:
      Adler (1981), Over-relaxation method for the Monte Carlo evaluation of the
      partition function for multiquadratic actions.
    """

    model: RBM
    decay: float = -0.5
    _: dataclasses.KW_ONLY
    is_pathwise: bool = False

    def __post_init__(self) -> None:
        _check_gaussian(self)
        if not -1 < self.decay < 1:
            raise InvalidValue(
                f"`decay` is {self.decay} but v′ has a distribution only for values "
                "between -1 and 1; 0 is plain Gibbs."
            )

    def init(self, params: RBMParams, v: State, key: Key[Array, ""]) -> GibbsState:
        start = Gibbs(self.model, is_pathwise=self.is_pathwise)
        return start.init(params, v, key)

    def step(
        self, params: RBMParams, state: GibbsState, key: Key[Array, ""]
    ) -> tuple[GibbsState, Metrics]:
        params, state = hold(self, params, state)
        key_v, key_h = random.split(key)
        variance = (1 - self.decay**2) * jnp.exp(params.visible.log_variance)
        centre = self.model.mean_visible_state(params, state.hidden)
        mean = self.decay * state.visible + (1 - self.decay) * centre
        noise = random.normal(key_v, mean.shape, mean.dtype)
        v = mean + jnp.sqrt(variance) * noise
        return GibbsState(v, self.model.sample_hidden(params, v, key_h)), {}


@dataclasses.dataclass(frozen=True)
class GibbsLangevin:
    """Langevin steps on v with h fixed, then h given v; with a Metropolis correction.

    The K = `num_inner` Langevin steps v ← v − α_k (v − E[v | h])/σ² + √(2 α_k) ε equal
    one Gaussian draw, v′ ~ N(B₀ v + (1 − B₀) E[v | h], S), which is how they are made.
    Here B_j = Π_{k ≥ j} (1 − α_k/σ²) and S = Σ_k 2 α_k B²_{k+1}. The step sizes are
    α_k = ½ α (1 + cos(kπ/K)), where α is `step_size` times the mean of σ².

    With `is_adjusted`, (v′, h′) is accepted with probability min(1, r),
    log r = F(v) − F(v′) + log N(v; …v′, h′) − log N(v′; …v, h), so that p(v, h) is
    invariant; the metric `acceptance` is 1 or 0. Without it the steps are biased: with
    a constant α the stationary variance is σ²/(1 − α/2σ²).

    Args:
      model: an RBM with Gaussian visible units.
      step_size: the first step as a multiple of the mean of σ².
      num_inner: K, the number of Langevin steps.
      is_adjusted: whether a step can be rejected, which makes the kernel exact.

    Reference:
      Liao, Kornblith, Ren, Fleet & Hinton (2022), Gaussian-Bernoulli RBMs without
      tears.
    """

    model: RBM
    step_size: float = 0.2
    num_inner: int = 10
    is_adjusted: bool = True

    def __post_init__(self) -> None:
        _check_gaussian(self)
        if not self.step_size > 0:
            raise InvalidValue(
                f"`step_size` is {self.step_size} but Langevin steps need a positive "
                "one; take one below 2 variances, beyond which they diverge."
            )
        check_count("num_inner", self.num_inner, at_least=1)

    def init(self, params: RBMParams, v: State, key: Key[Array, ""]) -> GibbsState:
        return Gibbs(self.model).init(params, v, key)

    def step(
        self, params: RBMParams, state: GibbsState, key: Key[Array, ""]
    ) -> tuple[GibbsState, Metrics]:
        params, state = hold(self, params, state)
        key_v, key_proposal, key_accept, key_h = random.split(key, 4)
        model, old = self.model, state.visible
        decay, variance = self._kernel(jnp.exp(params.visible.log_variance))
        centre = model.mean_visible_state(params, state.hidden)
        mean = decay * old + (1 - decay) * centre
        noise = random.normal(key_v, mean.shape, mean.dtype)
        new = mean + jnp.sqrt(variance) * noise
        if not self.is_adjusted:
            return GibbsState(new, model.sample_hidden(params, new, key_h)), {}
        h = model.sample_hidden(params, new, key_proposal)
        back = decay * new + (1 - decay) * model.mean_visible_state(params, h)
        free_energy = full_precision(model.free_energy)
        log_ratio = (
            free_energy(params, old)
            - free_energy(params, new)
            + 0.5 * jnp.sum(((new - mean) ** 2 - (old - back) ** 2) / variance)
        )
        log_ratio = random.widened(log_ratio)
        u = random.uniform(key_accept, (), log_ratio.dtype)
        is_accepted = jnp.log(u) < log_ratio
        v = jnp.where(is_accepted, new, old)
        # h is drawn anew in both cases: keeping h′ if accepted and drawing h only if
        # rejected would favour some h.
        state = GibbsState(v, model.sample_hidden(params, v, key_h))
        return state, {"acceptance": is_accepted.astype(v.dtype)}

    def _kernel(
        self, variance: Float[Array, " size"]
    ) -> tuple[Float[Array, " size"], Float[Array, " size"]]:
        """B₀ and S."""
        schedule = [
            0.5 * (1 + math.cos(k * math.pi / self.num_inner))
            for k in range(self.num_inner)
        ]
        largest = self.step_size * jnp.mean(variance)
        decay, spread = jnp.ones_like(variance), jnp.zeros_like(variance)
        for share in schedule:
            step = largest * share
            factor = 1 - step / variance
            decay, spread = decay * factor, spread * factor**2 + 2 * step
        return decay, spread


def _check_gaussian(sampler: OverRelaxed | GibbsLangevin) -> None:
    if not isinstance(sampler.model.visible, Gaussian):
        raise InvalidType(
            f"`model` has visible units {sampler.model.visible} but "
            f"{type(sampler).__name__} needs Gaussian ones; use `Gibbs`."
        )
